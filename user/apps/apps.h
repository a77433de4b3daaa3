/* SPDX-License-Identifier: MIT */
/*
 * The applications that are built in. They use nothing of Millrace but
 * include/millrace, so each one is an example of what an application can do.
 */
#ifndef MR_APPS_H
#define MR_APPS_H

#include "millrace/app.h"

/* TLV messages */
extern const struct mr_app mr_app_echo;	 /* "echo": answers with the same tag and value */
extern const struct mr_app mr_app_sink;	 /* "sink": consumes */
extern const struct mr_app mr_app_store; /* "store": appends to a file per tag */

/* bytes */
extern const struct mr_app mr_app_echo_bytes;	 /* "echo-bytes" */
extern const struct mr_app mr_app_discard_bytes; /* "discard-bytes" */
extern const struct mr_app mr_app_source_bytes;	 /* "source-bytes": sends until the peer closes */
extern const struct mr_app mr_app_drill; /* "drill": the client's first line says what to do */

#endif

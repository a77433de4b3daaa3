/* SPDX-License-Identifier: MIT */
/* Between the files of user/worker: one lane's process. */
#ifndef MR_WORKER_MAIN_H
#define MR_WORKER_MAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lane/lane.h"
#include "user/lane/ticks.h"

/* Everything that came with HELLO, mapped. */
struct worker {
	int control; /* SEQPACKET to the daemon, -1 when it died */
	struct mr_hello hello;
	int fd[MR_HELLO_FD_COUNT]; /* -1: did not come */
	struct mr_arena arena;
	const struct mr_lane_config *config;
	const struct mr_lane_config *rules; /* that came later, or NULL: those of config */
	size_t rules_bytes;
	uint32_t rules_serial;
	struct mr_mailbox_header *mailbox;
	const struct mr_path_table *paths;
	struct mr_beat *beats;
	struct mr_full *full;
	struct mr_lane_stats *stats;
	struct mr_port *xsk; /* the port below the tee, if there is one */
	struct mr_port *port;
	struct mr_lane *lane;
	struct mr_ticks_mark ticks; /* zeros once the lane has its rate */
	bool stop;
	bool leave;   /* stop, and let another worker go on */
	bool drained; /* and so it ends */
};

/** worker_say() - one log line: "<prefix>lane N: ..." on standard error */
void worker_say(const struct worker *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* setup.c: HELLO to a lane that is ready; 0, or -1 after saying why */
int worker_receive_hello(struct worker *w);
int worker_map(struct worker *w);
int worker_make_lane(struct worker *w);

/* rules.c: rules that came in a memfd */
bool worker_rules_fit(const struct mr_lane_config *c, size_t bytes);
const struct mr_lane_rule *worker_rules_of(const struct mr_lane_config *c);
const struct mr_net *worker_prefixes_of(const struct mr_lane_config *c);
void worker_rules(struct worker *w, uint32_t serial, int fd);
void worker_rules_answer(struct worker *w, uint32_t serial, int error, const char *words);

/* control.c: messages of the daemon */
void worker_control(struct worker *w);
void worker_send(struct worker *w, void *message, uint16_t type, uint16_t bytes);
extern const struct mr_lane_asks worker_asks;

/* confine.c: no new privileges, no system calls but those that a lane makes; 0 or -errno.
 * @has_directory: an application opens files there */
int worker_confine(bool has_directory);

#endif

/* SPDX-License-Identifier: MIT */
/* bpf(2), the little that check needs. */
#ifndef MR_CLI_BPF_H
#define MR_CLI_BPF_H

#include <stdbool.h>
#include <stdint.h>

/** mr_bpf_program_name() - name of program @id; or -errno (EPERM without CAP_SYS_ADMIN) */
int mr_bpf_program_name(uint32_t id, char name[16]);

/**
 * mr_bpf_load_pass() - load a program that passes everything
 * @frags:	one that takes frames of several buffers
 *
 * Return: descriptor or -errno
 */
int mr_bpf_load_pass(bool frags);

/**
 * mr_bpf_attach() - attach @program to an interface in native mode, until the descriptor is closed
 *
 * Replaces nothing: -EBUSY when a program is attached.
 *
 * Return: descriptor of the link, or -errno
 */
int mr_bpf_attach(int program, uint32_t ifindex);

#endif

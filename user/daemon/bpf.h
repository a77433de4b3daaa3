/* SPDX-License-Identifier: MIT */
/* The BPF object: loading, pins, maps. Parent only, but for mr_bpf_sum(). */
#ifndef MR_DAEMON_BPF_H
#define MR_DAEMON_BPF_H

#include <stdint.h>

#include "user/daemon/daemon.h"

/** mr_bpf_load() - mount bpffs if need be, clear stale pins, load, pin and open all maps */
int mr_bpf_load(struct mr_daemon *d);

/**
 * mr_bpf_inners() - note what the slots of the object's maps of maps take
 * @object:	not loaded yet: libbpf forgets it then
 *
 * Return: false when one of the maps is not there: it is another version's
 */
bool mr_bpf_inners(struct mr_daemon *d, struct bpf_object *object);

/**
 * mr_bpf_inner_create() - a map for a slot of @map, as the object's own template but for its size
 * @entries:	0 counts as 1
 *
 * Return: a descriptor, the caller's, or -errno
 */
int mr_bpf_inner_create(const struct mr_daemon *d, enum mr_map map, uint32_t entries);

/** mr_bpf_unload() - unpin and close; safe when nothing was loaded */
void mr_bpf_unload(struct mr_daemon *d);

/** mr_bpf_words() - what libbpf or the kernel last complained of, else ""; then forgets it */
const char *mr_bpf_words(void);

/** mr_bpf_map_name() - "mr1_..." */
const char *mr_bpf_map_name(enum mr_map map);

/**
 * mr_bpf_promises() - what this daemon keeps to on a kernel
 * @version:	of uname(); says whether it is PREEMPT_RT
 *
 * Return: OR of enum mr_promise
 */
uint16_t mr_bpf_promises(const char *version);

/** mr_bpf_interface() - write mr1_if, and mr1_near if nobody else has the place, for a link */
int mr_bpf_interface(struct mr_daemon *d, const struct mr_link *l);

/** mr_bpf_interface_forget() - take a link out of mr1_if and mr1_near: its frames pass */
void mr_bpf_interface_forget(struct mr_daemon *d, const struct mr_link *l);

/** mr_bpf_local() - add (or take away) a local address of lanes' active opens; 0 or -errno */
int mr_bpf_local(struct mr_daemon *d, const uint8_t addr[16], uint32_t ifindex, bool add);

/** mr_bpf_socket() - put a lane's socket into mr1_xsk */
int mr_bpf_socket(struct mr_daemon *d, const struct mr_lane *l);

/** mr_bpf_sum() - sum of a per-CPU struct mr_count at @key of a reader map; zeros on error */
struct mr_count mr_bpf_sum(const struct mr_daemon *d, enum mr_map map, uint32_t key);

/** mr_bpf_verdict() - how often a verdict was given (enum mr_verdict) */
struct mr_count mr_bpf_verdict(const struct mr_daemon *d, uint32_t verdict);

/* ----- generation.c ----- */

/**
 * mr_rules_publish() - make the mode, rules, filters and dynamic rules a new generation
 *
 * Its maps are built completely, then one write makes them the active ones. On error the
 * old generation stays. Waits for runs of the program to end, twice: some milliseconds.
 *
 * Return: 0 or -errno
 */
int mr_rules_publish(struct mr_daemon *d);

/** mr_rules_end_runs() - wait until no run of the program uses anything but what counts now */
int mr_rules_end_runs(const struct mr_daemon *d);

/* ----- rules.c ----- */

/** mr_dynamic_open() - reserve and steer a port for a lane's application; 0 or -errno */
int mr_dynamic_open(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port,
		    uint16_t *rule_id);

/** mr_dynamic_close() - end a listener of @lane; -ENOENT when it has none such */
int mr_dynamic_close(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port);

/** mr_dynamic_close_lane() - end all of a lane's; @told is called for each */
void mr_dynamic_close_lane(struct mr_daemon *d, uint32_t lane,
			   void (*told)(struct mr_daemon *d, const struct mr_dynamic *y));

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The ways of holding a program to an interface, `attach:` of the configuration. attach.c decides
 * what is to stand there and in which mode; a way puts it there, exchanges it and takes it away.
 * Parent only.
 */
#ifndef MR_DAEMON_ATTACH_WAY_H
#define MR_DAEMON_ATTACH_WAY_H

#include <bpf/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/daemon.h"

/* What stands on an interface. */
struct mr_standing {
	uint32_t id; /* 0: nothing */
	bool native;
	int fd; /* the caller's to close, -1: none */
	char name[BPF_OBJ_NAME_LEN];
};

/* Each returns 0 or -errno, with what libbpf said in mr_bpf_words(). */
struct mr_attach_way {
	/* attach where nothing is; -EBUSY or -EEXIST when something was */
	int (*attach)(struct mr_daemon *d, struct mr_link *l, int program, bool native);
	/* exchange @expected for @program at one instant; on error all stays as it was */
	int (*replace)(struct mr_daemon *d, struct mr_link *l, int program, int expected);
	/* take @program away, if it is there; nothing else is touched */
	int (*detach)(struct mr_daemon *d, struct mr_link *l, int program);
};

/* The program stands in the interface's own slot: `ip link` shows and may change it. */
extern const struct mr_attach_way mr_attach_by_netlink;

/* A pinned bpf_link holds it: nobody else can. attach_link.c */
extern const struct mr_attach_way mr_attach_by_link;

/* libxdp's dispatcher calls it, beside others' programs. attach_libxdp.c */
extern const struct mr_attach_way mr_attach_by_libxdp;

/** mr_attach_query() - what stands on @l now, without its name and descriptor; 0 or -errno */
int mr_attach_query(const struct mr_link *l, struct mr_standing *s);

/**
 * mr_attach_take_link() - hold again the bpf_link that a daemon before us pinned for this interface
 *
 * One that belongs to another interface by now is unpinned, and so ends.
 *
 * Return: whether @l->held is a link of this interface now
 */
bool mr_attach_take_link(struct mr_daemon *d, struct mr_link *l);

/** mr_attach_drop_link() - unpin and let go what mr_attach_take_link() took */
void mr_attach_drop_link(struct mr_daemon *d, struct mr_link *l);

/** mr_attach_sweep_links() - end pinned links of interfaces that are held otherwise now, or not */
void mr_attach_sweep_links(struct mr_daemon *d);

/**
 * mr_attach_probe_libxdp() - whether this kernel lets a dispatcher call programs (freplace)
 *
 * Return: 0, or -errno with @d->error
 */
int mr_attach_probe_libxdp(struct mr_daemon *d, const struct mr_link *l);

/**
 * mr_attach_is_dispatcher() - whether libxdp's dispatcher stands on @l
 *
 * Programs of ours that a daemon which died left in it are taken out.
 */
bool mr_attach_is_dispatcher(struct mr_daemon *d, struct mr_link *l);

/** mr_attach_adopt() - take @l's program, whose maps mr_adopt_maps() took, as it stands */
int mr_attach_adopt(struct mr_daemon *d, struct mr_link *l);

#endif

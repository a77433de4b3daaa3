/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/if_link.h>
#include <net/if_arp.h>
#include <string.h>

#include "user/cli/bpf.h"
#include "user/cli/check.h"
#include "user/cli/value.h"

/*
 * For kernels before 6.3, which cannot be asked: drivers whose upstream source has XDP (and
 * zero-copy) in 6.1, by the name that ethtool shows.
 */
static const char *const native_drivers[] = {
	"atlantic",	 "bnxt_en",   "bonding",      "ena",	     "fec",	  "fsl_dpa",
	"fsl_dpaa2_eth", "fsl_enetc", "fsl_enetc_vf", "funeth",	     "hv_netvsc", "i40e",
	"ice",		 "igb",	      "igc",	      "ixgbe",	     "ixgbevf",	  "lan966x-switch",
	"mana",		 "mlx4_en",   "mlx5_core",    "mtk_soc_eth", "mvneta",	  "mvpp2",
	"netsec",	 "nfp",	      "nicvf",	      "qede",	     "rvu-nicpf", "sfc",
	"st_gmac",	 "stmmac",    "tun",	      "veth",	     "vif",	  "virtio_net",
};

static const char *const zero_copy_drivers[] = {
	"i40e", "ice", "igc", "ixgbe", "mlx5_core", "nfp", "st_gmac", "stmmac",
};

#define HAS(list, name) has(list, sizeof(list) / sizeof((list)[0]), name)

static bool has(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

/* Without a word from the kernel: as the driver's name makes likely. */
static void guess_features(struct mr_check *c)
{
	const char *driver = c->driver[0] ? c->driver : c->link.kind;

	if (HAS(native_drivers, driver))
		c->features |= MR_XDP_BASIC | MR_XDP_REDIRECT;
	if (HAS(zero_copy_drivers, driver))
		c->features |= MR_XDP_ZERO_COPY;
}

static void check_native(struct mr_check *c)
{
	const char *source = c->features_error ? ", going by its driver's name" : "";
	const uint64_t needed = MR_XDP_BASIC | MR_XDP_REDIRECT;
	const char *cure = "choose an interface whose driver has native XDP";

	if (!strcmp(c->link.kind, "veth"))
		cure = "a veth needs as many receive queues as its peer has transmit queues: "
		       "ethtool -l on both";
	else if (!strcmp(c->link.kind, "vlan") || !strcmp(c->link.kind, "macvlan") ||
		 !strcmp(c->link.kind, "bridge"))
		cure = "serve the device below it";
	if ((c->features & needed) == needed)
		mr_check_fact(c, MR_CHECK_OK, "native XDP", NULL, "yes%s%s",
			      c->features & MR_XDP_RX_SG ? ", frames of several buffers too" : "",
			      source);
	else if (c->features & MR_XDP_BASIC)
		mr_check_fact(c, MR_CHECK_WARN, "native XDP", cure,
			      "without redirection, of no use to lanes: generic mode%s", source);
	else
		mr_check_fact(c, MR_CHECK_WARN, "native XDP", cure,
			      "no: generic mode only, which copies and is slow%s", source);
}

/* That a virtual device has no zero-copy is nothing to warn of: it has no memory of its own. */
static void check_zero_copy(struct mr_check *c)
{
	const char *source = c->features_error ? ", going by its driver's name" : "";
	bool is_virtual = c->link.kind[0] || c->link.type == ARPHRD_LOOPBACK;
	enum mr_check_level none = is_virtual ? MR_CHECK_OK : MR_CHECK_WARN;

	if (c->features & MR_XDP_ZERO_COPY)
		mr_check_fact(c, MR_CHECK_OK, "zero-copy", NULL, "yes%s", source);
	else
		mr_check_fact(c, none, "zero-copy", NULL, "no: each frame is copied once%s",
			      source);
}

static const char *mode_name(uint8_t mode)
{
	switch (mode) {
	case XDP_ATTACHED_DRV:
		return "native";
	case XDP_ATTACHED_SKB:
		return "generic";
	case XDP_ATTACHED_HW:
		return "offloaded";
	default:
		return "several modes";
	}
}

/* Ours: the daemon's, or one that ip(8) attached from our object, which the daemon adopts. */
static bool is_ours(const struct mr_check *c, const char *name)
{
	const json_t *id = json_object_get(c->served, "program_id");

	return mr_value_count(id) == c->link.xdp_program || !strcmp(name, "mr_xdp") ||
	       !strcmp(name, "mr_xdp_frags");
}

static void check_program(struct mr_check *c)
{
	const struct mr_netlink_link *l = &c->link;
	char name[16] = "";
	char cure[96];
	bool named;

	if (!l->xdp_mode) {
		mr_check_fact(c, MR_CHECK_OK, "XDP program", NULL, "none attached");
		return;
	}
	named = mr_bpf_program_name(l->xdp_program, name) == 0;
	if (is_ours(c, name)) {
		mr_check_fact(c, MR_CHECK_OK, "XDP program", NULL, "Millrace's, id %u, %s",
			      l->xdp_program, mode_name(l->xdp_mode));
		return;
	}
	snprintf(cure, sizeof(cure), "ip link set %s xdp off, or force: true in the configuration",
		 l->name);
	mr_check_fact(c, named ? MR_CHECK_FAIL : MR_CHECK_WARN, "XDP program",
		      named ? cure : "ask as root for its name", "id %u%s%s, %s: %s",
		      l->xdp_program, named ? ", name " : "", name, mode_name(l->xdp_mode),
		      named ? "not Millrace's, it would have to go" : "perhaps not Millrace's");
}

void mr_check_xdp(struct mr_check *c)
{
	c->features_error = mr_netlink_xdp_features(c->link.ifindex, &c->features);
	if (c->features_error) {
		c->features = 0;
		guess_features(c);
	}
	check_native(c);
	check_zero_copy(c);
	check_program(c);
}

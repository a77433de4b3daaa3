/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/nft/ruleset.h"

static int list(struct nft_ctx *nft, json_t **out)
{
	const char *text;

	errno = 0;
	if (nft_run_cmd_from_buffer(nft, "list ruleset"))
		return errno == EPERM || errno == EACCES ? -EPERM : -EOPNOTSUPP;
	text = nft_ctx_get_output_buffer(nft);
	*out = text ? json_loads(text, 0, NULL) : NULL;
	return *out ? 0 : -EBADMSG;
}

/* libnftables prints its complaint when it may not, whatever buffers it was given. */
static bool may_ask(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &head, data) == 0 &&
	       data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN);
}

int mr_nft_ask(json_t **out)
{
	struct nft_ctx *nft;
	int err;

	*out = NULL;
	if (!may_ask())
		return -EPERM;
	nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return -EOPNOTSUPP;
	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	err = list(nft, out);
	nft_ctx_free(nft);
	return err;
}

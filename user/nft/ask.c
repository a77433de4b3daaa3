/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

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

int mr_nft_ask(json_t **out)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int err;

	*out = NULL;
	if (!nft)
		return -EOPNOTSUPP;
	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	err = list(nft, out);
	nft_ctx_free(nft);
	return err;
}

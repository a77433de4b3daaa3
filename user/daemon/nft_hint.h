/* SPDX-License-Identifier: MIT */
#ifndef MR_DAEMON_NFT_HINT_H
#define MR_DAEMON_NFT_HINT_H

struct mr_daemon;

/** mr_nft_hint() - log which nftables rules steered ports pass by, from a process that ends; 0 */
int mr_nft_hint(struct mr_daemon *d);

#endif

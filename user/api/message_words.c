/* SPDX-License-Identifier: MIT */
#include <millrace/message.h>

const char *mr_peer_reason_text(enum mr_peer_reason reason)
{
	static const char *const text[MR_PEER_REASON_COUNT] = {
		[MR_PEER_CLOSED_HERE] = "closed by this side",
		[MR_PEER_CLOSED_THERE] = "closed by the peer",
		[MR_PEER_CUT_SHORT] = "closed by the peer in the middle of a message",
		[MR_PEER_ERROR] = "the connection failed",
		[MR_PEER_NOT_CONNECTED] = "could not be connected",
		[MR_PEER_TOO_LONG] = "a message is longer than the format's maximum",
		[MR_PEER_BAD_LENGTH] = "a length counts the header and is less than it",
		[MR_PEER_BAD_CHECK] = "a message was changed on its way",
		[MR_PEER_IDLE] = "nothing was received for too long",
		[MR_PEER_PARTIAL] = "a message was begun and not completed in time",
		[MR_PEER_NO_PONG] = "a ping was not answered in time",
		[MR_PEER_HANDLER] = "the program left a message unconsumed for too long",
		[MR_PEER_SEND] = "the peer does not read what is sent",
		[MR_PEER_NO_MEMORY] = "no memory",
	};

	return (unsigned int)reason < MR_PEER_REASON_COUNT ? text[reason] : "unknown";
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames as pieces of a byte stream, for a network that takes plain ones: each behind its length,
 * in 4 big-endian bytes, with its checksum filled in, large sends cut into segments.
 *
 * What a frame consists of is named, not copied: it must stay until the stream has taken it. Only
 * lengths, checksums and the headers of segments are made here, in memory of the gather's own. The
 * checksum is that of the bytes as they are seen once: a guest that changes them before they are
 * sent spoils the checksum of its own frame.
 */
#pragma once

#include "vsp/network/net_backend.h"

#define NET_GATHER_PIECES  1024u        /* that one write takes: Linux's UIO_MAXIOV */
#define NET_GATHER_OWN     (96u * 1024) /* bytes of our own */
#define NET_GATHER_SEGMENT 256u         /* bytes of payload: what is cut finer does not fit */

struct net_gather {
	struct iovec pieces[NET_GATHER_PIECES];
	unsigned count;
	size_t size; /* bytes in all pieces */
	size_t own_size;
	uint8_t own[NET_GATHER_OWN];
};

static inline void net_gather_empty(struct net_gather *gather)
{
	gather->count = 0;
	gather->size = gather->own_size = 0;
}

/*
 * Appends a frame. Return: whether it had room; in an empty gather there is room for any frame that
 * is not cut finer than NET_GATHER_SEGMENT.
 */
bool net_gather_add(struct net_gather *gather, const struct net_frame *frame);

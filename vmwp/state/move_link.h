/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One end of the socket by which a VM moves: a record is written, one is read, and both end when
 * that is wanted.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/loop.h"
#include "vmwp/state/move_stream.h"

#include <stdbool.h>
#include <stdint.h>

struct move_link;

struct move_link_ops {
	/* A record was written; or could not be: -errno. */
	void (*written)(void *data, int result);

	/*
	 * A record's header has come, and is right: where its bytes go, which stay there until
	 * received(); NULL: it is not wanted, which ends the reading.
	 */
	void *(*place)(void *data, const struct move_header *header);

	/*
	 * A whole record has come, and its checksum is right; or -errno: there is none any more, and
	 * the refusal says why, if it is the peer's doing.
	 */
	void (*received)(void *data, int result, const struct move_header *header,
			 const struct state_refusal *refusal);

	/* Nothing is under way any more, after move_link_end(). It may be freed then. */
	void (*ended)(void *data);
};

/* One of a direction. */
struct move_flow {
	struct loop_operation operation;
	uint8_t *at;   /* what is left of the header, or of what follows it, … */
	uint32_t left; /* … bytes */
	uint8_t *next; /* what follows the header; NULL: that is done */
	struct move_header header;
	bool runs;
};

struct move_link {
	struct loop *loop;
	int fd; /* borrowed */
	const struct move_link_ops *ops;
	void *data;
	struct move_flow out, in;
	struct loop_deferred end;
	bool ending;
};

/* Return: 0; -EINVAL: fd is no connected stream socket; -errno. */
int move_link_init(struct move_link *link, struct loop *loop, int fd,
		   const struct move_link_ops *ops, void *data) MUST_CHECK;

/* One at a time. header: filled, copied; bytes: stay until written(). */
void move_link_write(struct move_link *link, const struct move_header *header, const void *bytes);

/* Not before received() was told of the one before. */
void move_link_read(struct move_link *link);

/* ended() follows, not before this has returned; none of the others does. Once. */
void move_link_end(struct move_link *link);

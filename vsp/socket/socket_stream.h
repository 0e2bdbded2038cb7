/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of vsp/socket/sockets.h: a channel at one end, a stream socket at the other.
 *
 * A stream offers its channel when it is made, and is gone when `ended` is called. Thread: the
 * loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/base/list.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct socket_stream;

struct socket_stream_callbacks {
	/* The guest took the connection; nothing has gone through fd yet. */
	void (*opened)(void *owner, int fd);

	/* The last one: the stream is gone. */
	void (*ended)(void *owner);
};

struct socket_stream_config {
	struct vmbus *bus;
	struct guid type, instance;
	bool from_host;
	const struct socket_stream_callbacks *callbacks;
	void *owner;
};

/* fd: a connected stream socket, taken over unless this fails. Return: 0, -errno. */
int socket_stream_new(const struct socket_stream_config *config, int fd,
		      struct socket_stream **ret_stream) MUST_CHECK;

/* The connection is cut off at both ends; `ended` follows, perhaps before this returns. */
void socket_stream_abort(struct socket_stream *stream);

/* What there is to see of it: a JSON object, which is empty without memory. New reference. */
struct json_object;
struct json_object *socket_stream_inspect(const struct socket_stream *stream);

/* Whether the guest has the channel open, or has had. */
/* While it is quiet nothing goes from it to the guest, nor is taken from there. */
void socket_stream_set_quiet(struct socket_stream *stream, bool quiet);

bool socket_stream_was_opened(const struct socket_stream *stream);

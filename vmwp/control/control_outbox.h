/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker has to say on the control socket, until the daemon takes it.
 *
 * Replies and states are messages: each is sent, in order, when the socket has room. Their number
 * is bounded by that of the daemon's requests, which are not to be taken while the outbox is full.
 *
 * What a guest can make happen as often as it likes are updates: of each subject the last is told,
 * and that at most a few times a second. What is an update before a message is sent before it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/loop.h"

#include <stdbool.h>

#define CONTROL_OUTBOX_MAX         64  /* messages that wait; then it is full */
#define CONTROL_OUTBOX_SUBJECT_MAX 128 /* bytes of a subject's name; longer ones are cut */
#define CONTROL_OUTBOX_INTERVAL_NS (250ull * 1000 * 1000) /* between two updates of a subject */

struct control_outbox;

/* room(): messages that waited have been sent, or the daemon is gone. */
int control_outbox_new(struct loop *loop, void (*room)(void *data), void *data,
		       struct control_outbox **ret_outbox) MUST_CHECK;

/* Nothing of it is under way on the loop, or that has been freed. Accepts NULL. */
void control_outbox_free(struct control_outbox *outbox);
DEFINE_CLEANUP(struct control_outbox *, control_outbox_free)

/*
 * From now on the socket is this one, borrowed; -1: there is none, and all that is said is lost. So
 * is what still waited. The old one can be closed.
 */
void control_outbox_connect(struct control_outbox *outbox, int socket);

/* Both take over the message (common/control.h); NULL for want of memory. */
void control_outbox_send(struct control_outbox *outbox, struct json_object *message);
void control_outbox_tell(struct control_outbox *outbox, const char *subject,
			 struct json_object *update);

bool control_outbox_is_full(const struct control_outbox *outbox);

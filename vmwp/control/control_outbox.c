/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker has to say on the control socket.
 *
 * One queue goes to the socket. A subject joins it with its last update, when it is due or a
 * message comes behind it. Afterwards it rests for a while: updates of that time wait with the
 * subject, and the timer puts them into the queue. A subject that has rested and has no update is
 * forgotten.
 *
 * While the socket has no room the queue waits for POLLOUT. It is polled for only then: else each
 * message that the daemon takes would wake us.
 */
#include "vmwp/control/control_outbox.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/control.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
	struct list link;
	struct json_object *tree;
};

struct subject {
	struct list link;
	char name[CONTROL_OUTBOX_SUBJECT_MAX];
	struct json_object *update; /* NULL: none that wait */
	uint64_t rested;            /* when the next are due, by loop_now() */
};

struct control_outbox {
	struct loop *loop;
	void (*room)(void *data);
	void *data;
	int socket; /* borrowed; -1: none */
	struct list queue, subjects;
	size_t count;
	struct loop_operation writable;
	struct loop_timer timer;
	bool polls, timer_runs; /* the loop has them */
	bool cancelled;         /* the poll, which has not ended yet */
};

/* ---- The queue ---- */

static void message_free(struct control_outbox *outbox, struct message *message)
{
	list_unlink(&message->link);
	outbox->count--;
	json_object_put(message->tree);
	free(message);
}

static void outbox_poll(struct control_outbox *outbox)
{
	bool wanted = outbox->socket >= 0 && !list_empty(&outbox->queue);

	if (wanted && !outbox->polls) {
		outbox->polls = true;
		loop_poll(outbox->loop, &outbox->writable, outbox->socket, POLLOUT);
	} else if (!wanted && outbox->polls && !outbox->cancelled) {
		outbox->cancelled = true;
		loop_cancel(outbox->loop, &outbox->writable);
	}
}

/* What cannot be sent at all is lost. Where the daemon is gone that is nothing to report. */
static void outbox_flush(struct control_outbox *outbox)
{
	while (!list_empty(&outbox->queue)) {
		struct message *message = container_of(outbox->queue.next, struct message, link);
		int r = outbox->socket < 0 ? -EPIPE : control_send(outbox->socket, message->tree);

		if (r == -EAGAIN)
			break;
		if (r < 0 && r != -EPIPE && r != -ECONNRESET)
			log_warning("a message to the daemon was lost: %s", strerror(-r));
		message_free(outbox, message);
	}
	outbox_poll(outbox);
}

static void outbox_append(struct control_outbox *outbox, struct json_object *tree)
{
	struct message *message = tree ? calloc(1, sizeof(*message)) : NULL;

	if (!message) {
		log_warning("a message to the daemon was lost: %s", strerror(ENOMEM));
		json_object_put(tree);
		return;
	}
	message->tree = tree;
	list_append(&outbox->queue, &message->link);
	outbox->count++;
}

static void outbox_writable(struct loop_operation *operation, int result, bool more)
{
	struct control_outbox *outbox = container_of(operation, struct control_outbox, writable);

	outbox->polls = more;
	outbox->cancelled &= more;
	outbox_flush(outbox);
	if (!control_outbox_is_full(outbox))
		outbox->room(outbox->data);
}

/* ---- Subjects ---- */

static void subject_free(struct subject *subject)
{
	list_unlink(&subject->link);
	json_object_put(subject->update);
	free(subject);
}

static struct subject *subject_find(struct control_outbox *outbox, const char *name)
{
	struct subject *subject;

	list_for_each (link, &outbox->subjects) {
		subject = container_of(link, struct subject, link);
		if (strncmp(subject->name, name, sizeof(subject->name) - 1) == 0)
			return subject;
	}
	subject = calloc(1, sizeof(*subject));
	if (!subject)
		return NULL;
	snprintf(subject->name, sizeof(subject->name), "%s", name);
	list_append(&outbox->subjects, &subject->link);
	return subject;
}

static void subject_publish(struct control_outbox *outbox, struct subject *subject, uint64_t now)
{
	outbox_append(outbox, TAKE_PTR(subject->update));
	subject->rested = now + CONTROL_OUTBOX_INTERVAL_NS;
}

static void outbox_start_timer(struct control_outbox *outbox, uint64_t now)
{
	uint64_t first = UINT64_MAX;

	if (outbox->timer_runs)
		return;
	list_for_each (link, &outbox->subjects) {
		struct subject *subject = container_of(link, struct subject, link);

		first = MIN(first, subject->rested);
	}
	if (first == UINT64_MAX)
		return;
	outbox->timer_runs = true;
	loop_timer_start(outbox->loop, &outbox->timer, first > now ? first - now : 0);
}

/*
 * While the queue waits for the daemon subjects wait, too, so that each is there but once; but for
 * what a message has pushed there.
 */
static void outbox_rested(struct loop_operation *operation, int result, bool more)
{
	struct control_outbox *outbox =
		container_of(operation, struct control_outbox, timer.operation);
	bool waits = !list_empty(&outbox->queue);
	uint64_t now = loop_now();

	outbox->timer_runs = false;
	list_for_each (link, &outbox->subjects) {
		struct subject *subject = container_of(link, struct subject, link);

		if (subject->rested > now)
			continue;
		if (!subject->update)
			subject_free(subject);
		else if (waits)
			subject->rested = now + CONTROL_OUTBOX_INTERVAL_NS;
		else
			subject_publish(outbox, subject, now);
	}
	outbox_flush(outbox);
	outbox_start_timer(outbox, now);
}

/* ---- What the worker says ---- */

void control_outbox_send(struct control_outbox *outbox, struct json_object *message)
{
	uint64_t now = loop_now();

	list_for_each (link, &outbox->subjects) {
		struct subject *subject = container_of(link, struct subject, link);

		if (subject->update)
			subject_publish(outbox, subject, now);
	}
	outbox_append(outbox, message);
	outbox_flush(outbox);
}

void control_outbox_tell(struct control_outbox *outbox, const char *subject_name,
			 struct json_object *update)
{
	struct subject *subject = update ? subject_find(outbox, subject_name) : NULL;
	uint64_t now = loop_now();

	if (!subject || outbox->socket < 0) {
		json_object_put(update);
		return;
	}
	json_object_put(subject->update);
	subject->update = update;
	if (subject->rested <= now && list_empty(&outbox->queue)) {
		subject_publish(outbox, subject, now);
		outbox_flush(outbox);
	}
	outbox_start_timer(outbox, now);
}

bool control_outbox_is_full(const struct control_outbox *outbox)
{
	return outbox->count >= CONTROL_OUTBOX_MAX;
}

/* ---- Life ---- */

static void outbox_clear(struct control_outbox *outbox)
{
	list_for_each (link, &outbox->queue)
		message_free(outbox, container_of(link, struct message, link));
	list_for_each (link, &outbox->subjects)
		subject_free(container_of(link, struct subject, link));
}

void control_outbox_connect(struct control_outbox *outbox, int socket)
{
	outbox_clear(outbox);
	outbox->socket = socket;
	outbox_poll(outbox);
	if (outbox->polls)
		loop_flush(outbox->loop);
}

int control_outbox_new(struct loop *loop, void (*room)(void *data), void *data,
		       struct control_outbox **ret_outbox)
{
	struct control_outbox *outbox = calloc(1, sizeof(*outbox));

	if (!outbox)
		return -ENOMEM;
	outbox->loop = loop;
	outbox->room = room;
	outbox->data = data;
	outbox->socket = -1;
	outbox->writable.complete = outbox_writable;
	outbox->timer.operation.complete = outbox_rested;
	list_init(&outbox->queue);
	list_init(&outbox->subjects);
	*ret_outbox = outbox;
	return 0;
}

void control_outbox_free(struct control_outbox *outbox)
{
	if (!outbox)
		return;
	assert((!outbox->polls && !outbox->timer_runs) || !loop_exists(outbox->loop));
	outbox_clear(outbox);
	free(outbox);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client wants run. */
#include "guest-vsc/agent/request.h"

#include <ctype.h>
#include <string.h>

static bool take_open(struct request *request, const struct exec_frame *frame)
{
	struct exec_open open;

	/* Of another version the payload may be larger, and that is all that is known of it. */
	if (request->opened || frame->size < sizeof(open))
		return false;
	memcpy(&open, frame->payload, sizeof(open));
	request->opened = true;
	request->terminal = open.flags & EXEC_FLAG_TERMINAL;
	request->size = open.size;
	if (open.version != EXEC_VERSION)
		request->failure = "the agent of the guest is of another version than vmctl";
	return true;
}

static bool take_argument(struct request *request, const struct exec_frame *frame)
{
	char *word = request->text + request->text_size;

	if (request->count == EXEC_ARGUMENTS_MAX ||
	    frame->size >= sizeof(request->text) - request->text_size ||
	    memchr(frame->payload, '\0', frame->size))
		return false;
	memcpy(word, frame->payload, frame->size);
	word[frame->size] = '\0';
	request->text_size += frame->size + 1u;
	request->words[request->count++] = word;
	return true;
}

static bool take_term(struct request *request, const struct exec_frame *frame)
{
	if (frame->size >= sizeof(request->term))
		return false;
	for (size_t i = 0; i < frame->size; i++)
		if (!isalnum(frame->payload[i]) && !strchr("-+._", frame->payload[i]))
			return false;
	memcpy(request->term, frame->payload, frame->size);
	request->term[frame->size] = '\0';
	return true;
}

bool request_take(struct request *request, const struct exec_frame *frame)
{
	if (frame->type == EXEC_OPEN)
		return take_open(request, frame);
	if (!request->opened)
		return false;
	switch (frame->type) {
	case EXEC_ARGUMENT:
		return take_argument(request, frame);
	case EXEC_TERM:
		return take_term(request, frame);
	case EXEC_RUN:
		request->complete = true;
		return frame->size == 0;
	default:
		return false;
	}
}

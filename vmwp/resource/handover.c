/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptors that a worker hands over to another. */
#include "vmwp/resource/handover.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/control.h"
#include "vmwp/resource/resources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DESCRIPTORS "descriptors" /* the request that they come with */

_Static_assert(HANDOVER_NAME_SIZE == RESOURCES_NAME_MAX, "names of resources");

int handover_add(struct handover *handover, const char *name, int fd)
{
	if (fd < 0)
		return 0;
	if (handover->count == HANDOVER_MAX)
		return -E2BIG;
	snprintf(handover->items[handover->count].name, HANDOVER_NAME_SIZE, "%s", name);
	handover->items[handover->count++].fd = fd;
	return 0;
}

static int handover_send_some(const struct handover *handover, size_t first, size_t count,
			      int socket)
{
	struct json_object *names = json_object_new_array();
	AUTO_JSON struct json_object *arguments = NULL;
	int fds[CONTROL_FDS_MAX];

	for (size_t i = 0; i < count; i++) {
		json_append(&names, json_object_new_string(handover->items[first + i].name));
		fds[i] = handover->items[first + i].fd;
	}
	arguments = json_make("names", names, NULL);
	return arguments ? control_send_request(socket, (uint32_t)first + 1, DESCRIPTORS, arguments,
						fds, count)
			 : -ENOMEM;
}

int handover_send(const struct handover *handover, int socket)
{
	int r = 0;

	control_make_room(socket);
	for (size_t i = 0; r == 0 && i < handover->count; i += CONTROL_FDS_MAX)
		r = handover_send_some(handover, i,
				       MIN(handover->count - i, (size_t)CONTROL_FDS_MAX), socket);
	return r;
}

static int handover_take(struct resources *resources, struct control_message *message)
{
	struct json_object *names;
	int r = 0;

	if (message->kind != CONTROL_REQUEST || strcmp(message->name, DESCRIPTORS) != 0 ||
	    !json_object_object_get_ex(message->body, "names", &names) ||
	    !json_object_is_type(names, json_type_array) ||
	    json_object_array_length(names) != message->fd_count)
		return -EINVAL;
	for (size_t i = 0; r == 0 && i < message->fd_count; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));

		r = name ? resources_put(resources, name, TAKE_FD(message->fds[i])) : -EINVAL;
	}
	return r;
}

int handover_receive(struct resources *resources, int socket)
{
	struct control_message message;
	int r = 0;

	for (size_t i = 0; r == 0 && i < HANDOVER_MAX; i++) {
		r = control_receive(socket, &message);
		if (r == CONTROL_E_EMPTY || r == CONTROL_E_CLOSED)
			return 0;
		if (r)
			return r < 0 ? r : -EINVAL;
		r = handover_take(resources, &message);
		control_message_deinit(&message);
	}
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake worker is saved, restored, moved and replaced: a few words stand for the state of a VM.
 */
#include "tests/fake/control_send.h"
#include "tests/fake/fake_worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const char saved_text[] = "a fake saved VM\n";

const char *method_save(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	if (is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	if (lseek(message->fds[0], 0, SEEK_END) != 0)
		return CONTROL_ERROR_INVALID;
	if (is_in(fake, "running"))
		state_event(fake, "paused", "", "");
	fake->save = message->id;
	event(fake, "save",
	      json_make("done", json_object_new_int64(2), "size", json_object_new_int64(5), NULL));
	if (asked_for(fake, "refuse-save")) {
		state_event(fake, "running", "", "");
		return CONTROL_ERROR_FAILED;
	}
	if (write(message->fds[0], saved_text, sizeof(saved_text) - 1) < 0)
		return CONTROL_ERROR_FAILED;
	fake->saved = !asked_for(fake, "slow-save");
	return NULL;
}

static int hand_over_one(int socket, const char *name, int fd)
{
	struct json_object *names = json_object_new_array();
	int r;

	if (fd < 0)
		return 0;
	json_append(&names, json_object_new_string(name));
	names = json_make("names", names, NULL);
	r = control_send_request(socket, 1, "descriptors", names, &fd, 1);
	json_object_put(names);
	return r;
}

static int hand_over_all(const struct fake *fake, int socket)
{
	int r = hand_over_one(socket, "serial", fake->serial);

	if (r == 0)
		r = hand_over_one(socket, "end", fake->end);
	for (unsigned i = 0; i < DEFINITION_CONTROLLERS_MAX; i++)
		for (unsigned j = 0; r == 0 && j < DEFINITION_LUNS_MAX; j++) {
			char name[32];

			snprintf(name, sizeof(name), "disk:%u:%u", i, j);
			r = hand_over_one(socket, name, fake->media[i][j] ? fake->media[i][j] : -1);
		}
	return r;
}

const char *method_hand_over(struct fake *fake, struct control_message *message,
			     const struct control_arguments *arguments)
{
	if (!is_in(fake, "running"))
		return CONTROL_ERROR_INVALID_STATE;
	if (asked_for(fake, "refuse-hand-over") || !fake->definition->memory.shared)
		return CONTROL_ERROR_NOT_CAPABLE;
	if (asked_for(fake, "die-in-hand-over"))
		_exit(3);
	state_event(fake, "paused", "", "");
	if (write(message->fds[0], saved_text, sizeof(saved_text) - 1) < 0 ||
	    hand_over_all(fake, message->fds[1]) < 0)
		return CONTROL_ERROR_FAILED;
	fake->saved = true;
	return NULL;
}

const char *method_take_over(struct fake *fake, struct control_message *message,
			     const struct control_arguments *arguments)
{
	struct control_message one;
	const char *error = NULL;

	while (!error && control_receive(message->fds[0], &one) == 0) {
		struct control_arguments names = { 0 };

		if (json_object_object_get_ex(one.body, "names", &names.names))
			error = method_descriptors(fake, &one, &names);
		control_message_deinit(&one);
	}
	return error;
}

const char *method_cancel_save(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (!asked_for(fake, "slow-save"))
		return NULL;
	state_event(fake, "running", "", "");
	if (control_send_error(fake->control, fake->save, CONTROL_ERROR_FAILED,
			       "the save was cancelled") < 0)
		perror("fake worker: cancel_save");
	return NULL;
}

const char *method_restore(struct fake *fake, struct control_message *message,
			   const struct control_arguments *arguments)
{
	char text[sizeof(saved_text)] = "";

	if (!is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	if (asked_for(fake, "refuse-restore") ||
	    pread(message->fds[0], text, sizeof(text) - 1, 0) < 0 || strcmp(text, saved_text) != 0)
		return CONTROL_ERROR_FAILED;
	fake->saved = true;
	say(fake, "guest: restored\r\n");
	state_event(fake, "paused", "", "");
	tell_all(fake);
	return NULL;
}

/* What a worker of this kind sends a VM as, and how it is told that it has come. */
static const char moved_text[] = "a fake VM that moves\n", came_text[] = "came\n";

size_t fake_moved_size(void)
{
	return sizeof(moved_text) - 1;
}

static bool hears(int socket, const char *expected)
{
	char text[64] = "";
	size_t size = strlen(expected);

	return recv(socket, text, size, MSG_WAITALL) == (ssize_t)size &&
	       memcmp(text, expected, size) == 0;
}

static bool says(int socket, const char *text)
{
	size_t size = strlen(text);

	return send(socket, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void say_options(struct fake *fake, const struct control_arguments *arguments)
{
	char text[128];

	snprintf(text, sizeof(text), "guest: sent, bandwidth %llu, downtime %llu, force %d\r\n",
		 (unsigned long long)arguments->bandwidth,
		 (unsigned long long)arguments->max_downtime, arguments->force);
	say(fake, text);
}

const char *method_send(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	struct stat stat;

	if (is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	if (fstat(message->fds[0], &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return CONTROL_ERROR_INVALID;
	say_options(fake, arguments);
	fake->send = message->id;
	if (asked_for(fake, "slow-send")) {
		fake->send_socket = fcntl(message->fds[0], F_DUPFD_CLOEXEC, 3);
		return NULL;
	}
	if ((!says(message->fds[0], moved_text) || !hears(message->fds[0], came_text)) &&
	    !asked_for(fake, "unknown-send"))
		return CONTROL_ERROR_FAILED;
	fake->saved = true;
	if (is_in(fake, "running"))
		state_event(fake, "paused", "", "");
	return asked_for(fake, "unknown-send") ? CONTROL_ERROR_UNKNOWN_OUTCOME : NULL;
}

const char *method_receive(struct fake *fake, struct control_message *message,
			   const struct control_arguments *arguments)
{
	if (!is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	if (!hears(message->fds[0], moved_text))
		return CONTROL_ERROR_FAILED;
	say(fake, "guest: received\r\n");
	state_event(fake, "running", "", "");
	tell_all(fake);
	return says(message->fds[0], came_text) ? NULL : CONTROL_ERROR_FAILED;
}

const char *method_cancel_move(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (fake->send_socket > 0)
		close(fake->send_socket);
	fake->send_socket = 0;
	if (asked_for(fake, "slow-send") &&
	    control_send_error(fake->control, fake->send, CONTROL_ERROR_FAILED,
			       "the move was cancelled") < 0)
		perror("fake worker: cancel_move");
	return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fake worker's guest does: memory, services, keyboard, screen and sockets.
 */
#include "tests/fake/control_send.h"
#include "tests/fake/fake_worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool has_dynamic_memory(const struct fake *fake)
{
	return fake->definition && fake->definition->memory.dynamic.on;
}

/* This guest does at once what it is asked to. */
void memory_event(const struct fake *fake)
{
	event(fake, "memory",
	      json_make("state", json_object_new_string("resting"), "target",
			json_object_new_uint64(fake->memory), "assigned",
			json_object_new_uint64(fake->memory), "reported",
			json_object_new_boolean(fake->demand > 0), "demand",
			json_object_new_uint64(fake->demand), "available",
			json_object_new_uint64(0), "failures", json_object_new_uint64(0), NULL));
}

const char *method_nmi(struct fake *fake, struct control_message *message,
		       const struct control_arguments *arguments)
{
	if (is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	say(fake, "guest: an NMI\r\n");
	return NULL;
}

const char *method_shutdown(struct fake *fake, struct control_message *message,
			    const struct control_arguments *arguments)
{
	if (arguments->hibernate && !fake->definition->services.hibernation)
		return CONTROL_ERROR_NOT_CAPABLE;
	if (asked_for(fake, "no-shutdown"))
		return CONTROL_ERROR_NOT_CONNECTED;
	if (arguments->reboot)
		return method_reset(fake, message, arguments);
	if (!asked_for(fake, "slow-shutdown"))
		end(fake, arguments->hibernate ? "guest-hibernated" : "guest-shutdown", "");
	return NULL;
}

const char *method_memory(struct fake *fake, struct control_message *message,
			  const struct control_arguments *arguments)
{
	if (!has_dynamic_memory(fake))
		return CONTROL_ERROR_INVALID_STATE;
	fake->memory = arguments->size;
	memory_event(fake);
	return NULL;
}

/* A guest that has one value, and takes any. */
const char *method_value(struct fake *fake, struct control_message *message,
			 const struct control_arguments *arguments)
{
	char text[256];

	if (asked_for(fake, "no-services"))
		return CONTROL_ERROR_NOT_CONNECTED;
	if (strcmp(message->name, "get_value") == 0 && strcmp(member(message, "key"), "color") != 0)
		return CONTROL_ERROR_NOT_FOUND;
	if (strcmp(message->name, "delete_value") == 0)
		return CONTROL_ERROR_REFUSED;
	snprintf(text, sizeof(text), "guest: %s %s %s=%s\r\n", message->name,
		 member(message, "pool"), member(message, "key"), member(message, "value"));
	say(fake, text);
	return NULL;
}

/* A guest with a keyboard, where the definition has one. */
const char *method_press_keys(struct fake *fake, struct control_message *message,
			      const struct control_arguments *arguments)
{
	char text[1024];

	if (json_object_array_length(arguments->keys) == 0)
		return CONTROL_ERROR_INVALID;
	if (!fake->definition->keyboard)
		return CONTROL_ERROR_NOT_CAPABLE;
	snprintf(text, sizeof(text), "guest: keys %s\r\n",
		 json_object_to_json_string_ext(arguments->keys, JSON_C_TO_STRING_PLAIN));
	say(fake, text);
	return NULL;
}

/* A screen of two pixels, blue and red. */
const char *method_take_picture(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	static const uint8_t pixels[] = { 0xff, 0, 0, 0, 0, 0, 0xff, 0 };
	struct stat status;

	if (!fake->definition->video.present)
		return CONTROL_ERROR_NOT_CAPABLE;
	if (fstat(message->fds[0], &status) < 0 || status.st_size != CONTROL_PICTURE_SIZE)
		return CONTROL_ERROR_INVALID;
	if (pwrite(message->fds[0], pixels, sizeof(pixels), 0) != sizeof(pixels))
		return CONTROL_ERROR_FAILED;
	return NULL;
}

const char *method_snapshot(struct fake *fake, struct control_message *message,
			    const struct control_arguments *arguments)
{
	char text[64];

	if (asked_for(fake, "no-services"))
		return CONTROL_ERROR_NOT_CONNECTED;
	snprintf(text, sizeof(text), "guest: %s %s\r\n", message->name, member(message, "limit"));
	say(fake, text);
	return NULL;
}

const char *method_copy(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	char text[512], content[64] = "";

	if (asked_for(fake, "no-services"))
		return CONTROL_ERROR_NOT_CONNECTED;
	if (strcmp(arguments->path, "/there") == 0 && !arguments->overwrite)
		return CONTROL_ERROR_EXISTS;
	if (strcmp(arguments->path, "/silence") == 0)
		return CONTROL_ERROR_TIMEOUT;
	fake->copy = message->id;
	event(fake, "copy",
	      json_make("copied", json_object_new_int64(1), "size", json_object_new_int64(5),
			NULL));
	(void)!pread(message->fds[0], content, sizeof(content) - 1, 0);
	snprintf(text, sizeof(text), "guest: has %s: %s\r\n", arguments->path, content);
	say(fake, text);
	return NULL;
}

/* A "core file" of five bytes. */
const char *method_dump(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	bool runs = is_in(fake, "running");

	if (is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	if (lseek(message->fds[0], 0, SEEK_END) != 0)
		return CONTROL_ERROR_INVALID;
	if (runs)
		state_event(fake, "paused", "", "");
	(void)!write(message->fds[0], "core\n", 5);
	if (runs)
		state_event(fake, "running", "", "");
	fake->dump = message->id;
	event(fake, "dump",
	      json_make("done", json_object_new_int64(2), "size", json_object_new_int64(5), NULL));
	return asked_for(fake, "no-room") ? CONTROL_ERROR_FAILED : NULL;
}

const char *method_cancel_dump(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (asked_for(fake, "slow-dump") &&
	    control_send_error(fake->control, fake->dump, CONTROL_ERROR_FAILED,
			       "the dump was cancelled") < 0)
		perror("fake worker: cancel_dump");
	return NULL;
}

/* In a process of its own, until no more comes. */
_Noreturn static void echo(int fd)
{
	char bytes[4096];
	ssize_t size;

	while ((size = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(fd, bytes, (size_t)size) != size)
			break;
	_exit(0);
}

/* The guest's agent, with the connection as its standard input. */
_Noreturn static void become_agent(struct fake *fake, int fd)
{
	const char *path = strstr(fake->definition->boot.command_line, "agent=") + 6;

	if (dup2(fd, STDIN_FILENO) >= 0)
		execl(path, path, NULL);
	_exit(1);
}

/* On port 7 all is sent back, nobody is on 9, and on every other somebody says which it is. */
const char *method_open_socket(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (asked_for(fake, "no-services"))
		return CONTROL_ERROR_NOT_CONNECTED;
	if (arguments->port == 1021 && asked_for(fake, "agent=")) {
		if (fork() == 0)
			become_agent(fake, message->fds[0]);
		return NULL;
	}
	if (arguments->port == 9)
		return CONTROL_ERROR_REFUSED;
	if (arguments->port == 7 && fork() == 0)
		echo(message->fds[0]);
	if (arguments->port != 7)
		dprintf(message->fds[0], "guest: port %u\n", arguments->port);
	return NULL;
}

/* The guest says "hello" on the connection that it asked for. */
const char *method_answer_socket(struct fake *fake, struct control_message *message,
				 const struct control_arguments *arguments)
{
	char text[64];

	snprintf(text, sizeof(text), "guest: request %u is %s\r\n", arguments->request,
		 message->fd_count ? "connected" : "refused");
	if (message->fd_count)
		dprintf(message->fds[0], "hello");
	say(fake, text);
	return NULL;
}

const char *method_cancel_copy(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (asked_for(fake, "slow-copy") &&
	    control_send_error(fake->control, fake->copy, CONTROL_ERROR_FAILED,
			       "the copy was cancelled") < 0)
		perror("fake worker: cancel_copy");
	return NULL;
}

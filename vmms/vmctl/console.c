/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session with the serial console of a VM.
 *
 * Three descriptors are waited for: standard input, the stream that vmms opened, and the bus, which
 * tells when the VM starts and stops. The end of the stream is the end of the session, unless vmms
 * has ended: when it is back, the session goes on with what has not been shown yet.
 */
#include "vmms/vmctl/console.h"

#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/base/parse.h"
#include "vmms/vmctl/console_tail.h"
#include "vmms/vmctl/subscription.h"
#include "vmms/vmctl/terminal.h"
#include "vmms/vmctl/vm_info.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SCROLL_BACK         (64 * 1024) /* bytes that a new stream begins with, at most */
#define SCROLL_BACK_SILENCE 200         /* milliseconds, after which it has come */

struct session {
	const char *name;
	int stream;
	int escape;
	bool interactive;
	bool typing;      /* the guest hears us */
	bool input_open;  /* standard input has not ended */
	char input[4096]; /* typed, and not yet sent */
	size_t input_begin, input_end;
	struct vm_info vm;
	enum status status; /* of the start, if that was asked for */
	bool done;
	bool ended;                    /* the stream has */
	char owner[CONSOLE_OWNER_MAX]; /* of vmms' name on the bus */
	struct console_tail tail;      /* of what was shown */
};

/* ---- Notices ---- */

/* Beside the guest's output, on the terminal alone. */
static void console_notice(const struct session *session, const char *format, ...)
	PRINTF_LIKE(2, 3);

static void console_notice(const struct session *session, const char *format, ...)
{
	va_list arguments;

	if (!session->interactive)
		return;
	fputs("\r\n[", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("]\r\n", stderr);
}

static void console_announce(const struct session *session)
{
	char key[8] = "";

	if (session->escape >= 0)
		snprintf(key, sizeof(key), "^%c", session->escape + '@');
	console_notice(session, "console of VM %s, which is %s%s%s%s%s", session->name,
		       session->vm.state,
		       strcmp(session->vm.state, "off") == 0 ? ": waiting for its start" : "",
		       session->typing ? "" : "; watching only",
		       session->escape >= 0 ? "; leave with " : "", key);
}

/* ---- The bus ---- */

static int console_properties_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct session *session = data;
	AUTO_FREE char *state = strdup(session->vm.state);
	const char *interface;

	if (sd_bus_message_read(message, "s", &interface) < 0 ||
	    strcmp(interface, DBUS_INTERFACE_VM) != 0 || vm_info_read(message, &session->vm) < 0)
		return 0;
	if (state && strcmp(state, session->vm.state) != 0)
		console_notice(session, "VM %s is %s", session->name, session->vm.state);
	return 0;
}

static int console_start_answered(sd_bus_message *reply, void *data, sd_bus_error *ret_error)
{
	struct session *session = data;
	sd_bus_error error = SD_BUS_ERROR_NULL;

	if (!sd_bus_message_is_method_error(reply, NULL))
		return 0;
	if (sd_bus_message_is_method_error(reply, DBUS_ERROR_ALREADY_IN_STATE))
		return 0;
	(void)sd_bus_error_copy(&error, sd_bus_message_get_error(reply));
	terminal_restore();
	session->status = service_failed(-sd_bus_message_get_errno(reply), &error);
	session->done = true;
	return 0;
}

static enum status console_process_bus(struct invocation *invocation)
{
	int r;

	do
		r = sd_bus_process(invocation->bus, NULL);
	while (r > 0);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- Bytes ---- */

static void console_read_input(struct session *session)
{
	ssize_t size = read(STDIN_FILENO, session->input, sizeof(session->input));
	char *escape;

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (size <= 0) {
		session->input_open = false;
		return;
	}
	escape = session->interactive && session->escape >= 0
			 ? memchr(session->input, session->escape, (size_t)size)
			 : NULL;
	session->done = escape != NULL;
	session->input_begin = 0;
	session->input_end = escape ? (size_t)(escape - session->input) : (size_t)size;
}

static void console_send_input(struct session *session)
{
	ssize_t size;

	size = send(session->stream, session->input + session->input_begin,
		    session->input_end - session->input_begin, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (size > 0)
		session->input_begin += (size_t)size;
	else if (size < 0 && errno != EAGAIN && errno != EINTR)
		session->ended = true;
}

static enum status console_show(struct session *session, const char *bytes, size_t size)
{
	console_tail_add(&session->tail, bytes, size);
	return file_write_all(STDOUT_FILENO, bytes, size) == 0 ? STATUS_OK : STATUS_FAILED;
}

static enum status console_read_output(struct session *session)
{
	char bytes[16384];
	ssize_t size;

	size = recv(session->stream, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return STATUS_OK;
	if (size <= 0) {
		session->ended = true;
		return STATUS_OK;
	}
	return console_show(session, bytes, (size_t)size);
}

/* ---- Again, with another vmms ---- */

/* The escape, or the end of a terminal; what else is typed meanwhile is dropped. */
static bool console_has_left(void *data)
{
	struct session *session = data;
	struct pollfd input = { session->input_open ? STDIN_FILENO : -1, POLLIN, 0 };

	if (poll(&input, 1, 0) > 0)
		console_read_input(session);
	session->input_begin = session->input_end = 0;
	return session->done;
}

/* The scroll-back comes in one go; it is shown from where this session has seen it. */
static enum status console_show_missed(struct session *session)
{
	AUTO_FREE char *bytes = malloc(SCROLL_BACK);
	struct pollfd stream = { session->stream, POLLIN, 0 };
	size_t size = 0, begin;
	ssize_t n = 1;

	if (!bytes)
		return STATUS_FAILED;
	while (n > 0 && size < SCROLL_BACK && poll(&stream, 1, SCROLL_BACK_SILENCE) > 0) {
		n = recv(session->stream, bytes + size, SCROLL_BACK - size, MSG_DONTWAIT);
		size += n > 0 ? (size_t)n : 0;
	}
	begin = console_tail_find(&session->tail, bytes, size);
	return console_show(session, bytes + begin, size - begin);
}

static enum status console_go_on(struct invocation *invocation, const char *path,
				 const struct console_options *options, struct session *session)
{
	session->ended = false;
	session->done = options->log || console_service_lives(invocation, session->owner);
	if (session->done)
		return STATUS_OK;
	console_notice(session, "vmms has ended; waiting for it");
	close_fdp(&session->stream);
	switch (console_reconnect(invocation, path, options, session->owner, console_has_left,
				  session, &session->stream, &session->typing)) {
	case CONSOLE_RECONNECTED:
		console_service_owner(invocation, session->owner);
		console_notice(session, "connected again");
		return console_show_missed(session);
	case CONSOLE_LEFT:
		return STATUS_OK;
	default:
		terminal_restore();
		fputs("vmctl: vmms has ended, and has not come back\n", stderr);
		return STATUS_NO_SERVICE;
	}
}

/* ---- The session ---- */

enum { WAIT_INPUT, WAIT_STREAM, WAIT_BUS, WAIT_COUNT };

static void console_fill_poll(struct invocation *invocation, const struct session *session,
			      struct pollfd fds[WAIT_COUNT])
{
	bool pending = session->input_begin != session->input_end;

	fds[WAIT_INPUT] =
		(struct pollfd){ session->input_open && !pending ? STDIN_FILENO : -1, POLLIN, 0 };
	fds[WAIT_STREAM] =
		(struct pollfd){ session->stream, (short)(POLLIN | (pending ? POLLOUT : 0)), 0 };
	fds[WAIT_BUS] = (struct pollfd){ sd_bus_get_fd(invocation->bus),
					 (short)sd_bus_get_events(invocation->bus), 0 };
}

static enum status run(struct invocation *invocation, const char *path,
		       const struct console_options *options, struct session *session)
{
	enum status status = console_process_bus(invocation);
	struct pollfd fds[WAIT_COUNT];

	while (status == STATUS_OK && !session->done) {
		console_fill_poll(invocation, session, fds);
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return service_failed(-errno, NULL);
		if (fds[WAIT_BUS].revents)
			status = console_process_bus(invocation);
		if (status == STATUS_OK && fds[WAIT_STREAM].revents & (POLLIN | POLLHUP | POLLERR))
			status = console_read_output(session);
		if (fds[WAIT_INPUT].revents)
			console_read_input(session);
		if (session->input_begin != session->input_end)
			console_send_input(session);
		if (status == STATUS_OK && session->ended)
			status = console_go_on(invocation, path, options, session);
	}
	return status == STATUS_OK ? session->status : status;
}

int console_try_stream(struct invocation *invocation, const char *path,
		       const struct console_options *options, sd_bus_error *error, int *ret_stream,
		       bool *ret_typing)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	int fd, typing, r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME_FILES, path,
					   DBUS_INTERFACE_FILES, "OpenConsole");
	if (r >= 0)
		r = sd_bus_message_append(call, "a{sv}", 4, "watch", "b", (int)options->watch,
					  "take", "b", (int)options->take, "log", "b",
					  (int)options->log, "until-off", "b",
					  (int)options->no_wait);
	if (r >= 0)
		r = service_call(invocation, call, SERVICE_TIMEOUT, error, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "hb", &fd, &typing);
	if (r < 0)
		return r;
	r = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (r < 0)
		return -errno;
	*ret_stream = r;
	*ret_typing = typing;
	return 0;
}

enum status console_open_stream(struct invocation *invocation, const char *path,
				const struct console_options *options, int *ret_stream,
				bool *ret_typing)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = console_try_stream(invocation, path, options, &error, ret_stream, ret_typing);

	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

/* Watches the VM's properties before it reads them, so that no change is missed. */
static enum status console_watch_vm(struct invocation *invocation, const char *path,
				    struct session *session)
{
	int r;

	r = sd_bus_match_signal(invocation->bus, NULL, DBUS_NAME, path,
				"org.freedesktop.DBus.Properties", "PropertiesChanged",
				console_properties_changed, session);
	if (r >= 0)
		r = subscription_begin(invocation);
	if (r < 0)
		return service_failed(r, NULL);
	return vm_info_get(invocation, path, &session->vm);
}

static enum status console_start_vm(struct invocation *invocation, const char *path,
				    struct session *session)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status = service_new_start(invocation, path, &call);
	int r;

	if (status != STATUS_OK)
		return status;
	/* A password is to be typed before the keys are the guest's. */
	if (invocation->may_ask)
		return service_send_to_reach(invocation, call, NULL, NULL);
	r = sd_bus_call_async(invocation->bus, NULL, call, console_start_answered, session, 0);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status console_run(struct invocation *invocation, const char *name, const char *path,
			const struct console_options *options)
{
	struct session session = { .name = name,
				   .stream = -1,
				   .escape = options->escape,
				   .interactive = terminal_is_there() && !options->log,
				   .input_open = !options->log && !options->watch };
	enum status status;

	console_service_owner(invocation, session.owner);
	status = console_watch_vm(invocation, path, &session);
	if (status == STATUS_OK)
		status = console_open_stream(invocation, path, options, &session.stream,
					     &session.typing);
	if (status == STATUS_OK && options->start)
		status = console_start_vm(invocation, path, &session);
	if (status == STATUS_OK) {
		console_announce(&session);
		service_stop_asking(invocation);
		if (session.interactive)
			terminal_make_raw();
		status = run(invocation, path, options, &session);
		terminal_restore();
		console_notice(&session, "left the console of VM %s", name);
	}
	close_fdp(&session.stream);
	vm_info_deinit(&session.vm);
	return status;
}

/* ---- The command ---- */

/* "^]" and the like, or "none". Return: false: neither. */
static bool console_read_escape(const char *text, int *ret_escape)
{
	if (strcmp(text, "none") == 0) {
		*ret_escape = CONSOLE_ESCAPE_NONE;
		return true;
	}
	if (text[0] != '^' || text[1] < 'A' || text[1] > '_' || text[2] != '\0')
		return false;
	*ret_escape = text[1] - '@';
	return true;
}

enum status command_console(struct invocation *invocation)
{
	struct console_options options = { .watch = invocation_has(invocation, "watch"),
					   .take = invocation_has(invocation, "take"),
					   .log = invocation_has(invocation, "log"),
					   .no_wait = invocation_has(invocation, "no-wait"),
					   .escape = CONSOLE_ESCAPE_DEFAULT };
	const char *escape = invocation_value(invocation, "escape");
	AUTO_FREE char *path = NULL;
	enum status status;

	if (options.watch && options.take)
		return usage_error(invocation, "--watch and --take exclude each other");
	if (escape && !console_read_escape(escape, &options.escape))
		return usage_error(invocation, "--escape must be ^A to ^_, or none, not '%s'",
				   escape);
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status != STATUS_OK)
		return status;
	return console_run(invocation, invocation->arguments[0], path, &options);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that serves org.vmms1.Files. */
#include "vmms/bus/call_forwarder.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/dbus_names.h"
#include "vmms/base/helper.h"
#include "vmms/bus/dbus_access.h"
#include "vmms/bus/dbus_size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes; who sends more than that ends it. The sanitizer takes more for itself. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_MAX RLIM_INFINITY
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_MAX RLIM_INFINITY
#endif
#endif
#ifndef MEMORY_MAX
#define MEMORY_MAX (UINT64_C(1) << 30)
#endif

#define ANSWER_NEVER UINT64_MAX /* the daemon bounds what it does itself */

struct forwarder {
	int socket; /* to the daemon, for what is not on the bus */
	sd_event *loop;
	sd_bus *bus, *daemon;
	unsigned pending;
	bool spent;    /* there was a message with descriptors */
	bool replaced; /* another has the name */
};

/* The descriptors of a call, in the order of its values. */
struct passed {
	int channel[2]; /* -1: there are none */
};

/* ---- Copying ---- */

static int forwarder_pass(struct passed *passed, int fd)
{
	if (passed->channel[0] < 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, passed->channel) < 0)
		return error_origin(-errno);
	return helper_pass(passed->channel[0], fd);
}

static int forwarder_copy_basic(sd_bus_message *from, sd_bus_message *to, char type,
				struct passed *passed)
{
	union {
		const char *text;
		uint64_t number;
		int fd;
	} value = { 0 };
	int r;

	r = sd_bus_message_read_basic(from, type, &value);
	if (r < 0)
		return r;
	if (type == SD_BUS_TYPE_UNIX_FD) {
		r = forwarder_pass(passed, value.fd);
		if (r < 0)
			return r;
		value.fd = passed->channel[1];
	}
	if (strchr("sog", type))
		return sd_bus_message_append_basic(to, type, value.text);
	return sd_bus_message_append_basic(to, type, &value);
}

static int forwarder_copy_values(sd_bus_message *from, sd_bus_message *to, struct passed *passed)
{
	const char *contents;
	char type;
	int r;

	while ((r = sd_bus_message_peek_type(from, &type, &contents)) > 0) {
		if (!contents) {
			r = forwarder_copy_basic(from, to, type, passed);
			if (r < 0)
				return r;
			continue;
		}
		r = sd_bus_message_enter_container(from, type, contents);
		if (r >= 0)
			r = sd_bus_message_open_container(to, type, contents);
		if (r >= 0)
			r = forwarder_copy_values(from, to, passed);
		if (r >= 0)
			r = sd_bus_message_close_container(to);
		if (r >= 0)
			r = sd_bus_message_exit_container(from);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- Its end ---- */

static void forwarder_end_if_done(struct forwarder *forwarder)
{
	const char byte = CALL_FORWARDER_DONE;

	if (forwarder->replaced && forwarder->pending == 0) {
		(void)sd_bus_flush(forwarder->bus);
		helper_send(forwarder->socket, &byte, 1, -1);
	}
}

/* What has come with descriptors is kept: closing them might wait. */
static void forwarder_keep(struct forwarder *forwarder, sd_bus_message *message)
{
	const char *sender = sd_bus_message_get_sender(message);
	char text[CALL_FORWARDER_NAME_MAX + 2];

	sd_bus_message_ref(message);
	snprintf(text, sizeof(text), "%c%s", CALL_FORWARDER_SPENT, sender ? sender : "");
	if (!forwarder->replaced)
		helper_send(forwarder->socket, text, strlen(text), -1);
	forwarder->spent = true;
}

/* ---- Calls ---- */

struct call {
	struct forwarder *forwarder;
	sd_bus_message *call;
};

static int forwarder_answer(sd_bus_message *call, sd_bus_message *result)
{
	sd_bus_message *reply = NULL;
	int r;

	if (sd_bus_message_is_method_error(result, NULL))
		return sd_bus_reply_method_error(call, sd_bus_message_get_error(result));
	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = sd_bus_message_copy(reply, result, true);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? sd_bus_reply_method_errno(call, r, NULL) : r;
}

static int forwarder_answered(sd_bus_message *result, void *data, sd_bus_error *error)
{
	struct call *call = data;
	struct forwarder *forwarder = call->forwarder;

	(void)forwarder_answer(call->call, result);
	sd_bus_message_unref(call->call);
	free(call);
	forwarder->pending--;
	forwarder_end_if_done(forwarder);
	return 0;
}

static int forwarder_make_copy(struct forwarder *forwarder, sd_bus_message *call,
			       sd_bus_message **ret_copy)
{
	struct passed passed = { { -1, -1 } };
	int r;

	r = sd_bus_message_new_method_call(
		forwarder->daemon, ret_copy, NULL, sd_bus_message_get_path(call),
		sd_bus_message_get_interface(call), sd_bus_message_get_member(call));
	if (r >= 0)
		r = sd_bus_message_set_sender(*ret_copy, sd_bus_message_get_sender(call));
	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(
			*ret_copy, sd_bus_message_get_allow_interactive_authorization(call) > 0);
	if (r >= 0)
		r = forwarder_copy_values(call, *ret_copy, &passed);
	/* Our end stays open, with what is in it, until ours. */
	if (passed.channel[0] >= 0)
		close(passed.channel[1]);
	return r;
}

static int forwarder_forward(struct forwarder *forwarder, sd_bus_message *message)
{
	struct call *call = calloc(1, sizeof(*call));
	sd_bus_message *copy = NULL;
	int r;

	if (!call)
		return -ENOMEM;
	*call = (struct call){ forwarder, sd_bus_message_ref(message) };
	r = forwarder_make_copy(forwarder, message, &copy);
	if (r >= 0)
		r = sd_bus_call_async(forwarder->daemon, NULL, copy, forwarder_answered, call,
				      ANSWER_NEVER);
	sd_bus_message_unref(copy);
	if (r < 0) {
		sd_bus_message_unref(message);
		free(call);
		return r;
	}
	forwarder->pending++;
	return 1;
}

/* Numbers are given from the lowest on, and until the first message all above are free. */
static bool forwarder_has_descriptors(const struct forwarder *forwarder)
{
	int lowest = dup(forwarder->socket);
	static int usual = -1;

	close(lowest);
	if (usual < 0)
		usual = lowest;
	return forwarder->spent || lowest != usual;
}

static int forwarder_on_message(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct forwarder *forwarder = data;
	size_t size;
	uint8_t type;
	int r;

	if (forwarder_has_descriptors(forwarder))
		forwarder_keep(forwarder, message);
	if (sd_bus_message_is_signal(message, "org.freedesktop.DBus", "NameLost")) {
		forwarder->replaced = true;
		forwarder_end_if_done(forwarder);
	}
	r = sd_bus_message_get_type(message, &type);
	if (r < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	r = dbus_size_measure(message, DBUS_CALL_MAX, &size);
	if (r >= 0)
		r = forwarder_forward(forwarder, message);
	return r < 0 ? sd_bus_reply_method_errno(message, r, NULL) : 1;
}

/* ---- Life ---- */

static int forwarder_connect_daemon(struct forwarder *forwarder, int fd)
{
	int r;

	r = sd_bus_new(&forwarder->daemon);
	if (r >= 0)
		r = sd_bus_set_fd(forwarder->daemon, fd, fd);
	if (r >= 0)
		r = sd_bus_negotiate_fds(forwarder->daemon, true);
	if (r >= 0)
		r = sd_bus_start(forwarder->daemon);
	return r < 0 ? r : sd_bus_attach_event(forwarder->daemon, forwarder->loop, 0);
}

static int forwarder_start(struct forwarder *forwarder, const struct call_forwarder_config *config)
{
	int r;

	r = sd_event_new(&forwarder->loop);
	if (r >= 0)
		r = forwarder_connect_daemon(forwarder, config->daemon);
	if (r >= 0)
		r = dbus_open(config->settings, true, &forwarder->bus);
	if (r >= 0)
		r = sd_bus_add_filter(forwarder->bus, NULL, forwarder_on_message, forwarder);
	if (r >= 0)
		r = sd_bus_attach_event(forwarder->bus, forwarder->loop, 0);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(forwarder->daemon, true);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(forwarder->bus, true);
	(void)forwarder_has_descriptors(forwarder);
	if (r >= 0)
		r = sd_bus_request_name(forwarder->bus, DBUS_NAME_FILES,
					SD_BUS_NAME_ALLOW_REPLACEMENT |
						SD_BUS_NAME_REPLACE_EXISTING);
	return r;
}

void call_forwarder_run(int socket, void *data)
{
	const struct call_forwarder_config *config = data;
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	struct rlimit descriptors;
	struct forwarder forwarder = { .socket = socket };
	int r;

	(void)prctl(PR_SET_NAME, CALL_FORWARDER_PROCESS);
	(void)setrlimit(RLIMIT_AS, &memory);
	if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
		descriptors.rlim_cur = descriptors.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &descriptors);
	}
	r = forwarder_start(&forwarder, config);
	if (r < 0)
		log_error("%s cannot be served: %s", DBUS_NAME_FILES, strerror(-r));
	close(config->ready);
	if (r >= 0)
		(void)sd_event_loop(forwarder.loop);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's end of the control socket.
 *
 * One row of a table for each method: its name, what must be there before it can be asked for, and
 * its handler, which fills a struct reply. Nothing here waits.
 */
#include "vmwp/control_server.h"

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "common/wire/vmbus.h"
#include "vmwp/probe.h"
#include "vmwp/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct control_server {
	struct worker *worker;
	int socket;
	struct loop_operation receive;
};

struct reply {
	const char *error; /* CONTROL_ERROR_, NULL: success */
	struct failure failure;
	struct json_object *result; /* owned; NULL: {} */
};

static void reply_error(struct reply *reply, const char *error, const char *format, ...)
	PRINTF_LIKE(3, 4);

static void reply_error(struct reply *reply, const char *error, const char *format, ...)
{
	va_list arguments;

	reply->error = error;
	va_start(arguments, format);
	vsnprintf(reply->failure.message, sizeof(reply->failure.message), format, arguments);
	va_end(arguments);
}

/* ---- Methods ---- */

struct descriptor_arguments {
	struct json_object *names;
};

static int control_put_descriptors(struct control_server *server, struct control_message *message,
				   struct json_object *names, struct reply *reply)
{
	size_t count = json_object_array_length(names);

	if (count != message->fd_count) {
		reply_error(reply, CONTROL_ERROR_INVALID, "%zu names came with %zu descriptors.",
			    count, message->fd_count);
		return -EINVAL;
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *name = json_object_array_get_idx(names, i);
		int r = -EINVAL;

		if (json_object_is_type(name, json_type_string))
			r = resources_put(server->worker->resources, json_object_get_string(name),
					  TAKE_FD(message->fds[i]));
		if (r < 0) {
			reply_error(reply, CONTROL_ERROR_INVALID,
				    "Descriptor %zu of %zu has no name that means something.",
				    i + 1, count);
			return r;
		}
	}
	return 0;
}

static void method_descriptors(struct control_server *server, struct control_message *message,
			       struct reply *reply)
{
	static const struct json_key keys[] = {
		{ .name = "names",
		  .read = json_read_value,
		  .offset = offsetof(struct descriptor_arguments, names),
		  .required = true,
		  .minimum = json_type_array },
	};
	struct descriptor_arguments arguments = { 0 };
	struct json_error error = { 0 };
	struct json_reader reader = JSON_READER(&error);

	if (json_read(&reader, message->body, keys, ARRAY_SIZE(keys), &arguments) < 0)
		reply_error(reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
	else
		control_put_descriptors(server, message, arguments.names, reply);
	json_object_put(arguments.names);
}

struct configure_arguments {
	struct json_object *definition;
};

static void control_configure(struct control_server *server, struct json_object *tree,
			      struct reply *reply)
{
	struct definition *definition;
	struct json_error error = { 0 };
	struct failure failure = { 0 };
	int r;

	if (definition_from_json(tree, &definition, &error) < 0) {
		reply_error(reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
		return;
	}
	r = worker_build(server->worker, definition, &failure);
	if (r < 0)
		reply_error(reply, r == -ENOTSUP ? CONTROL_ERROR_NOT_CAPABLE : CONTROL_ERROR_FAILED,
			    "%s", failure.message[0] ? failure.message : strerror(-r));
}

static void method_configure(struct control_server *server, struct control_message *message,
			     struct reply *reply)
{
	static const struct json_key keys[] = {
		{ .name = "definition",
		  .read = json_read_value,
		  .offset = offsetof(struct configure_arguments, definition),
		  .required = true,
		  .minimum = json_type_object },
	};
	struct configure_arguments arguments = { 0 };
	struct json_error error = { 0 };
	struct json_reader reader = JSON_READER(&error);

	if (server->worker->definition)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE, "The worker has its definition.");
	else if (json_read(&reader, message->body, keys, ARRAY_SIZE(keys), &arguments) < 0)
		reply_error(reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
	else
		control_configure(server, arguments.definition, reply);
	json_object_put(arguments.definition);
}

static void reply_state_error(struct reply *reply, struct machine *machine, const char *verb)
{
	reply_error(reply, CONTROL_ERROR_INVALID_STATE, "A VM that is %s cannot be %s.",
		    machine_state_name(machine_state(machine)), verb);
}

static void method_start(struct control_server *server, struct control_message *message,
			 struct reply *reply)
{
	struct failure failure = { 0 };
	int r = machine_start(server->worker->machine, &failure);

	if (r == MACHINE_E_STATE)
		reply_state_error(reply, server->worker->machine, "started");
	else if (r < 0)
		reply_error(reply, CONTROL_ERROR_FAILED, "%s",
			    failure.message[0] ? failure.message : strerror(-r));
}

static void method_pause(struct control_server *server, struct control_message *message,
			 struct reply *reply)
{
	if (machine_pause(server->worker->machine))
		reply_state_error(reply, server->worker->machine, "paused");
}

static void method_resume(struct control_server *server, struct control_message *message,
			  struct reply *reply)
{
	if (machine_resume(server->worker->machine))
		reply_state_error(reply, server->worker->machine, "resumed");
}

static void method_reset(struct control_server *server, struct control_message *message,
			 struct reply *reply)
{
	if (machine_reset(server->worker->machine))
		reply_state_error(reply, server->worker->machine, "reset");
}

static void method_stop(struct control_server *server, struct control_message *message,
			struct reply *reply)
{
	worker_stop(server->worker);
}

static void method_status(struct control_server *server, struct control_message *message,
			  struct reply *reply)
{
	struct machine *machine = server->worker->machine;
	char version[16];

	worker_version_text(machine_vmbus_version(machine), version);
	reply->result = json_make(
		"state", json_object_new_string(machine_state_name(machine_state(machine))),
		"engine", json_object_new_string(hvshim_engine_name(machine_engine(machine))),
		"vps", json_object_new_int64(server->worker->definition->processors.count),
		"vmbus_version", json_object_new_string(version), NULL);
}

static void method_capabilities(struct control_server *server, struct control_message *message,
				struct reply *reply)
{
	reply->result = probe_report(machine_vid(server->worker->machine));
	if (!reply->result)
		reply_error(reply, CONTROL_ERROR_FAILED, "Out of memory.");
}

static const struct method {
	const char *name;
	bool needs_machine;
	void (*handle)(struct control_server *server, struct control_message *message,
		       struct reply *reply);
} methods[] = {
	{ "descriptors", false, method_descriptors },
	{ "configure", false, method_configure },
	{ "start", true, method_start },
	{ "pause", true, method_pause },
	{ "resume", true, method_resume },
	{ "reset", true, method_reset },
	{ "stop", false, method_stop },
	{ "status", true, method_status },
	{ "capabilities", true, method_capabilities },
};

/* ---- Requests ---- */

static const struct method *control_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(name, methods[i].name) == 0)
			return &methods[i];
	return NULL;
}

static void control_send(struct control_server *server, uint32_t id, const struct reply *reply)
{
	int r = reply->error ? control_send_error(server->socket, id, reply->error,
						  reply->failure.message)
			     : control_send_reply(server->socket, id, reply->result);

	if (r < 0)
		log_warning("a reply to the daemon was lost: %s", strerror(-r));
}

static void control_handle(struct control_server *server, struct control_message *message)
{
	const struct method *method = control_find(message->name);
	struct reply reply = { 0 };

	if (message->kind != CONTROL_REQUEST)
		return;
	if (!method)
		reply_error(&reply, CONTROL_ERROR_INVALID, "There is no such method.");
	else if (method->needs_machine && !server->worker->machine)
		reply_error(&reply, CONTROL_ERROR_INVALID_STATE, "There is no VM yet: configure.");
	else
		method->handle(server, message, &reply);
	control_send(server, message->id, &reply);
	json_object_put(reply.result);
}

static void control_receive_all(struct loop_operation *operation, int result, bool more)
{
	struct control_server *server = container_of(operation, struct control_server, receive);
	struct control_message message;
	int r;

	if (result == -ECANCELED)
		return;
	for (;;) {
		r = control_receive(server->socket, &message);
		if (r == CONTROL_E_MALFORMED) {
			log_warning("the daemon sent what is no message");
			continue;
		}
		if (r)
			break;
		control_handle(server, &message);
		control_message_deinit(&message);
	}
	if (r != CONTROL_E_EMPTY) {
		log_warning("the daemon is gone: stopping");
		worker_stop(server->worker);
	} else if (!more) {
		loop_poll(server->worker->loop, &server->receive, server->socket, POLLIN);
	}
}

int control_server_new(struct worker *worker, int socket, struct control_server **ret_server)
{
	struct control_server *server = NULL;
	socklen_t size = sizeof(int);
	int type, r;

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		r = -errno;
		goto error;
	}
	r = -ENOTSOCK;
	if (type != SOCK_SEQPACKET)
		goto error;
	r = -ENOMEM;
	server = calloc(1, sizeof(*server));
	if (!server)
		goto error;
	server->worker = worker;
	server->socket = socket;
	server->receive.complete = control_receive_all;
	loop_poll(worker->loop, &server->receive, socket, POLLIN);
	*ret_server = server;
	return 0;

error:
	close(socket);
	return r;
}

void control_server_free(struct control_server *server)
{
	if (!server)
		return;
	close(server->socket);
	free(server);
}

/* ---- Events ---- */

static void control_send_and_put(struct control_server *server, const char *event,
				 struct json_object *data)
{
	int r = data ? control_send_event(server->socket, event, data) : -ENOMEM;

	if (r < 0 && r != -EPIPE)
		log_warning("the event \"%s\" was lost: %s", event, strerror(-r));
	json_object_put(data);
}

void control_server_state(struct control_server *server, enum machine_state state,
			  enum machine_reason reason, const char *message)
{
	control_send_and_put(server, "state",
			     json_make("state", json_object_new_string(machine_state_name(state)),
				       "reason",
				       json_object_new_string(machine_reason_name(reason)),
				       "message", json_object_new_string(message), NULL));
}

void control_server_reset(struct control_server *server, enum machine_reason reason)
{
	control_send_and_put(
		server, "reset",
		json_make("reason", json_object_new_string(machine_reason_name(reason)), NULL));
}

void control_server_crash(struct control_server *server, const struct hvshim_crash *crash)
{
	struct json_object *parameters = json_object_new_array();
	AUTO_FREE char *text = text_escape_new(crash->text, crash->text_size);

	for (size_t i = 0; i < ARRAY_SIZE(crash->parameters); i++) {
		char parameter[24];

		snprintf(parameter, sizeof(parameter), "0x%" PRIx64, crash->parameters[i]);
		json_append(&parameters, json_object_new_string(parameter));
	}
	control_send_and_put(server, "crash",
			     json_make("parameters", parameters, "text",
				       text ? json_object_new_string(text) : NULL, NULL));
}

void control_server_vmbus(struct control_server *server, uint32_t version)
{
	char text[16];

	worker_version_text(version, text);
	control_send_and_put(server, "vmbus",
			     json_make("version", json_object_new_string(text), NULL));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket.
 *
 * One row of a table for each: its name, whether it needs a machine, its handler. All arguments
 * are read by one table of keys per method, into one struct. Nothing here waits: what takes its
 * time is answered later, by the request's id.
 */
#include "vmwp/control/control_methods.h"

#include "vmwp/control/control_call.h"
#include "vmwp/control/control_devices.h"
#include "vmwp/control/control_dump.h"
#include "vmwp/control/control_guest.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/inspection.h"
#include "vmwp/control/probe.h"
#include "vmwp/control/processors.h"
#include "vmwp/control/statistics.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void reply_error(struct reply *reply, const char *error, const char *format, ...)
{
	va_list arguments;

	reply->error = error;
	va_start(arguments, format);
	vsnprintf(reply->failure.message, sizeof(reply->failure.message), format, arguments);
	va_end(arguments);
}

void reply_failure(struct reply *reply, int error, const struct failure *failure)
{
	reply_error(reply, error == -ENOTSUP ? CONTROL_ERROR_NOT_CAPABLE : CONTROL_ERROR_FAILED,
		    "%s", failure->message[0] ? failure->message : strerror(-error));
}

/* ---- Before there is a machine ---- */

static int put_descriptor(struct worker *worker, struct json_object *name, int fd)
{
	if (json_object_is_type(name, json_type_string))
		return resources_put(worker->resources, json_object_get_string(name), fd);
	close(fd);
	return -EINVAL;
}

static void method_descriptors(struct call *call, const struct arguments *arguments)
{
	struct control_message *request = call->request;
	size_t count = json_object_array_length(arguments->names);

	if (count != request->fd_count) {
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "%zu names came with %zu descriptors.", count, request->fd_count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (put_descriptor(call->worker, json_object_array_get_idx(arguments->names, i),
				   TAKE_FD(request->fds[i])) == 0)
			continue;
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "Descriptor %zu of %zu has no name that means something.", i + 1,
			    count);
		return;
	}
}

static void method_configure(struct call *call, const struct arguments *arguments)
{
	struct definition *definition;
	struct json_error error = { 0 };
	struct failure failure = { 0 };
	int r;

	if (call->worker->definition) {
		reply_error(call->reply, CONTROL_ERROR_INVALID_STATE,
			    "The worker has its definition.");
		return;
	}
	if (definition_from_json(arguments->definition, &definition, &error) < 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
		return;
	}
	r = worker_build(call->worker, definition, &failure);
	if (r < 0)
		reply_failure(call->reply, r, &failure);
}

static void method_disks(struct call *call, const struct arguments *arguments)
{
	call->reply->result =
		json_make("disks", disk_healths_report(devices_disks(call->worker->devices)), NULL);
}

/* ---- Another daemon ---- */

static void method_adopt(struct call *call, const struct arguments *arguments)
{
	struct control_message *request = call->request;
	int r;

	if (request->fd_count != 2) {
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "A serial line and a standard error are to come with this.");
		return;
	}
	r = worker_adopt(call->worker, TAKE_FD(request->fds[0]), TAKE_FD(request->fds[1]));
	if (r < 0) {
		reply_error(call->reply, CONTROL_ERROR_FAILED, "%s", strerror(-r));
		return;
	}
	call->reply->result = worker_status(call->worker);
	json_add(&call->reply->result, "changed", json_object_new_int64(call->worker->changed));
	call->worker->changed = 0;
}

/* ---- The machine's life ---- */

static void reply_state_error(struct call *call, const char *verb)
{
	reply_error(call->reply, CONTROL_ERROR_INVALID_STATE, "A VM that is %s cannot be %s.",
		    machine_state_name(machine_state(call->worker->machine)), verb);
}

static void method_start(struct call *call, const struct arguments *arguments)
{
	struct failure failure = { 0 };
	int r = machine_start(call->worker->machine, &failure);

	if (r == MACHINE_E_STATE)
		reply_state_error(call, "started");
	else if (r < 0)
		reply_failure(call->reply, r, &failure);
}

static void method_pause(struct call *call, const struct arguments *arguments)
{
	if (machine_pause(call->worker->machine))
		reply_state_error(call, "paused");
}

static void method_resume(struct call *call, const struct arguments *arguments)
{
	if (machine_resume(call->worker->machine))
		reply_state_error(call, "resumed");
}

static void method_reset(struct call *call, const struct arguments *arguments)
{
	if (machine_reset(call->worker->machine))
		reply_state_error(call, "reset");
}

static void method_nmi(struct call *call, const struct arguments *arguments)
{
	int r = machine_nmi(call->worker->machine);

	if (r == MACHINE_E_STATE)
		reply_state_error(call, "interrupted");
	else if (r == -EAGAIN)
		reply_error(
			call->reply, CONTROL_ERROR_INVALID_STATE,
			"The guest takes no interrupts yet: its first processor's APIC is off.");
	else if (r < 0)
		reply_error(call->reply, CONTROL_ERROR_FAILED, "The NMI is refused by KVM: %s.",
			    strerror(-r));
}

static void method_dump(struct call *call, const struct arguments *arguments)
{
	control_dump_start(call->server, call->worker, call->request, call->reply);
}

static void method_cancel_dump(struct call *call, const struct arguments *arguments)
{
	control_dump_cancel(call->worker);
}

/* The machine reads them when the guest gives it reason to. */
static void method_change_actions(struct call *call, const struct arguments *arguments)
{
	struct json_error error = { 0 };

	if (definition_actions_from_json(arguments->actions, &call->worker->definition->actions,
					 &error) < 0)
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
}

/* It stays so for vps that a reset makes. */
static void method_pin(struct call *call, const struct arguments *arguments)
{
	struct definition *definition = call->worker->definition;
	struct failure failure = { 0 };
	struct json_error error = { 0 };
	int r;

	r = definition_pinning_from_json(arguments->pinning, definition->processors.count,
					 &definition->resources.pinning, &error);
	if (r < 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
		return;
	}
	r = machine_pin(call->worker->machine, &failure);
	if (r < 0)
		reply_failure(call->reply, r, &failure);
}

static void method_set_memory(struct call *call, const struct arguments *arguments)
{
	if (call->worker->memory)
		guest_memory_set_target(call->worker->memory, arguments->size);
	else
		reply_error(call->reply, CONTROL_ERROR_INVALID_STATE,
			    "The VM has no dynamic memory.");
}

static void method_stop(struct call *call, const struct arguments *arguments)
{
	worker_stop(call->worker);
}

static void method_shutdown(struct call *call, const struct arguments *arguments)
{
	enum ic_shutdown_action action = arguments->hibernate ? IC_SHUTDOWN_ACTION_HIBERNATE
					 : arguments->reboot  ? IC_SHUTDOWN_ACTION_REBOOT
							      : IC_SHUTDOWN_ACTION_POWER_OFF;
	void *ticket;
	int r;

	if (arguments->hibernate && !call->worker->definition->services.hibernation) {
		reply_error(call->reply, CONTROL_ERROR_NOT_CAPABLE,
			    "The VM offers its guest no hibernation: services.hibernation in its "
			    "definition, from its next start on.");
		return;
	}
	ticket = control_server_defer(call->server, call->request->id);
	if (!ticket) {
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
		return;
	}
	r = devices_shut_down(call->worker->devices, action, arguments->force,
			      control_server_shutdown_answered, ticket);
	if (r == 0) {
		call->reply->later = true;
		return;
	}
	control_server_forget(ticket);
	if (r == -ENOTCONN)
		reply_error(call->reply, CONTROL_ERROR_NOT_CONNECTED,
			    "The guest runs no shutdown service.");
	else if (r == -EALREADY)
		reply_error(call->reply, CONTROL_ERROR_BUSY,
			    "The guest has not answered the last request yet.");
	else if (r == -EOPNOTSUPP)
		reply_error(call->reply, CONTROL_ERROR_NOT_CAPABLE,
			    "The guest's shutdown service is too old for that.");
	else
		reply_error(call->reply, CONTROL_ERROR_FAILED, "The guest cannot be asked: %s.",
			    strerror(-r));
}

/* ---- Reports ---- */

static void method_status(struct call *call, const struct arguments *arguments)
{
	call->reply->result = worker_status(call->worker);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_statistics(struct call *call, const struct arguments *arguments)
{
	call->reply->result = statistics_report(call->worker);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_processors(struct call *call, const struct arguments *arguments)
{
	call->reply->result = processors_report(call->worker);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_inspect(struct call *call, const struct arguments *arguments)
{
	call->reply->result = inspection_report(call->worker, arguments->part, arguments->first);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_capabilities(struct call *call, const struct arguments *arguments)
{
	call->reply->result = probe_report(machine_vid(call->worker->machine));
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

/* ---- The table ---- */

#define KEY(key, reader, ...)                                                            \
	{                                                                                \
		.name = #key, .read = reader, .offset = offsetof(struct arguments, key), \
		__VA_ARGS__                                                              \
	}
#define CONTROLLER                                            \
	KEY(controller, json_read_unsigned, .required = true, \
	    .maximum = DEFINITION_CONTROLLERS_MAX - 1)
#define LUN KEY(lun, json_read_unsigned, .required = true, .maximum = DEFINITION_LUNS_MAX - 1)

static const struct json_key descriptors_keys[] = {
	KEY(names, json_read_value, .required = true, .minimum = json_type_array),
};
static const struct json_key change_actions_keys[] = {
	KEY(actions, json_read_value, .required = true, .minimum = json_type_object),
};
static const struct json_key pin_keys[] = {
	KEY(pinning, json_read_value, .required = true, .minimum = json_type_array),
};
static const struct json_key configure_keys[] = {
	KEY(definition, json_read_value, .required = true, .minimum = json_type_object),
};
static const struct json_key shutdown_keys[] = {
	KEY(force, json_read_bool),
	KEY(reboot, json_read_bool),
	KEY(hibernate, json_read_bool),
};
static const struct json_key set_memory_keys[] = {
	KEY(size, json_read_uint64, .required = true, .maximum = INT64_MAX),
};
static const struct json_key attach_keys[] = {
	KEY(disk, json_read_value, .required = true, .minimum = json_type_object),
};
static const struct json_key detach_keys[] = { CONTROLLER, LUN };
static const struct json_key insert_keys[] = {
	CONTROLLER,
	LUN,
	KEY(path, json_read_string, .maximum = 4096),
};
static const struct json_key eject_keys[] = { CONTROLLER, LUN, KEY(force, json_read_bool) };
#define ADAPTER_NAME \
	KEY(name, json_read_string, .required = true, .maximum = DEFINITION_ADAPTER_NAME_MAX)
static const struct json_key attach_adapter_keys[] = {
	KEY(adapter, json_read_value, .required = true, .minimum = json_type_object),
	KEY(backend, json_read_enum, .detail = adapters_backend_names),
};
static const struct json_key adapter_keys[] = { ADAPTER_NAME };
static const struct json_key connect_adapter_keys[] = {
	ADAPTER_NAME,
	KEY(backend, json_read_enum, .required = true, .detail = adapters_backend_names),
};

static const struct json_key inspect_keys[] = {
	KEY(part, json_read_enum, .required = true, .detail = control_part_names),
	KEY(first, json_read_unsigned, .maximum = UINT32_MAX),
};

#define KEYS(table) (table), ARRAY_SIZE(table)
#define NO_KEYS     NULL, 0

static const struct method {
	const char *name;
	void (*handle)(struct call *call, const struct arguments *arguments);
	bool needs_machine;
	const struct json_key *keys;
	size_t key_count;
	bool changes; /* what the definition says */
} methods[] = {
	{ "descriptors", method_descriptors, false, KEYS(descriptors_keys), false },
	{ "configure", method_configure, false, KEYS(configure_keys), false },
	{ "adopt", method_adopt, true, NO_KEYS, false },
	{ "start", method_start, true, NO_KEYS, false },
	{ "pause", method_pause, true, NO_KEYS, false },
	{ "resume", method_resume, true, NO_KEYS, false },
	{ "reset", method_reset, true, NO_KEYS, false },
	{ "nmi", method_nmi, true, NO_KEYS, false },
	{ "dump", method_dump, true, NO_KEYS, false },
	{ "cancel_dump", method_cancel_dump, true, NO_KEYS, false },
	{ "shutdown", method_shutdown, true, KEYS(shutdown_keys), false },
	{ "stop", method_stop, false, NO_KEYS, false },
	{ "change_actions", method_change_actions, true, KEYS(change_actions_keys), true },
	{ "pin", method_pin, true, KEYS(pin_keys), false },
	{ "set_memory", method_set_memory, true, KEYS(set_memory_keys), false },
	{ "attach", control_disk_attach, true, KEYS(attach_keys), true },
	{ "detach", control_disk_detach, true, KEYS(detach_keys), true },
	{ "reconnect", control_disk_reconnect, true, KEYS(detach_keys), false },
	{ "cancel_detach", control_disk_cancel, true, NO_KEYS, false },
	{ "insert", control_disk_insert, true, KEYS(insert_keys), true },
	{ "eject", control_disk_eject, true, KEYS(eject_keys), true },
	{ "attach_adapter", control_adapter_attach, true, KEYS(attach_adapter_keys), true },
	{ "detach_adapter", control_adapter_detach, true, KEYS(adapter_keys), true },
	{ "connect_adapter", control_adapter_connect, true, KEYS(connect_adapter_keys), true },
	{ "disconnect_adapter", control_adapter_connect, true, KEYS(adapter_keys), true },
	{ "status", method_status, true, NO_KEYS, false },
	{ "statistics", method_statistics, true, NO_KEYS, false },
	{ "disks", method_disks, true, NO_KEYS, false },
	{ "processors", method_processors, true, NO_KEYS, false },
	{ "inspect", method_inspect, true, KEYS(inspect_keys), false },
	{ "capabilities", method_capabilities, true, NO_KEYS, false },
};

static const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(name, methods[i].name) == 0)
			return &methods[i];
	return NULL;
}

static void method_call(const struct method *method, struct call *call)
{
	struct arguments arguments = { 0 };
	struct json_error error = { 0 };
	struct json_reader reader = JSON_READER(&error);

	if (json_read(&reader, call->request->body, method->keys, method->key_count, &arguments) <
	    0)
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
	else
		method->handle(call, &arguments);
	json_object_put(arguments.names);
	json_object_put(arguments.definition);
	json_object_put(arguments.actions);
	json_object_put(arguments.pinning);
	json_object_put(arguments.disk);
	json_object_put(arguments.adapter);
	free(arguments.path);
	free(arguments.name);
}

void control_method_call(struct control_server *server, struct worker *worker,
			 struct control_message *request, struct reply *reply)
{
	const struct method *method = method_find(request->name);
	struct call call = {
		.server = server, .worker = worker, .request = request, .reply = reply
	};

	if (!method && control_guest_call(server, worker, request, reply))
		return;
	if (!method)
		reply_error(reply, CONTROL_ERROR_INVALID, "There is no such method.");
	else if (method->needs_machine && !worker->machine)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE,
			    "The worker has no definition yet.");
	else
		method_call(method, &call);
	if (method && method->changes && !reply->error)
		worker->changed = request->id;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket.
 *
 * A request is checked and read by the contract (common/control_contract.h), and there is a handler
 * for each method of it. Nothing here waits: what takes its time is answered later, by the
 * request's id.
 */
#include "vmwp/control/control_methods.h"

#include "vmwp/control/control_backup.h"
#include "vmwp/control/control_call.h"
#include "vmwp/control/control_devices.h"
#include "vmwp/control/control_dump.h"
#include "vmwp/control/control_fork.h"
#include "vmwp/control/control_guest.h"
#include "vmwp/control/control_keyboard.h"
#include "vmwp/control/control_screen.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/control_state.h"
#include "vmwp/control/inspection.h"
#include "vmwp/control/probe.h"
#include "vmwp/control/processors.h"
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

static void method_descriptors(struct call *call, const struct control_arguments *arguments)
{
	struct control_message *request = call->request;
	size_t count = json_object_array_length(arguments->names);

	for (size_t i = 0; i < count; i++) {
		struct json_object *name = json_object_array_get_idx(arguments->names, i);

		if (resources_put(call->worker->resources, json_object_get_string(name),
				  TAKE_FD(request->fds[i])) == 0)
			continue;
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "Descriptor %zu of %zu has no name that means something.", i + 1,
			    count);
		return;
	}
}

static void method_configure(struct call *call, const struct control_arguments *arguments)
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

static void method_disks(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = json_make("disks",
					disk_healths_report(disks_healths(devices_get(
						call->worker->devices, DEVICE_STORAGE))),
					NULL);
}

/* ---- Another daemon ---- */

static void method_adopt(struct call *call, const struct control_arguments *arguments)
{
	struct control_message *request = call->request;
	int r;

	/* Nobody waits any more for a VM that is being saved: it goes on. */
	control_state_cancel(call->worker);
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

static void method_start(struct call *call, const struct control_arguments *arguments)
{
	struct machine *machine = call->worker->machine;
	struct failure failure = { 0 };
	int r = arguments->setup ? machine_enter_setup(machine, &failure) : 0;

	if (r == 0)
		r = machine_start(machine, &failure);
	if (r == MACHINE_E_STATE)
		reply_state_error(call, "started");
	else if (r < 0)
		reply_failure(call->reply, r, &failure);
}

static void method_pause(struct call *call, const struct control_arguments *arguments)
{
	if (machine_pause(call->worker->machine))
		reply_state_error(call, "paused");
}

static void method_resume(struct call *call, const struct control_arguments *arguments)
{
	struct failure failure = { 0 };
	int r = control_state_prepare_resume(call->worker, &failure);

	if (r < 0)
		reply_failure(call->reply, r, &failure);
	else if (machine_resume(call->worker->machine))
		reply_state_error(call, "resumed");
	else
		control_state_resumed(call->worker);
}

static void method_reset(struct call *call, const struct control_arguments *arguments)
{
	if (machine_reset(call->worker->machine))
		reply_state_error(call, "reset");
}

static void method_nmi(struct call *call, const struct control_arguments *arguments)
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

static void method_dump(struct call *call, const struct control_arguments *arguments)
{
	control_dump_start(call->server, call->worker, call->request, call->reply);
}

static void method_cancel_dump(struct call *call, const struct control_arguments *arguments)
{
	control_dump_cancel(call->worker);
}

static void method_cancel_save(struct call *call, const struct control_arguments *arguments)
{
	control_state_cancel(call->worker);
}

/* The machine reads them when the guest gives it reason to. */
static void method_change_actions(struct call *call, const struct control_arguments *arguments)
{
	struct json_error error = { 0 };

	if (definition_actions_from_json(arguments->actions, &call->worker->definition->actions,
					 &error) < 0)
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
}

/* It stays so for vps that a reset makes. */
static void method_pin(struct call *call, const struct control_arguments *arguments)
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

static void method_set_memory(struct call *call, const struct control_arguments *arguments)
{
	struct guest_memory *memory = devices_get(call->worker->devices, DEVICE_BALLOON);

	if (memory)
		guest_memory_set_target(memory, arguments->size);
	else
		reply_error(call->reply, CONTROL_ERROR_INVALID_STATE,
			    "The VM has no dynamic memory.");
}

static void method_stop(struct call *call, const struct control_arguments *arguments)
{
	worker_stop(call->worker);
}

static void method_take_over(struct call *call, const struct control_arguments *arguments)
{
	int r = handover_receive(call->worker->resources, call->request->fds[0]);

	if (r < 0)
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "What the other worker has handed over cannot be used: %s.",
			    strerror(-r));
}

static void method_shutdown(struct call *call, const struct control_arguments *arguments)
{
	enum ic_shutdown_action action = arguments->hibernate ? IC_SHUTDOWN_ACTION_HIBERNATE
					 : arguments->reboot  ? IC_SHUTDOWN_ACTION_REBOOT
							      : IC_SHUTDOWN_ACTION_POWER_OFF;
	struct ic_shutdown *shutdown = devices_get(call->worker->devices, DEVICE_SHUTDOWN);
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
	r = shutdown ? ic_shutdown_request(shutdown, action, arguments->force,
					   control_server_shutdown_answered, ticket)
		     : -ENOTCONN;
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

static void method_status(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = worker_status(call->worker);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_statistics(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = json_object_new_object();
	devices_counters(call->worker->devices, &call->reply->result);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_processors(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = processors_report(call->worker);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_inspect(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = inspection_report(call->worker, arguments->part, arguments->first);
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

static void method_capabilities(struct call *call, const struct control_arguments *arguments)
{
	call->reply->result = probe_report(machine_vid(call->worker->machine));
	if (!call->reply->result)
		reply_failure(call->reply, -ENOMEM, &call->reply->failure);
}

/* ---- Handlers ---- */

static void (*const handlers[])(struct call *call, const struct control_arguments *arguments) = {
	[CONTROL_METHOD_descriptors] = method_descriptors,
	[CONTROL_METHOD_configure] = method_configure,
	[CONTROL_METHOD_adopt] = method_adopt,
	[CONTROL_METHOD_start] = method_start,
	[CONTROL_METHOD_pause] = method_pause,
	[CONTROL_METHOD_resume] = method_resume,
	[CONTROL_METHOD_reset] = method_reset,
	[CONTROL_METHOD_nmi] = method_nmi,
	[CONTROL_METHOD_dump] = method_dump,
	[CONTROL_METHOD_cancel_dump] = method_cancel_dump,
	[CONTROL_METHOD_save] = control_state_save,
	[CONTROL_METHOD_cancel_save] = method_cancel_save,
	[CONTROL_METHOD_restore] = control_state_restore,
	[CONTROL_METHOD_send] = control_state_send,
	[CONTROL_METHOD_receive] = control_state_receive,
	[CONTROL_METHOD_cancel_move] = method_cancel_save,
	[CONTROL_METHOD_hand_over] = control_state_hand_over,
	[CONTROL_METHOD_take_over] = method_take_over,
	[CONTROL_METHOD_shutdown] = method_shutdown,
	[CONTROL_METHOD_stop] = method_stop,
	[CONTROL_METHOD_change_actions] = method_change_actions,
	[CONTROL_METHOD_pin] = method_pin,
	[CONTROL_METHOD_set_memory] = method_set_memory,
	[CONTROL_METHOD_attach] = control_disk_attach,
	[CONTROL_METHOD_detach] = control_disk_detach,
	[CONTROL_METHOD_reconnect] = control_disk_reconnect,
	[CONTROL_METHOD_measure] = control_disk_measure,
	[CONTROL_METHOD_cancel_detach] = control_disk_cancel,
	[CONTROL_METHOD_insert] = control_disk_insert,
	[CONTROL_METHOD_eject] = control_disk_eject,
	[CONTROL_METHOD_prepare_fork] = control_fork_prepare,
	[CONTROL_METHOD_fork] = control_fork_start,
	[CONTROL_METHOD_begin_backup] = control_backup_begin,
	[CONTROL_METHOD_serve_backup] = control_backup_serve,
	[CONTROL_METHOD_end_backup] = control_backup_end,
	[CONTROL_METHOD_attach_adapter] = control_adapter_attach,
	[CONTROL_METHOD_detach_adapter] = control_adapter_detach,
	[CONTROL_METHOD_connect_adapter] = control_adapter_connect,
	[CONTROL_METHOD_disconnect_adapter] = control_adapter_connect,
	[CONTROL_METHOD_status] = method_status,
	[CONTROL_METHOD_statistics] = method_statistics,
	[CONTROL_METHOD_disks] = method_disks,
	[CONTROL_METHOD_processors] = method_processors,
	[CONTROL_METHOD_inspect] = method_inspect,
	[CONTROL_METHOD_capabilities] = method_capabilities,
	[CONTROL_METHOD_list_values] = control_guest_call,
	[CONTROL_METHOD_get_value] = control_guest_call,
	[CONTROL_METHOD_set_value] = control_guest_call,
	[CONTROL_METHOD_delete_value] = control_guest_call,
	[CONTROL_METHOD_press_keys] = control_keyboard_press,
	[CONTROL_METHOD_take_picture] = control_screen_take_picture,
	[CONTROL_METHOD_show_screen] = control_screen_show,
	[CONTROL_METHOD_freeze] = control_guest_call,
	[CONTROL_METHOD_thaw] = control_guest_call,
	[CONTROL_METHOD_copy_file] = control_guest_call,
	[CONTROL_METHOD_cancel_copy] = control_guest_call,
	[CONTROL_METHOD_open_socket] = control_guest_call,
	[CONTROL_METHOD_answer_socket] = control_guest_call,
};

_Static_assert(ARRAY_SIZE(handlers) == CONTROL_METHOD_COUNT, "every method has a handler");

void control_method_call(struct control_server *server, struct worker *worker,
			 struct control_message *request, struct reply *reply)
{
	struct call call = {
		.server = server, .worker = worker, .request = request, .reply = reply
	};
	struct control_arguments arguments;
	struct control_refusal refusal;

	if (control_request_read(request, worker->machine != NULL, &call.method, &arguments,
				 &refusal) != 0) {
		reply_error(reply, refusal.code, "%s", refusal.text);
		return;
	}
	if (control_state_allows(worker, call.method->id, reply))
		handlers[call.method->id](&call, &arguments);
	control_arguments_deinit(&arguments);
	if (call.method->changes && !reply->error)
		worker->changed = request->id;
}

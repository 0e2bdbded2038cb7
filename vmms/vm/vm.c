/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the object, its state and its operations. vm_worker.c has what its worker tells of it. */
#include "vmms/vm/vm.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/image/image.h"
#include "vmms/units/units.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_disk_health.h"
#include "vmms/vm/vm_image_restart.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_ENVELOPE_MAX 1024 /* what a request adds to its arguments */

int vm_new(struct manager *manager, struct definition *definition, struct vm **ret_vm)
{
	CLEANUP(vm_freep) struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm) {
		definition_free(definition);
		return -ENOMEM;
	}
	list_init(&vm->link);
	list_init(&vm->uuid_link);
	list_init(&vm->adapters);
	list_init(&vm->moving.turn);
	vm_carrier_init(vm);
	vm_sockets_init(&vm->sockets);
	list_init(&vm->images.list);
	list_init(&vm->images.healths);
	list_init(&vm->images.restarts);
	vm_renewal_init(vm);
	vm->manager = manager;
	vm->definition = definition;
	vm_run_forget_guest(vm);
	r = console_new(manager->watches, manager->helpers, vm_owner(vm), &vm->console);
	if (r < 0)
		return r;
	*ret_vm = TAKE_PTR(vm);
	return 0;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	list_unlink(&vm->link);
	list_unlink(&vm->uuid_link);
	list_unlink(&vm->moving.turn);
	vm_clear_timer(vm);
	vm_restart_forget(vm);
	open_helper_free(vm->opening.open_helper);
	free(vm->opening.opened);
	saved_file_free(vm->opening.saved_file);
	file_holder_free(vm->opening.state);
	file_holder_free(vm->opening.moved);
	file_holder_free(vm->moving.socket);
	vm_carrier_end(vm);
	vm_removal_free(vm);
	vm_renewal_free(vm);
	vm_save_free(vm);
	vm_checkpoint_free(vm);
	vm_backup_free(vm);
	vm_confinement_free(vm);
	file_holder_free(vm->opening.files);
	file_holder_free(vm->guest.copied);
	file_holder_free(vm->dump.file);
	json_object_put(vm->opening.arguments);
	vm_sockets_forget(vm);
	vm_viewers_forget(vm);
	worker_free(vm->run.worker);
	statistics_reset(vm);
	vm_meter_free(vm);
	adapter_free(vm->change.adapter);
	vm_forget_adapters(vm);
	vm_images_forget(vm);
	vm_image_restart_forget(vm);
	vm_disk_health_free(vm);
	unit_free(vm->scope.unit);
	console_free(vm->console);
	vm_log_free(vm->log);
	definition_free(vm->change.definition);
	definition_free(vm->change.pending);
	json_object_put(vm->change.unfinished);
	definition_free(vm->pending);
	definition_free(vm->definition);
	free(vm);
}

const char *vm_owner(const struct vm *vm)
{
	if (vm->definition->owner)
		return vm->definition->owner;
	return geteuid() == 0 ? "root" : "";
}

bool vm_is_up(const struct vm *vm)
{
	return vm->run.worker || vm->state == VM_STARTING;
}

const char *vm_engine(const struct vm *vm)
{
	return vm->run.engine[0] != '\0' ? vm->run.engine
					 : definition_engine_names[vm->definition->engine];
}

void vm_describe_guest(const struct vm *vm, char text[GUEST_LIFE_TEXT])
{
	const char *problem = vm_run_firmware_problem(vm);

	text[0] = '\0';
	if (problem)
		snprintf(text, GUEST_LIFE_TEXT, "%s", problem);
	else if (vm->state == VM_RUNNING && vm->run.vmbus_version[0] == '\0')
		guest_life_describe(vm->definition->boot.command_line,
				    vm_clock(CLOCK_MONOTONIC) - vm->run.quiet_since, text);
}

int vm_check_definition(const struct definition *definition, struct failure *failure)
{
	AUTO_JSON struct json_object *tree = definition_to_json(definition);
	CLEANUP(definition_freep) struct definition *again = NULL;
	struct json_error error;
	size_t size;
	int r;

	if (!tree)
		return failure_no_memory(failure);
	json_object_to_json_string_length(tree, JSON_C_TO_STRING_PLAIN, &size);
	if (size > CONTROL_MESSAGE_MAX - CONTROL_ENVELOPE_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION,
				   "the definition of VM '%s' is too large for a worker (%zu "
				   "bytes); shorten its notes or the paths of its disks",
				   definition->name, size);
	for (unsigned i = 0; i < definition->network.adapter_count; i++) {
		r = vm_check_adapter(&definition->network.adapters[i], failure);
		if (r < 0)
			return r;
	}
	r = definition_from_json(tree, &again, &error);
	if (r == -EINVAL)
		return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION, "%s %s", error.key,
				   error.message);
	return r < 0 ? failure_no_memory(failure) : 0;
}

/* ---- State ---- */

void vm_notify(struct vm *vm, const char *property, ...)
{
	const char *properties[24] = { property }; /* with the end */
	va_list arguments;
	size_t count = 1;

	va_start(arguments, property);
	while (count < ARRAY_SIZE(properties) - 1 &&
	       (properties[count] = va_arg(arguments, const char *)))
		count++;
	va_end(arguments);
	manager_vm_changed(vm->manager, vm, properties);
}

void vm_set_state(struct vm *vm, enum vm_state state, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(vm->reason, sizeof(vm->reason), format, arguments);
	va_end(arguments);
	vm->reason[text_utf8_prefix(vm->reason, strlen(vm->reason))] = '\0';
	if (state == VM_RUNNING && vm->state != VM_RUNNING)
		vm_run_note_quiet(vm);
	vm->state = state;
	vm_log(vm, VM_EVENT_STATE, state == VM_CRASHED ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "%s%s%s",
	       vm_state_name(state), vm->reason[0] != '\0' ? ": " : "", vm->reason);
	vm_notify(vm, "State", "StateReason", NULL);
}

/* ---- Operations ---- */

int vm_check(struct vm *vm, enum vm_verb verb, struct failure *failure)
{
	if (!vm_state_allows(vm->state, verb)) {
		failure->name = vm_state_is_reached(vm->state, verb) ? DBUS_ERROR_ALREADY_IN_STATE
								     : DBUS_ERROR_INVALID_STATE;
		vm_state_refusal(vm->state, verb, vm->definition->name, failure->message,
				 sizeof(failure->message));
		return -EINVAL;
	}
	if (vm_is_expected(vm))
		return failure_set(
			failure, DBUS_ERROR_BUSY,
			"VM '%s' is waited for from another host; wait until it is here, "
			"or cancel job %u",
			vm->definition->name, vm->arrival.job->id);
	vm_checkpoint_give_way(vm);
	if (vm_change_waits(vm) && !vm->turning_off.done && verb != VM_TURN_OFF)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VM '%s' is busy: a disk or medium leaves it, as soon as the "
				   "host's storage has answered; wait for that, or see 'vmctl "
				   "detach --cancel'",
				   vm->definition->name);
	if (vm->turning_off.done || (vm->operation.done && verb != VM_TURN_OFF) ||
	    vm_save_looks(vm))
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VM '%s' is busy with another operation; wait for its end, or "
				   "turn the VM off",
				   vm->definition->name);
	return 0;
}

int vm_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data, struct failure *failure)
{
	struct vm_operation *operation = verb == VM_TURN_OFF ? &vm->turning_off : &vm->operation;
	int r;

	r = vm_check(vm, verb, failure);
	if (r < 0)
		return r;
	*operation = (struct vm_operation){ .done = done, .data = data, .verb = verb };
	return 0;
}

void vm_finish(struct vm_operation *operation, const struct failure *failure)
{
	struct vm_operation finished = *operation;

	*operation = (struct vm_operation){ 0 };
	if (finished.done)
		finished.done(finished.data, failure);
}

void vm_set_timer(struct vm *vm, unsigned seconds, sd_event_time_handler_t handler)
{
	int r;

	vm_clear_timer(vm);
	r = sd_event_add_time_relative(vm->manager->loop, &vm->timer, CLOCK_MONOTONIC,
				       seconds * UINT64_C(1000000), 0, handler, vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR, "cannot set a timer: %s", strerror(-r));
}

uint64_t vm_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void vm_clear_timer(struct vm *vm)
{
	vm->timer = sd_event_source_disable_unref(vm->timer);
}

int vm_failure(const struct vm *vm, const char *code, const char *text, struct failure *failure)
{
	static const struct {
		const char *code, *name;
	} names[] = {
		{ CONTROL_ERROR_INVALID, DBUS_ERROR_INVALID_ARGUMENT },
		{ CONTROL_ERROR_INVALID_STATE, DBUS_ERROR_INVALID_STATE },
		{ CONTROL_ERROR_NOT_CONNECTED, DBUS_ERROR_NOT_CONNECTED },
		{ CONTROL_ERROR_NOT_CAPABLE, DBUS_ERROR_HOST_NOT_CAPABLE },
		{ CONTROL_ERROR_BUSY, DBUS_ERROR_BUSY },
		{ CONTROL_ERROR_NOT_FOUND, DBUS_ERROR_NO_SUCH_DISK },
		{ CONTROL_ERROR_EXISTS, DBUS_ERROR_EXISTS },
	};
	const char *name = DBUS_ERROR_WORKER_FAILED;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].code, code) == 0)
			name = names[i].name;
	}
	return failure_set(failure, name, "VM '%s': %s", vm->definition->name, text);
}

/* ---- Reset, NMI, pause, resume ---- */

/* What is asked of the worker, and what state its consent makes. */
static const struct request_verb {
	const char *method;
	enum vm_state state;
	const char *reason;
} request_verbs[_VM_VERB_COUNT] = {
	[VM_RESET] = { "reset", VM_RUNNING, "reset" },
	[VM_NMI] = { "nmi", VM_RUNNING, "" },
	[VM_PAUSE] = { "pause", VM_PAUSED, "paused" },
	[VM_RESUME] = { "resume", VM_RUNNING, "" },
};

static void vm_verb_answered(void *data, struct json_object *result, const char *code,
			     const char *text)
{
	struct vm *vm = data;
	const struct request_verb *row = &request_verbs[vm->operation.verb];
	struct failure failure;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	if (!result) {
		vm_failure(vm, code, text, &failure);
		vm_finish(&vm->operation, &failure);
		return;
	}
	/* The VM may have begun to stop meanwhile, or said itself what it does now. */
	if (vm_state_allows(vm->state, vm->operation.verb) && vm->state != row->state)
		vm_set_state(vm, row->state, "%s", row->reason);
	vm_finish(&vm->operation, NULL);
}

static int vm_request(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
		      struct failure *failure)
{
	int r;

	r = vm_begin(vm, verb, done, data, failure);
	if (r < 0)
		return r;
	r = worker_request(vm->run.worker, request_verbs[verb].method, NULL, NULL, 0,
			   vm->manager->settings.answer_timeout, vm_verb_answered, vm);
	if (r < 0) {
		vm->operation = (struct vm_operation){ 0 };
		return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
	}
	return 0;
}

/* Whoever has a wait for a disk that leaves cancelled, perhaps for the sake of a reset. */
struct cancellation {
	struct vm *vm;
	bool resets;
	vm_done_fn done;
	void *data;
};

/* What was waited for has been answered before. */
static void vm_cancelled(void *data, struct json_object *result, const char *code, const char *text)
{
	struct cancellation cancellation = *(struct cancellation *)data;
	struct failure failure;
	int r = 0;

	free(data);
	if (!result)
		r = vm_failure(cancellation.vm, code, text, &failure);
	else if (cancellation.resets)
		r = vm_request(cancellation.vm, VM_RESET, cancellation.done, cancellation.data,
			       &failure);
	if (r < 0 || !cancellation.resets)
		cancellation.done(cancellation.data, r < 0 ? &failure : NULL);
}

static int vm_cancel(struct vm *vm, bool resets, vm_done_fn done, void *data,
		     struct failure *failure)
{
	struct cancellation *cancellation = calloc(1, sizeof(*cancellation));
	int r;

	if (!cancellation)
		return failure_no_memory(failure);
	*cancellation = (struct cancellation){ vm, resets, done, data };
	r = worker_request(vm->run.worker, "cancel_detach", NULL, NULL, 0,
			   vm->manager->settings.answer_timeout, vm_cancelled, cancellation);
	if (r >= 0)
		return 0;
	free(cancellation);
	return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
}

int vm_cancel_detach(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	if (!vm_change_waits(vm))
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "no disk or medium of VM '%s' is being taken away",
				   vm->definition->name);
	return vm_cancel(vm, false, done, data, failure);
}

int vm_reset(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	if (vm_change_waits(vm) && vm_state_allows(vm->state, VM_RESET) && !vm->turning_off.done)
		return vm_cancel(vm, true, done, data, failure);
	return vm_request(vm, VM_RESET, done, data, failure);
}

int vm_nmi(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	return vm_request(vm, VM_NMI, done, data, failure);
}

int vm_pause(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	return vm_request(vm, VM_PAUSE, done, data, failure);
}

int vm_resume(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	return vm_request(vm, VM_RESUME, done, data, failure);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: what its guest tells of itself, and what is asked of it. */
#include "vmms/vm/vm_guest.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Asking ---- */

struct question {
	struct vm *vm;
	const char *method;
	vm_guest_fn done;
	void *data;
};

/* What the codes mean of a guest, where that is not what they mean of a worker. */
static int guest_failure(const struct vm *vm, const char *code, const char *text,
			 struct failure *failure)
{
	static const struct {
		const char *code, *name;
	} names[] = {
		{ CONTROL_ERROR_NOT_FOUND, DBUS_ERROR_NO_SUCH_VALUE },
		{ CONTROL_ERROR_REFUSED, DBUS_ERROR_GUEST_REFUSED },
		{ CONTROL_ERROR_TIMEOUT, DBUS_ERROR_TIMEOUT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].code, code) == 0)
			return failure_set(failure, names[i].name, "VM '%s': %s",
					   vm->definition->name, text);
	return vm_failure(vm, code, text, failure);
}

static void guest_set_frozen(struct vm *vm, bool frozen)
{
	if (vm->guest.frozen == frozen)
		return;
	vm->guest.frozen = frozen;
	vm_notify(vm, "FileSystems", NULL);
}

static void guest_answered(void *data, struct json_object *result, const char *code,
			   const char *text)
{
	struct question question = *(struct question *)data;
	struct failure failure = { 0 };

	free(data);
	if (!result) {
		guest_failure(question.vm, code, text, &failure);
	} else if (strcmp(question.method, "freeze") == 0) {
		guest_set_frozen(question.vm, true);
	} else if (strcmp(question.method, "thaw") == 0) {
		guest_set_frozen(question.vm, false);
	}
	question.done(question.data, result, result ? NULL : &failure);
}

/* files: or NULL, and fd. */
static int guest_ask(struct vm *vm, const char *method, struct json_object *arguments, int fd,
		     const struct worker_files *files, unsigned timeout, vm_guest_fn done,
		     void *data, struct failure *failure)
{
	struct question *question;
	int r;

	if (vm->state != VM_RUNNING || !vm->run.worker)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' is %s; its guest can be asked while it is running",
				   vm->definition->name, vm_state_name(vm->state));
	question = malloc(sizeof(*question));
	if (!question)
		return failure_no_memory(failure);
	*question = (struct question){ vm, method, done, data };
	r = files ? worker_request_with_files(vm->run.worker, method, arguments, files, timeout,
					      guest_answered, question)
		  : worker_request(vm->run.worker, method, arguments, &fd, fd >= 0, timeout,
				   guest_answered, question);
	if (r == 0)
		return 0;
	free(question);
	return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
}

int vm_guest_ask(struct vm *vm, const char *method, struct json_object *arguments, int fd,
		 unsigned timeout, vm_guest_fn done, void *data, struct failure *failure)
{
	return guest_ask(vm, method, arguments, fd, NULL, timeout, done, data, failure);
}

/* ---- Jobs ---- */

/* Seconds. The worker bounds what it asks of the guest; these are for a worker that does not. */
#define FREEZE_TIMEOUT 300
#define CANCEL_TIMEOUT 60
#define NO_TIMEOUT     0

static void guest_ignored(void *data, struct json_object *result, const struct failure *failure)
{
}

/* The copy ends by that, with an error. */
static int guest_cancel_copy(struct job *job, struct failure *failure)
{
	return vm_guest_ask(job->vm, "cancel_copy", NULL, -1, CANCEL_TIMEOUT, guest_ignored, NULL,
			    failure);
}

static const struct job_kind freeze_kind = { .name = "freeze" };
static const struct job_kind thaw_kind = { .name = "thaw" };
static const struct job_kind copy_kind = { .name = "copy", .cancel = guest_cancel_copy };

static void guest_job_answered(void *data, struct json_object *result,
			       const struct failure *failure)
{
	job_end(data, failure);
}

static void guest_copy_answered(void *data, struct json_object *result,
				const struct failure *failure)
{
	struct job *job = data;

	if (job->vm->guest.copy == job) {
		file_holder_free(TAKE_PTR(job->vm->guest.copied));
		job->vm->guest.copy = NULL;
	}
	job_end(job, failure);
}

/* Asks as a job of that kind. Takes over the arguments. */
static int guest_ask_as_job(struct vm *vm, const struct job_kind *kind, const char *method,
			    struct json_object *arguments, const struct worker_files *files,
			    unsigned timeout, struct job **ret_job, struct failure *failure)
{
	AUTO_JSON struct json_object *taken = arguments;
	struct job *job;
	int r;

	if (!taken || job_new(vm->manager->jobs, kind, vm, &job) < 0)
		return failure_no_memory(failure);
	if (kind == &copy_kind)
		vm->guest.copy = job;
	r = guest_ask(vm, method, taken, -1, files, timeout,
		      kind == &copy_kind ? guest_copy_answered : guest_job_answered, job, failure);
	if (r < 0) {
		vm->guest.copy = vm->guest.copy == job ? NULL : vm->guest.copy;
		job_drop(job);
		return r;
	}
	job_publish(job);
	*ret_job = job;
	return 0;
}

int vm_freeze(struct vm *vm, unsigned limit, struct job **ret_job, struct failure *failure)
{
	return guest_ask_as_job(vm, &freeze_kind, "freeze",
				json_make("limit", json_object_new_int64(limit), NULL), NULL,
				FREEZE_TIMEOUT, ret_job, failure);
}

int vm_thaw(struct vm *vm, struct job **ret_job, struct failure *failure)
{
	return guest_ask_as_job(vm, &thaw_kind, "thaw", json_object_new_object(), NULL,
				FREEZE_TIMEOUT, ret_job, failure);
}

int vm_guest_take_file(struct vm *vm, int source, struct file_holder **ret_holder,
		       struct failure *failure)
{
	int r;

	r = file_holder_open(vm->manager->helpers, vm_owner(vm), source, ret_holder);
	return r < 0 ? failure_set(failure, DBUS_ERROR_RESOURCE,
				   "no process can be started for the file: %s", strerror(-r))
		     : 0;
}

int vm_copy_file(struct vm *vm, int fd, const struct vm_copy_options *options, struct job **ret_job,
		 struct failure *failure)
{
	const struct held_file file = { .number = 0 };
	struct worker_files files = { NULL, &file, 1 };
	int r;

	if (vm->guest.copy)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "a file is being copied into the guest of VM '%s' (job %u); "
				   "wait until that is done, or cancel it",
				   vm->definition->name, vm->guest.copy->id);
	r = vm_guest_take_file(vm, fd, &files.holder, failure);
	if (r < 0)
		return r;
	vm->guest.copied = files.holder;
	r = guest_ask_as_job(vm, &copy_kind, "copy_file",
			     json_make("path", json_object_new_string(options->path), "overwrite",
				       json_object_new_boolean(options->overwrite), "create_path",
				       json_object_new_boolean(options->create_path), NULL),
			     &files, NO_TIMEOUT, ret_job, failure);
	if (r < 0)
		file_holder_free(TAKE_PTR(vm->guest.copied));
	return r;
}

/* ---- What the worker tells ---- */

static void guest_copy(char *buffer, size_t size, const char *text)
{
	text_repair(buffer, size, text ? text : "", text ? strlen(text) : 0);
}

/* "Debian GNU/Linux 12 (6.1.0-30-amd64)". A Linux gives its kernel's as the system's version. */
static void guest_format_os(const struct control_event_data *data, char *os, size_t size)
{
	char name[VM_GUEST_TEXT_MAX / 2], version[VM_GUEST_TEXT_MAX / 2],
		build[VM_GUEST_TEXT_MAX / 2];

	guest_copy(name, sizeof(name), data->os_name);
	guest_copy(version, sizeof(version), data->os_version);
	guest_copy(build, sizeof(build), data->os_build);
	if (strncmp(build, version, strlen(version)) == 0)
		guest_copy(version, sizeof(version), data->os_major);
	snprintf(os, size, "%s%s%s%s%s%s", name, version[0] ? " " : "", version,
		 build[0] ? " (" : "", build, build[0] ? ")" : "");
}

void vm_guest_on_guest(struct vm *vm, const struct control_event_data *data)
{
	struct vm_guest *guest = &vm->guest;

	guest_format_os(data, guest->os, sizeof(guest->os));
	guest_copy(guest->host_name, sizeof(guest->host_name), data->host_name);
	guest_copy(guest->ipv4, sizeof(guest->ipv4), data->ipv4);
	guest_copy(guest->ipv6, sizeof(guest->ipv6), data->ipv6);
	vm_notify(vm, "GuestOS", "GuestHostName", "GuestAddresses", NULL);
}

void vm_guest_on_thawed(struct vm *vm, const struct control_event_data *data)
{
	char reason[32];

	guest_copy(reason, sizeof(reason), data->reason);
	vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_WARNING,
	       "its file systems are not frozen any more: %s", reason);
	guest_set_frozen(vm, false);
}

void vm_guest_on_copy(struct vm *vm, const struct control_event_data *data)
{
	if (vm->guest.copy)
		job_progress(vm->guest.copy, data->copied, data->size);
}

void vm_guest_forget(struct vm *vm)
{
	bool frozen = vm->guest.frozen;

	if (vm->guest.os[0] || vm->guest.host_name[0] || vm->guest.ipv4[0] || vm->guest.ipv6[0]) {
		vm->guest = (struct vm_guest){ .frozen = frozen,
					       .copy = vm->guest.copy,
					       .copied = vm->guest.copied };
		vm_notify(vm, "GuestOS", "GuestHostName", "GuestAddresses", NULL);
	}
	guest_set_frozen(vm, false);
}

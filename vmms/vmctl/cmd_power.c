/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl start, shutdown, stop, reset, pause, resume, delete. */
#include "vmms/vmctl/console.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/passed_files.h"
#include "vmms/vmctl/vm_info.h"

#include "common/base/cleanup.h"

#include <stdio.h>
#include <string.h>

/* Does the same to each VM that was named. Return: the first status that is not STATUS_OK. */
static enum status for_each_vm(struct invocation *invocation,
			       enum status (*act)(struct invocation *invocation, const char *path,
						  void *data),
			       void *data)
{
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		AUTO_FREE char *path = NULL;
		enum status status;

		status = service_find_vm(invocation, invocation->arguments[i], &path);
		if (status == STATUS_OK)
			status = act(invocation, path, data);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

static enum status call_method(struct invocation *invocation, const char *path, void *data)
{
	return service_call_vm(invocation, path, data);
}

/* ---- start ---- */

static enum status start_with_console(struct invocation *invocation)
{
	struct console_options options = { .escape = CONSOLE_ESCAPE_DEFAULT };
	AUTO_FREE char *path = NULL;
	enum status status;

	if (invocation->argument_count != 1)
		return usage_error(invocation, "--console goes with one VM");
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status != STATUS_OK)
		return status;
	options.start = true;
	return console_run(invocation, invocation->arguments[0], path, &options);
}

static enum status start_with_files(struct invocation *invocation, const char *path, void *data)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;

	status = service_new_call(invocation, path, "StartWithFiles", &call);
	if (status == STATUS_OK)
		status = passed_files_append(invocation, path, call);
	return status == STATUS_OK ? service_send(invocation, call, SERVICE_LONG_TIMEOUT, NULL)
				   : status;
}

enum status command_start(struct invocation *invocation)
{
	if (invocation_has(invocation, "pass") && invocation_has(invocation, "console"))
		return usage_error(invocation,
				   "either --console or --pass; 'vmctl console' opens the console "
				   "before, too");
	if (invocation_has(invocation, "pass"))
		return for_each_vm(invocation, start_with_files, NULL);
	if (invocation_has(invocation, "console"))
		return start_with_console(invocation);
	return for_each_vm(invocation, call_method, "Start");
}

/* ---- shutdown ---- */

struct shutdown {
	unsigned timeout; /* seconds; 0: none */
	int force, reboot, hibernate;
};

static enum status shut_down(struct invocation *invocation, const char *name,
			     const struct shutdown *shutdown, char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "Shutdown", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "a{sv}", 4, "force", "b", shutdown->force, "reboot", "b",
				  shutdown->reboot, "hibernate", "b", shutdown->hibernate,
				  "timeout", "u", (uint32_t)shutdown->timeout);
	return r < 0 ? service_failed(r, NULL) : job_begin(invocation, call, ret_job);
}

/* All guests are asked before the first one is waited for. */
enum status command_shutdown(struct invocation *invocation)
{
	struct shutdown shutdown = { .timeout = 120,
				     .force = invocation_has(invocation, "force"),
				     .reboot = invocation_has(invocation, "reboot"),
				     .hibernate = invocation_has(invocation, "hibernate") };
	struct begun_job jobs[COMMAND_ARGUMENTS_MAX] = { 0 };
	enum status first = STATUS_OK, status;

	if (!invocation_number(invocation, "timeout", 24 * 3600, &shutdown.timeout))
		return STATUS_USAGE;
	if (shutdown.reboot && shutdown.hibernate)
		return usage_error(invocation, "either --reboot or --hibernate");
	for (size_t i = 0; i < invocation->argument_count; i++) {
		jobs[i].vm = invocation->arguments[i];
		status = shut_down(invocation, jobs[i].vm, &shutdown, &jobs[i].path);
		if (first == STATUS_OK)
			first = status;
	}
	status = job_conclude(invocation, jobs, invocation->argument_count, false);
	return first == STATUS_OK ? status : first;
}

/* ---- stop ---- */

/* Also before it has a worker. */
static bool is_up(const struct vm_info *vm)
{
	return vm->worker_pid != 0 || strcmp(vm->state, "starting") == 0;
}

static enum status stop_all(struct invocation *invocation)
{
	CLEANUP(vm_list_deinit) struct vm_list list = { 0 };
	enum status status, first = STATUS_OK;

	if (invocation->argument_count > 0)
		return usage_error(invocation, "either --all or names");
	status = vm_list_get(invocation, &list);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < list.count; i++) {
		AUTO_FREE char *path = NULL;

		if (!is_up(&list.vms[i]))
			continue;
		status = service_find_vm(invocation, list.vms[i].name, &path);
		if (status == STATUS_OK)
			status = service_call_vm(invocation, path, "TurnOff");
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

enum status command_stop(struct invocation *invocation)
{
	if (invocation_has(invocation, "all"))
		return stop_all(invocation);
	if (invocation->argument_count == 0)
		return usage_error(invocation, "which VM? --all means every one");
	return for_each_vm(invocation, call_method, "TurnOff");
}

/* ---- reset, nmi, pause, resume, delete ---- */

/* Deletes VMs, and what is a broken definition and no VM. */
static enum status delete_all(struct invocation *invocation)
{
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		const char *name = invocation->arguments[i];
		enum status status;

		status = service_call_manager(invocation, "DeleteVM", SERVICE_TIMEOUT, NULL, "s",
					      name);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

enum status command_simple(struct invocation *invocation)
{
	static const struct {
		const char *command, *method;
	} methods[] = { { "reset", "Reset" },
			{ "nmi", "InjectNMI" },
			{ "pause", "Pause" },
			{ "resume", "Resume" } };

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].command, invocation->command->name) == 0)
			return for_each_vm(invocation, call_method, (void *)methods[i].method);
	}
	return delete_all(invocation);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl start, shutdown, stop, reset, nmi, pause, resume, save, renew, discard, rename. */
#include "vmms/vmctl/console.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/passed_files.h"
#include "vmms/vmctl/vm_info.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is done to one VM. */
struct act {
	const char *method;
	const char *done; /* what is said then: "VM 'web' …" */
	bool is_clusters; /* a matter of the cluster's, where the VM is one's */
};

/* What a cluster wants of its VM it does again, and takes what was not its doing for a failure. */
static void power_warn_of_cluster(struct invocation *invocation, const char *name, const char *path)
{
	int cluster = false;

	/* The cluster's own agent is run with this. */
	if (getenv("OCF_RESOURCE_INSTANCE") ||
	    sd_bus_get_property_trivial(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					"Cluster", NULL, 'b', &cluster) < 0 ||
	    !cluster)
		return;
	fprintf(stderr,
		"vmctl: VM '%s' is a cluster's, which starts and stops it by itself; "
		"'crm_resource' tells it what is wanted\n",
		name);
}

/* Does the same to each VM that was named. Return: the first status that is not STATUS_OK. */
static enum status power_for_each_vm(struct invocation *invocation,
				     enum status (*run)(struct invocation *invocation,
							const char *name, const char *path,
							const struct act *act),
				     const struct act *act)
{
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		const char *name = invocation->arguments[i];
		AUTO_FREE char *path = NULL;
		enum status status;

		status = service_find_vm(invocation, name, &path);
		if (status == STATUS_OK && act && act->is_clusters)
			power_warn_of_cluster(invocation, name, path);
		if (status == STATUS_OK)
			status = run(invocation, name, path, act);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

/* message: that there was nothing to do; NULL: it was done. */
static void power_say_done(struct invocation *invocation, const char *name, const struct act *act,
			   const char *message)
{
	if (message)
		output_say(invocation, "%s", message);
	else
		output_say(invocation, "VM '%s' %s", name, act->done);
}

static enum status power_call_method(struct invocation *invocation, const char *name,
				     const char *path, const struct act *act)
{
	AUTO_FREE char *message = NULL;
	enum status status = service_reach_state(invocation, path, act->method, &message);

	if (status == STATUS_OK)
		power_say_done(invocation, name, act, message);
	return status;
}

/* ---- start ---- */

static enum status power_start_with_console(struct invocation *invocation)
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
	power_warn_of_cluster(invocation, invocation->arguments[0], path);
	return console_run(invocation, invocation->arguments[0], path, &options);
}

static enum status power_start_vm(struct invocation *invocation, const char *name, const char *path,
				  const struct act *act)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *message = NULL;
	enum status status = service_new_start(invocation, path, &call);

	if (status == STATUS_OK)
		status = service_send_to_reach(invocation, call, NULL, &message);
	if (status == STATUS_OK)
		power_say_done(invocation, name, act, message);
	return status;
}

static enum status power_start_with_files(struct invocation *invocation, const char *name,
					  const char *path, const struct act *act)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *message = NULL;
	enum status status;

	status = service_new_call(invocation, path, act->method, &call);
	if (status == STATUS_OK)
		status = passed_files_append(invocation, path, call);
	if (status == STATUS_OK)
		status = service_send_to_reach(invocation, call, NULL, &message);
	if (status == STATUS_OK)
		power_say_done(invocation, name, act, message);
	return status;
}

/* One that is not saved is started all the same. */
static enum status power_discard_saved(struct invocation *invocation, const char *name,
				       const char *path, const struct act *act)
{
	AUTO_FREE char *message = NULL;

	return service_reach_state(invocation, path, "DiscardSavedState", &message);
}

enum status command_start(struct invocation *invocation)
{
	if (invocation_has(invocation, "pass") && invocation_has(invocation, "console"))
		return usage_error(invocation,
				   "either --console or --pass; 'vmctl console' opens the console "
				   "before, too");
	if (invocation_has(invocation, "pass") && invocation_has(invocation, "boot"))
		return usage_error(invocation, "either --boot or --pass");
	if (invocation_has(invocation, "file") && !invocation_has(invocation, "pass"))
		return usage_error(invocation, "--file goes with --pass");
	if (invocation_has(invocation, "discard")) {
		enum status status = power_for_each_vm(invocation, power_discard_saved, NULL);

		if (status != STATUS_OK)
			return status;
	}
	if (invocation_has(invocation, "pass"))
		return power_for_each_vm(invocation, power_start_with_files,
					 &(struct act){ "StartWithFiles", "started", true });
	if (invocation_has(invocation, "console"))
		return power_start_with_console(invocation);
	return power_for_each_vm(invocation, power_start_vm,
				 &(struct act){ .done = "started", .is_clusters = true });
}

/* ---- shutdown ---- */

struct shutdown {
	unsigned timeout; /* seconds; 0: none */
	int force, reboot, hibernate;
};

/* *ret_job: NULL if the VM is off already. */
static enum status power_shut_down(struct invocation *invocation, const char *name,
				   const struct shutdown *shutdown, char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_FREE char *path = NULL, *message = NULL;
	enum status status;
	int r;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		power_warn_of_cluster(invocation, name, path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "Shutdown", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "a{sv}", 4, "force", "b", shutdown->force, "reboot", "b",
				  shutdown->reboot, "hibernate", "b", shutdown->hibernate,
				  "timeout", "u", (uint32_t)shutdown->timeout);
	if (r < 0)
		return service_failed(r, NULL);
	/* A VM that is off has neither been started again nor kept its memory. */
	if (shutdown->reboot || shutdown->hibernate)
		return job_begin(invocation, call, ret_job);
	status = service_send_to_reach(invocation, call, &reply, &message);
	if (status == STATUS_OK && reply)
		return job_read(reply, ret_job);
	if (message)
		output_say(invocation, "%s", message);
	return status;
}

/* All guests are asked before the first one is waited for. */
enum status command_shutdown(struct invocation *invocation)
{
	struct shutdown shutdown = { .timeout = 120,
				     .force = invocation_has(invocation, "force"),
				     .reboot = invocation_has(invocation, "reboot"),
				     .hibernate = invocation_has(invocation, "hibernate") };
	AUTO_FREE struct begun_job *jobs = calloc(invocation->argument_count, sizeof(*jobs));
	enum status first = STATUS_OK, status;

	if (!invocation_number(invocation, "timeout", 24 * 3600, &shutdown.timeout))
		return STATUS_USAGE;
	if (shutdown.reboot && shutdown.hibernate)
		return usage_error(invocation, "either --reboot or --hibernate");
	if (!jobs)
		return service_failed(-ENOMEM, NULL);
	for (size_t i = 0; i < invocation->argument_count; i++) {
		jobs[i].vm = invocation->arguments[i];
		jobs[i].done = shutdown.reboot      ? "starts again"
			       : shutdown.hibernate ? "hibernates; it is off"
						    : "shut down";
		status = power_shut_down(invocation, jobs[i].vm, &shutdown, &jobs[i].path);
		if (first == STATUS_OK)
			first = status;
	}
	status = job_conclude(invocation, jobs, invocation->argument_count, false);
	return first == STATUS_OK ? status : first;
}

/* ---- save ---- */

/* *ret_job: NULL if the VM is saved already. */
static enum status power_save(struct invocation *invocation, const char *name, char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_FREE char *path = NULL, *message = NULL;
	enum status status;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		power_warn_of_cluster(invocation, name, path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "Save", &call);
	if (status == STATUS_OK)
		status = service_send_to_reach(invocation, call, &reply, &message);
	if (status == STATUS_OK && reply)
		return job_read(reply, ret_job);
	if (message)
		output_say(invocation, "%s", message);
	return status;
}

/* All are asked for before the first one is waited for. */
enum status command_save(struct invocation *invocation)
{
	AUTO_FREE struct begun_job *jobs = calloc(invocation->argument_count, sizeof(*jobs));
	enum status first = STATUS_OK, status;

	if (!jobs)
		return service_failed(-ENOMEM, NULL);
	for (size_t i = 0; i < invocation->argument_count; i++) {
		jobs[i].vm = invocation->arguments[i];
		jobs[i].done = "saved";
		status = power_save(invocation, jobs[i].vm, &jobs[i].path);
		if (first == STATUS_OK)
			first = status;
	}
	status = job_conclude(invocation, jobs, invocation->argument_count, true);
	return first == STATUS_OK ? status : first;
}

/* ---- stop ---- */

static const struct act turn_off = { "TurnOff", "turned off", true };

/* Also before it has a worker. */
static bool power_is_up(const struct vm_info *vm)
{
	return vm->worker_pid != 0 || strcmp(vm->state, "starting") == 0;
}

static enum status power_stop_all(struct invocation *invocation)
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

		if (!power_is_up(&list.vms[i]))
			continue;
		status = service_find_vm(invocation, list.vms[i].name, &path);
		if (status == STATUS_OK)
			status = power_call_method(invocation, list.vms[i].name, path, &turn_off);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

enum status command_stop(struct invocation *invocation)
{
	if (invocation_has(invocation, "all"))
		return power_stop_all(invocation);
	if (invocation->argument_count == 0)
		return usage_error(invocation, "which VM? --all means every one");
	return power_for_each_vm(invocation, power_call_method, &turn_off);
}

/* ---- reset, nmi, pause, resume, renew, discard ---- */

enum status command_simple(struct invocation *invocation)
{
	static const struct {
		const char *command;
		struct act act;
	} rows[] = { { "reset", { "Reset", "reset", false } },
		     { "nmi", { "InjectNMI", "was sent an NMI", false } },
		     { "pause", { "Pause", "paused", false } },
		     { "resume", { "Resume", "resumed", false } },
		     { "renew", { "Renew", "has a new worker", false } },
		     { "discard", { "DiscardSavedState", "has no saved state any more", false } } };

	size_t i = 0;

	while (strcmp(rows[i].command, invocation->command->name) != 0)
		i++;
	return power_for_each_vm(invocation, power_call_method, &rows[i].act);
}

/* ---- rename ---- */

enum status command_rename(struct invocation *invocation)
{
	const char *name = invocation->arguments[0], *wanted = invocation->arguments[1];
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "Rename", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "s", wanted);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, NULL);
	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' renamed to '%s'", name, wanted);
	return status;
}

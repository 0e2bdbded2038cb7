/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl job list, wait, cancel. */
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- list ---- */

struct row {
	uint32_t id;
	const char *kind, *vm, *state, *path;
	uint64_t started_at;
};

/* Return: 1 and a job; 0 at the end; -errno. */
static int job_next_row(sd_bus_message *reply, struct row *ret_row)
{
	return sd_bus_message_read(reply, "(usssto)", &ret_row->id, &ret_row->kind, &ret_row->vm,
				   &ret_row->state, &ret_row->started_at, &ret_row->path);
}

static int job_list_as_table(sd_bus_message *reply)
{
	static const char *const titles[] = { "JOB", "KIND", "VM", "STATE" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	struct row row;
	int r;

	if (!table)
		return -ENOMEM;
	while ((r = job_next_row(reply, &row)) > 0) {
		table_add(table, "%" PRIu32, row.id);
		table_add(table, "%s", row.kind);
		table_add(table, "%s", row.vm[0] ? row.vm : "-");
		table_add(table, "%s", row.state);
	}
	table_print(table);
	table_free(table);
	return r;
}

static int job_list_as_json(sd_bus_message *reply)
{
	struct json_object *jobs = json_object_new_array();
	struct row row;
	int r;

	while ((r = job_next_row(reply, &row)) > 0)
		json_append(&jobs, json_make("job", json_object_new_int64(row.id), "kind",
					     json_object_new_string(row.kind), "vm",
					     json_object_new_string(row.vm), "state",
					     json_object_new_string(row.state), "started_at",
					     json_object_new_uint64(row.started_at), "path",
					     json_object_new_string(row.path), NULL));
	if (r >= 0)
		return json_print(json_make("jobs", jobs, NULL));
	json_object_put(jobs);
	return r;
}

enum status command_job_list(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	int r;

	status = service_call_manager(invocation, "ListJobs", SERVICE_TIMEOUT, &reply, NULL);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_enter_container(reply, 'a', "(usssto)");
	if (r >= 0)
		r = invocation->json ? job_list_as_json(reply) : job_list_as_table(reply);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- wait, cancel ---- */

static enum status job_find_job(struct invocation *invocation, const char *text, char **ret_path)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	const char *path;
	uint64_t id;
	int r;

	if (parse_unsigned(text, 0, UINT32_MAX, &id) < 0)
		return usage_error(invocation, "'%s' is not the number of a job", text);
	status = service_call_manager(invocation, "GetJob", SERVICE_TIMEOUT, &reply, "u",
				      (uint32_t)id);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return service_failed(r, NULL);
	*ret_path = strdup(path);
	return *ret_path ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

static enum status cmd_job_cancel(struct invocation *invocation, const char *path)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, path,
					   DBUS_INTERFACE_JOB, "Cancel");
	return r < 0 ? service_failed(r, NULL)
		     : service_send(invocation, call, SERVICE_TIMEOUT, NULL);
}

static enum status job_for_each_job(struct invocation *invocation, bool wait)
{
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		const char *number = invocation->arguments[i];
		AUTO_FREE char *path = NULL;
		enum status status;

		status = job_find_job(invocation, number, &path);
		if (status == STATUS_OK)
			status = wait ? job_follow(invocation, path, number, false)
				      : cmd_job_cancel(invocation, path);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

enum status command_job_wait(struct invocation *invocation)
{
	return job_for_each_job(invocation, true);
}

enum status command_job_cancel(struct invocation *invocation)
{
	return job_for_each_job(invocation, false);
}

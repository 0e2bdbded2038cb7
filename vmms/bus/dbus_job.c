/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.Job: docs/dbus/org.vmms1.Job.md. */
#include "vmms/bus/dbus_internal.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Paths ---- */

#define JOB_PATH_SIZE (sizeof(DBUS_JOB_PREFIX) + 12)

static void job_path(const struct job *job, char path[JOB_PATH_SIZE])
{
	snprintf(path, JOB_PATH_SIZE, DBUS_JOB_PREFIX "/%u", job->id);
}

struct job *dbus_job_find(const struct dbus_service *service, const char *path)
{
	struct job *job;
	char canonical[JOB_PATH_SIZE];
	uint64_t id;

	if (strncmp(path, DBUS_JOB_PREFIX "/", sizeof(DBUS_JOB_PREFIX)) != 0 ||
	    parse_unsigned(path + sizeof(DBUS_JOB_PREFIX), 0, UINT32_MAX, &id) < 0)
		return NULL;
	job = jobs_find(service->manager->jobs, (unsigned)id);
	if (!job)
		return NULL;
	job_path(job, canonical);
	return strcmp(path, canonical) == 0 ? job : NULL;
}

static int dbus_job_find_job(sd_bus *bus, const char *path, const char *interface, void *data,
			     void **ret_found, sd_bus_error *error)
{
	*ret_found = dbus_job_find(data, path);
	return *ret_found != NULL;
}

static bool dbus_job_is_seen(const struct dbus_service *service, const struct job *job)
{
	if (job->has_user)
		return dbus_caller_is(service, job->user);
	return dbus_caller_sees(service, manager_find_uuid(service->manager, &job->vm_uuid));
}

static int dbus_job_list_paths(sd_bus *bus, const char *prefix, void *data, char ***ret_nodes,
			       sd_bus_error *error)
{
	const struct dbus_service *service = data;
	const struct list *list = jobs_list(service->manager->jobs);
	size_t count = 0;
	char **nodes;

	list_for_each (link, (struct list *)list)
		count++;
	nodes = calloc(count + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	count = 0;
	list_for_each (link, (struct list *)list) {
		char path[JOB_PATH_SIZE];

		if (!dbus_job_is_seen(service, container_of(link, struct job, link)))
			continue;
		job_path(container_of(link, struct job, link), path);
		nodes[count] = strdup(path);
		if (!nodes[count++])
			goto fail;
	}
	*ret_nodes = nodes;
	return 0;
fail:
	while (count > 0)
		free(nodes[--count]);
	free(nodes);
	return -ENOMEM;
}

int dbus_reply_job(sd_bus_message *call, int r, const struct job *job,
		   const struct failure *failure)
{
	char path[JOB_PATH_SIZE];

	if (r < 0)
		return dbus_reply_failure(call, failure);
	job_path(job, path);
	return sd_bus_reply_method_return(call, "o", path);
}

/* ---- Methods ---- */

static int dbus_job_cancel(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;

	if (job_cancel(data, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

static int dbus_job_wait_for(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int r;

	r = job_wait(data, dbus_done, sd_bus_message_ref(call));
	if (r < 0) {
		sd_bus_message_unref(call);
		return r;
	}
	return 1;
}

/* Of the manager. */
int dbus_get_job(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure;
	struct job *job;
	uint32_t id;
	int r;

	r = sd_bus_message_read(call, "u", &id);
	if (r < 0)
		return r;
	job = jobs_find(service->manager->jobs, id);
	r = job ? 0
		: failure_set(&failure, DBUS_ERROR_NO_SUCH_JOB,
			      "there is no job %u; one that has ended is kept for %d minutes", id,
			      JOB_KEPT / 60);
	return dbus_reply_job(call, r, job, &failure);
}

static int dbus_job_append_jobs(sd_bus_message *reply, const struct dbus_service *service)
{
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(usssto)");
	list_for_each (link, (struct list *)jobs_list(service->manager->jobs)) {
		const struct job *job = container_of(link, struct job, link);
		char path[JOB_PATH_SIZE];

		if (r < 0)
			return r;
		if (!dbus_job_is_seen(service, job))
			continue;
		job_path(job, path);
		r = sd_bus_message_append(reply, "(usssto)", (uint32_t)job->id, job->kind->name,
					  job->vm_name, job_state_name(job), job->started_at, path);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

int dbus_list_jobs(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	sd_bus_message *reply = NULL;
	int r;

	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = dbus_job_append_jobs(reply, service);
	if (r >= 0)
		r = sd_bus_message_send(reply);
	sd_bus_message_unref(reply);
	return r;
}

/* ---- Properties ---- */

#define PROPERTY(name, signature, ...)                                                 \
	static int get_##name(sd_bus *bus, const char *path, const char *interface,    \
			      const char *property, sd_bus_message *reply, void *data, \
			      sd_bus_error *error)                                     \
	{                                                                              \
		const struct job *job = data;                                          \
                                                                                       \
		return sd_bus_message_append(reply, signature, __VA_ARGS__);           \
	}

PROPERTY(id, "u", (uint32_t)job->id)
PROPERTY(kind, "s", job->kind->name)
PROPERTY(vm_name, "s", job->vm_name)
PROPERTY(state, "s", job_state_name(job))
PROPERTY(done, "t", job->done)
PROPERTY(total, "t", job->total)
PROPERTY(cancellable, "b", job->state == JOB_RUNNING && job->kind->cancel)
PROPERTY(error, "(ss)", job->failure.name ? job->failure.name : "", job->failure.message)
PROPERTY(result, "s", job->result ? job->result : "")
PROPERTY(started_at, "t", job->started_at)
PROPERTY(ended_at, "t", job->ended_at)

static int dbus_job_get_vm(sd_bus *bus, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *data,
			   sd_bus_error *error)
{
	const struct job *job = data;
	char vm[DBUS_OBJECT_PATH_SIZE];

	if (job->has_user)
		return sd_bus_message_append(reply, "o", "/");
	dbus_object_path(DBUS_VM_PREFIX, &job->vm_uuid, vm);
	return sd_bus_message_append(reply, "o", vm);
}

#define METHOD(name, handler)                                                    \
	SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, handler, \
				SD_BUS_VTABLE_UNPRIVILEGED)
#define CONSTANT(name, signature, getter) \
	SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_CONST)
#define VALUE(name, signature, getter) \
	SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable job_vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("Cancel", dbus_job_cancel),
	METHOD("Wait", dbus_job_wait_for),
	CONSTANT("Id", "u", get_id),
	CONSTANT("Kind", "s", get_kind),
	CONSTANT("VM", "o", dbus_job_get_vm),
	CONSTANT("VMName", "s", get_vm_name),
	CONSTANT("StartedAt", "t", get_started_at),
	VALUE("State", "s", get_state),
	VALUE("Done", "t", get_done),
	VALUE("Total", "t", get_total),
	VALUE("Cancellable", "b", get_cancellable),
	VALUE("Error", "(ss)", get_error),
	VALUE("Result", "s", get_result),
	VALUE("EndedAt", "t", get_ended_at),
	SD_BUS_VTABLE_END,
};

int dbus_job_register(struct dbus_service *service)
{
	return dbus_register_objects(service, DBUS_JOB_PREFIX, DBUS_INTERFACE_JOB, job_vtable,
				     dbus_job_find_job, dbus_job_list_paths);
}

/* ---- Signals ---- */

struct job_object {
	struct dbus_object object;
	char path[JOB_PATH_SIZE];
};

static const struct dbus_object *dbus_job_object(struct job_object *object, struct job *job)
{
	job_path(job, object->path);
	object->object = (struct dbus_object){ object->path, DBUS_INTERFACE_JOB, job_vtable, job };
	return &object->object;
}

static struct dbus_audience dbus_job_audience(const struct dbus_service *service,
					      const struct job *job)
{
	return (struct dbus_audience){
		.vm = job->has_user ? NULL : manager_find_uuid(service->manager, &job->vm_uuid),
		.job = job,
	};
}

void dbus_job_added(struct dbus_service *service, struct job *job)
{
	struct job_object object;

	dbus_object_added(service, dbus_job_audience(service, job), dbus_job_object(&object, job));
}

void dbus_job_removed(struct dbus_service *service, struct job *job)
{
	struct job_object object;

	dbus_object_removed(service, dbus_job_audience(service, job),
			    dbus_job_object(&object, job));
}

void dbus_job_changed(struct dbus_service *service, struct job *job, const char *const *properties)
{
	struct job_object object;

	dbus_object_changed(service, dbus_job_audience(service, job), dbus_job_object(&object, job),
			    properties);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Backups: docs/dbus/org.vmms1.Files.md, docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdlib.h>

/* A backup is cancelled when who reads it is gone from the bus, and so will never end it. */
struct backup_reader {
	struct jobs *jobs;
	unsigned job;
	bool over; /* the job */
	sd_bus_track *track;
};

static void dbus_backup_reader_free(struct backup_reader *reader)
{
	sd_bus_track_unref(reader->track);
	free(reader);
}

static int dbus_backup_reader_gone(sd_bus_track *track, void *data)
{
	struct backup_reader *reader = data;
	struct job *job = jobs_find(reader->jobs, reader->job);
	struct failure failure;

	if (job && !reader->over)
		(void)!job_cancel(job, &failure);
	return 0;
}

static void dbus_backup_over(void *data, const struct failure *failure)
{
	dbus_backup_reader_free(data);
}

/* Best effort: without, somebody has to cancel the job. */
static void dbus_backup_watch_reader(struct dbus_service *service, sd_bus_message *call,
				     struct job *job)
{
	struct backup_reader *reader = calloc(1, sizeof(*reader));
	const char *name = sd_bus_message_get_sender(call);
	int r = reader && name ? 0 : -ENOMEM;

	if (r == 0) {
		reader->jobs = job->jobs;
		reader->job = job->id;
		r = sd_bus_track_new(service->bus, &reader->track, dbus_backup_reader_gone, reader);
	}
	if (r >= 0)
		r = sd_bus_track_add_name(reader->track, name);
	if (r >= 0)
		r = job_wait(job, dbus_backup_over, reader);
	if (r < 0 && reader)
		dbus_backup_reader_free(reader);
}

int dbus_back_up(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int crash_consistent = false, releases = false, fd, r;
	uint64_t scratch = 0;
	const struct dbus_option options[] = { { "crash-consistent", 'b', &crash_consistent },
					       { "releases", 'b', &releases },
					       { "scratch", 't', &scratch } };
	struct vm_backup_options backup;
	struct failure failure = { 0 };
	struct vm *vm = data;
	struct job *job = NULL;

	r = sd_bus_message_read(call, "h", &fd);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	backup = (struct vm_backup_options){ .crash_consistent = crash_consistent,
					     .releases = releases,
					     .scratch = scratch };
	r = vm_backup_begin(vm, fd, &backup, &job, &failure);
	if (r == 0)
		dbus_backup_watch_reader(dbus_access_service_of(call), call, job);
	return dbus_reply_job(call, r, job, &failure);
}

int dbus_end_backup(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;
	int r = vm_backup_end(data, dbus_done, sd_bus_message_ref(call), &failure);

	return dbus_conclude(call, r, &failure);
}

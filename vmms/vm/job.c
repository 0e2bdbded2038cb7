/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs. */
#include "vmms/vm/job.h"

#include "common/base/log.h"
#include "vmms/vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct jobs {
	sd_event *loop;
	struct list list; /* those that are published */
	unsigned last_id, ended_count;
	const struct jobs_observer *observer;
	void *observer_data;
};

struct waiter {
	struct list link;
	void (*done)(void *data, const struct failure *failure);
	void *data;
};

/* ---- Life ---- */

static void job_ignore_job(void *data, struct job *job)
{
}

static void job_ignore_change(void *data, struct job *job, const char *const *properties)
{
}

static const struct jobs_observer nobody = {
	.added = job_ignore_job,
	.removed = job_ignore_job,
	.changed = job_ignore_change,
};

void jobs_observe(struct jobs *jobs, const struct jobs_observer *observer, void *data)
{
	jobs->observer = observer ? observer : &nobody;
	jobs->observer_data = data;
}

int jobs_new(sd_event *loop, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return -ENOMEM;
	jobs->loop = sd_event_ref(loop);
	list_init(&jobs->list);
	jobs_observe(jobs, NULL, NULL);
	*ret_jobs = jobs;
	return 0;
}

static void job_free(struct job *job)
{
	list_unlink(&job->link);
	list_for_each (link, &job->waiters)
		free(container_of(link, struct waiter, link));
	sd_event_source_disable_unref(job->expiry);
	free(job->result);
	free(job);
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	list_for_each (link, &jobs->list)
		job_free(container_of(link, struct job, link));
	sd_event_unref(jobs->loop);
	free(jobs);
}

/* ---- Finding ---- */

const struct list *jobs_list(const struct jobs *jobs)
{
	return &jobs->list;
}

struct job *jobs_find(const struct jobs *jobs, unsigned id)
{
	list_for_each (link, (struct list *)&jobs->list) {
		struct job *job = container_of(link, struct job, link);

		if (job->id == id)
			return job;
	}
	return NULL;
}

const char *job_state_name(const struct job *job)
{
	static const char *const names[] = {
		[JOB_RUNNING] = "running",
		[JOB_DONE] = "done",
		[JOB_FAILED] = "failed",
		[JOB_CANCELLED] = "cancelled",
	};

	return job->state == JOB_RUNNING && job->waiting ? "waiting" : names[job->state];
}

/* ---- The end of their being kept ---- */

static void job_forget(struct job *job)
{
	struct jobs *jobs = job->jobs;

	jobs->ended_count--;
	jobs->observer->removed(jobs->observer_data, job);
	job_free(job);
}

static int job_expired(sd_event_source *source, uint64_t usec, void *data)
{
	job_forget(data);
	return 0;
}

static void job_forget_oldest(struct jobs *jobs, const struct job *but)
{
	list_for_each (link, &jobs->list) {
		struct job *job = container_of(link, struct job, link);

		if (job->state == JOB_RUNNING || job == but)
			continue;
		job_forget(job);
		return;
	}
}

/* It is published, and has ended. */
static void job_keep_for_a_while(struct job *job)
{
	struct jobs *jobs = job->jobs;
	int r;

	if (++jobs->ended_count > JOBS_ENDED_MAX)
		job_forget_oldest(jobs, job);
	r = sd_event_add_time_relative(jobs->loop, &job->expiry, CLOCK_MONOTONIC,
				       JOB_KEPT * UINT64_C(1000000), 0, job_expired, job);
	if (r < 0)
		log_warning("job %u is kept for longer: no timer: %s", job->id, strerror(-r));
}

/* ---- What they stand for ---- */

static uint64_t job_read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct job *job_make(struct jobs *jobs, const struct job_kind *kind)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	list_init(&job->link);
	list_init(&job->waiters);
	job->jobs = jobs;
	job->id = ++jobs->last_id;
	job->kind = kind;
	job->started_at = job_read_clock(CLOCK_REALTIME);
	job->started_boot = job_read_clock(CLOCK_BOOTTIME);
	return job;
}

int job_new(struct jobs *jobs, const struct job_kind *kind, struct vm *vm, struct job **ret_job)
{
	struct job *job = job_make(jobs, kind);

	if (!job)
		return -ENOMEM;
	job->vm = vm;
	job->vm_uuid = vm->definition->uuid;
	snprintf(job->vm_name, sizeof(job->vm_name), "%s", vm->definition->name);
	snprintf(job->vm_owner, sizeof(job->vm_owner), "%s", vm_owner(vm));
	*ret_job = job;
	return 0;
}

int job_new_for_user(struct jobs *jobs, const struct job_kind *kind, uid_t user, void *work,
		     struct job **ret_job)
{
	struct job *job = job_make(jobs, kind);

	if (!job)
		return -ENOMEM;
	job->has_user = true;
	job->user = user;
	job->work = work;
	*ret_job = job;
	return 0;
}

int job_set_result(struct job *job, const char *result)
{
	char *copy = strdup(result);

	if (!copy)
		return -ENOMEM;
	free(job->result);
	job->result = copy;
	return 0;
}

void job_drop(struct job *job)
{
	job_free(job);
}

void job_publish(struct job *job)
{
	struct jobs *jobs = job->jobs;

	job->published = true;
	list_append(&jobs->list, &job->link);
	jobs->observer->added(jobs->observer_data, job);
	if (job->state != JOB_RUNNING)
		job_keep_for_a_while(job);
}

static void job_changed(struct job *job, const char *const *properties)
{
	if (job->published)
		job->jobs->observer->changed(job->jobs->observer_data, job, properties);
}

void job_progress(struct job *job, uint64_t done, uint64_t total)
{
	static const char *const properties[] = { "Done", "Total", NULL };

	job->done = done;
	job->total = total;
	job_changed(job, properties);
}

void job_set_waiting(struct job *job, bool waiting)
{
	static const char *const properties[] = { "State", NULL };

	job->waiting = waiting;
	job_changed(job, properties);
}

static const struct failure *job_failure(const struct job *job)
{
	return job->failure.name ? &job->failure : NULL;
}

static void job_tell_waiters(struct job *job)
{
	list_for_each (link, &job->waiters) {
		struct waiter *waiter = container_of(link, struct waiter, link);

		list_unlink(&waiter->link);
		waiter->done(waiter->data, job_failure(job));
		free(waiter);
	}
}

void job_end(void *data, const struct failure *failure)
{
	static const char *const properties[] = { "State",   "Error",       "Done",   "Total",
						  "EndedAt", "Cancellable", "Result", NULL };
	struct job *job = data;

	job->vm = NULL;
	job->work = NULL;
	/* So that the time between is true, even if somebody has set the clock. */
	job->ended_at = job->started_at + job_read_clock(CLOCK_BOOTTIME) - job->started_boot;
	job->state = !failure ? JOB_DONE : job->cancelled ? JOB_CANCELLED : JOB_FAILED;
	if (job->state == JOB_CANCELLED)
		failure_set(&job->failure, DBUS_ERROR_CANCELLED, "job %u has been cancelled (%s)",
			    job->id, failure->message);
	else if (failure)
		job->failure = *failure;
	job_changed(job, properties);
	job_tell_waiters(job);
	if (job->published)
		job_keep_for_a_while(job);
}

/* ---- Who watches ---- */

int job_cancel(struct job *job, struct failure *failure)
{
	int r;

	if (job->state != JOB_RUNNING)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE, "job %u has ended already",
				   job->id);
	if (!job->kind->cancel)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "job %u, a %s, cannot be cancelled: it ends by itself", job->id,
				   job->kind->name);
	if (job->cancelled)
		return 0;
	job->cancelled = true;
	r = job->kind->cancel(job, failure);
	if (r < 0)
		job->cancelled = false;
	return r;
}

int job_wait(struct job *job, void (*done)(void *data, const struct failure *failure), void *data)
{
	struct waiter *waiter;

	if (job->state != JOB_RUNNING) {
		done(data, job_failure(job));
		return 0;
	}
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){ .done = done, .data = data };
	list_append(&job->waiters, &waiter->link);
	return 0;
}

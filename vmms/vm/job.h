/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: what was asked for and takes its time, to be watched, waited for and cancelled.
 *
 * A job is made before what it stands for is begun, so that there is something to end whenever that
 * ends. If it is refused the job is dropped, and nobody has seen it; else it is published. A job
 * that has ended is kept for JOB_KEPT seconds, so that whoever asks late learns how; of those that
 * have ended at most JOBS_ENDED_MAX. The VMs see to it that not many
 * are under way.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define JOB_KEPT       300 /* seconds */
#define JOBS_ENDED_MAX 100

struct jobs;
struct vm;

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job_kind {
	const char *name; /* "shutdown", …: as on the bus */

	/*
	 * Asks for the end, which then comes by job_end(), perhaps before this returns. NULL: that
	 * cannot be. Return: 0, or negative with *failure filled.
	 */
	int (*cancel)(struct vm *vm, struct failure *failure);
};

/* Read by the D-Bus side; changed by vmms/vm/job.c alone. */
struct job {
	struct list link;
	struct jobs *jobs;
	unsigned id;
	const struct job_kind *kind;
	struct vm *vm; /* NULL when it has ended */
	struct guid vm_uuid;
	char vm_name[DEFINITION_NAME_MAX + 1];
	enum job_state state;
	bool published, cancelled; /* cancelled: somebody has asked for it */
	uint64_t done, total;      /* of whatever the kind counts; total 0: not known */
	uint64_t started_at,
		ended_at;       /* microseconds since 1970, by the clock at the start; 0: not yet */
	uint64_t started_boot;  /* CLOCK_BOOTTIME, microseconds */
	struct failure failure; /* name NULL: none */
	struct list waiters;
	sd_event_source *expiry;
};

/* All required. The job is there during all three. */
struct jobs_observer {
	void (*added)(void *data, struct job *job);
	void (*removed)(void *data, struct job *job);

	/* Names of properties as in docs/dbus/, closed by NULL. */
	void (*changed)(void *data, struct job *job, const char *const *properties);
};

int jobs_new(sd_event *loop, struct jobs **ret_jobs) MUST_CHECK;

/* Jobs under way are forgotten, and so is who waits for them. */
void jobs_free(struct jobs *jobs);
DEFINE_CLEANUP(struct jobs *, jobs_free)

/* One observer at a time; NULL: none. */
void jobs_observe(struct jobs *jobs, const struct jobs_observer *observer, void *data);

/* All that are published, the oldest first: of struct job. */
const struct list *jobs_list(const struct jobs *jobs);

/* NULL: there is none, or not any more. */
struct job *jobs_find(const struct jobs *jobs, unsigned id);

/* "running", "done", "failed" or "cancelled". */
const char *job_state_name(enum job_state state);

/* ---- For what a job stands for ---- */

/* kind: static. */
int job_new(struct jobs *jobs, const struct job_kind *kind, struct vm *vm,
	    struct job **ret_job) MUST_CHECK;

/* What it stands for was refused. */
void job_drop(struct job *job);

/* It is under way, or over already. */
void job_publish(struct job *job);

void job_progress(struct job *job, uint64_t done, uint64_t total);

/* A vm_done_fn: data is the job. */
void job_end(void *data, const struct failure *failure);

/* ---- For who watches ---- */

/* Return: 0: it will end, if it has not; negative with *failure filled. */
int job_cancel(struct job *job, struct failure *failure) MUST_CHECK;

/*
 * Calls back when the job has ended, perhaps before this returns, with what it failed with. Return:
 * 0; -ENOMEM: it will not.
 */
int job_wait(struct job *job, void (*done)(void *data, const struct failure *failure),
	     void *data) MUST_CHECK;

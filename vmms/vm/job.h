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
#include <sys/types.h>
#include <systemd/sd-event.h>

#define JOB_KEPT       300 /* seconds */
#define JOBS_ENDED_MAX 100

struct job;
struct jobs;
struct vm;

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job_kind {
	const char *name; /* "shutdown", …: as on the bus */

	/*
	 * Asks for the end, which then comes by job_end(), perhaps before this returns. NULL: that
	 * cannot be. Return: 0, or negative with *failure filled.
	 */
	int (*cancel)(struct job *job, struct failure *failure);
};

/* Read by the D-Bus side; changed by vmms/vm/job.c alone. */
struct job {
	struct list link;
	struct jobs *jobs;
	unsigned id;
	const struct job_kind *kind;
	struct vm *vm;                           /* NULL when it has ended, and of a user's */
	struct guid vm_uuid;                     /* all zero of a user's */
	char vm_name[DEFINITION_NAME_MAX + 1];   /* "" of a user's */
	char vm_owner[DEFINITION_OWNER_MAX + 1]; /* whose the VM is, or was; "" of a user's */
	bool has_user;                           /* it is a user's, and no VM's */
	uid_t user;
	void *work;   /* of a user's: what it stands for, while it is under way */
	char *result; /* what it has found, as JSON; NULL: nothing */
	enum job_state state;
	bool waiting;              /* it runs not yet: it waits for its turn */
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

/* "waiting", "running", "done", "failed" or "cancelled". */
const char *job_state_name(const struct job *job);

/* ---- For what a job stands for ---- */

/* kind: static. */
int job_new(struct jobs *jobs, const struct job_kind *kind, struct vm *vm,
	    struct job **ret_job) MUST_CHECK;

/* The same of what a user has asked for, and no VM has a part in. work: borrowed. */
int job_new_for_user(struct jobs *jobs, const struct job_kind *kind, uid_t user, void *work,
		     struct job **ret_job) MUST_CHECK;

/* What it has found, before its end; JSON, copied. Return: 0; -ENOMEM. */
int job_set_result(struct job *job, const char *result) MUST_CHECK;

/* What it stands for was refused. */
void job_drop(struct job *job);

/* It is under way, or over already. */
void job_publish(struct job *job);

void job_progress(struct job *job, uint64_t done, uint64_t total);

/* It is under way, and for now that is to wait for its turn, or not any more. */
void job_set_waiting(struct job *job, bool waiting);

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

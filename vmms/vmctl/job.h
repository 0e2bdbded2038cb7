/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs of vmms, followed to their end, with their progress on a terminal.
 */
#pragma once

#include "vmms/vmctl/service.h"

#include <stdint.h>

/* A job that a command has begun. path: on the bus; NULL: there is none. */
struct begun_job {
	char *path;
	const char *vm;   /* its name; borrowed */
	const char *done; /* what is said of the VM when it has succeeded; NULL: nothing */
};

/* Sends a call whose answer is a job. *ret_path: freed by the caller. */
enum status job_begin(struct invocation *invocation, sd_bus_message *call, char **ret_path);

/* The same of an answer that is there. */
enum status job_read(sd_bus_message *reply, char **ret_path);

/* From now on ^C waits for job_follow(), which makes of it that the job is cancelled. */
void job_catch_interrupt(void);

/* After so many seconds a job that can be cancelled by ^C is, as by that; 0: it is not. */
void job_cancel_after(unsigned seconds);

/* The user has interrupted a job that was followed: what would come after it is not wanted. */
bool job_is_interrupted(void);

/*
 * Waits for the end of a job. label: of its line on the terminal. cancel: ^C cancels it, instead of
 * ending vmctl alone. Return: what goes with its error, which has been said then.
 */
enum status job_follow(struct invocation *invocation, const char *path, const char *label,
		       bool cancel);

/*
 * Follows all, or with --no-wait prints them. Frees their paths. Return: the first status that is
 * not STATUS_OK.
 */
enum status job_conclude(struct invocation *invocation, struct begun_job *jobs, size_t count,
			 bool cancel);

#define JOB_LINE_SIZE 160

/*
 * "[#####     ]  50%  1M of 2M", or without a total the seconds that have passed. done, total:
 * bytes.
 */
void job_format_progress(uint64_t done, uint64_t total, unsigned seconds,
			 char text[static JOB_LINE_SIZE]);

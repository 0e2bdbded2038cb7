/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work on files of disks, as jobs: each by a process that has the rights of who asks, or, where that
 * is root, of whose folder the file is in (vmms/disk/disk_work.h). The daemon opens none of the
 * files, and reads nothing of them.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"
#include "vmms/base/user_lookup.h"
#include "vmms/vm/manager.h"

#define DISK_JOBS_MAX     8  /* that are under way for a user */
#define DISK_JOBS_ALL_MAX 64 /* for all together */

/*
 * user: who asks; NULL: root, or whose daemon it is. request: JSON (vmms/disk/disk_request.h).
 * Return: 0; negative with *failure filled.
 */
int disk_job_begin(struct manager *manager, const struct user_found *user, const char *request,
		   struct job **ret_job, struct failure *failure) MUST_CHECK;

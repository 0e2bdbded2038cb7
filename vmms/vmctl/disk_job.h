/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work on files of disks, asked of vmms and followed to its end: WorkOnDisk of the manager.
 */
#pragma once

#include "vmms/vmctl/service.h"

/*
 * Has vmms do what the request says, which is taken over, and waits; ^C cancels it. With --no-wait
 * the number of the job is printed, and nothing is found. label: of its line on the terminal.
 * *ret_found: what it has found; put by the caller; NULL: nothing.
 */
enum status disk_job_do(struct invocation *invocation, struct json_object *request,
			const char *label, struct json_object **ret_found);

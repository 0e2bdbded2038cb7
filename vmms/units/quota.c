/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The limits of a user, and what they are unless somebody sets them. */
#include "vmms/units/quota.h"

#include "common/base/parse.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *const quota_settings[_QUOTA_COUNT] = {
	[QUOTA_VMS] = "user-vms",         [QUOTA_DISKS] = "user-disks",
	[QUOTA_RUNNING] = "user-running", [QUOTA_PROCESSORS] = "user-processors",
	[QUOTA_MEMORY] = "user-memory",   [QUOTA_SAVED] = "user-saved",
	[QUOTA_TASKS] = "user-tasks",
};

#define VMS_DEFAULT        100
#define DISKS_DEFAULT      256
#define PROCESSORS_DEFAULT 4 /* for each CPU of the host, */
#define PROCESSORS_MIN     16
#define TASKS_DEFAULT      8192 /* a VM has its processors, and some tens in the kernel */

void quota_set_defaults(struct quota *quota)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);

	*quota = (struct quota){ .limits = {
					 [QUOTA_VMS] = VMS_DEFAULT,
					 [QUOTA_DISKS] = DISKS_DEFAULT,
					 [QUOTA_PROCESSORS] = MAX(cpus * PROCESSORS_DEFAULT,
								  (uint64_t)PROCESSORS_MIN),
					 [QUOTA_MEMORY] = memory / 4 * 3,
					 [QUOTA_SAVED] = memory,
					 [QUOTA_TASKS] = TASKS_DEFAULT,
				 } };
}

bool quota_is_of_bytes(enum quota_kind kind)
{
	return kind == QUOTA_MEMORY || kind == QUOTA_SAVED;
}

int quota_parse(enum quota_kind kind, const char *text, uint64_t *ret_limit)
{
	uint64_t limit;

	if (strcmp(text, "none") == 0) {
		*ret_limit = 0;
		return 0;
	}
	if (quota_is_of_bytes(kind) ? parse_size(text, &limit) < 0 || limit == 0
				    : parse_unsigned(text, 1, UINT32_MAX, &limit) < 0)
		return -EINVAL;
	*ret_limit = limit;
	return 0;
}

const char *quota_owner(const struct definition *definition)
{
	if (geteuid() != 0 || !definition->owner || strcmp(definition->owner, "root") == 0)
		return NULL;
	return definition->owner;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of the host the VMs of one user may take: of each user who is not root, the same. These
 * are the limits; what counts against them is in vmms/vm/quota_check.h.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quota_kind {
	QUOTA_VMS,
	QUOTA_DISKS, /* drives too */
	QUOTA_RUNNING,
	QUOTA_PROCESSORS, /* of all that run together */
	QUOTA_MEMORY,     /* bytes, likewise: the most that they may get */
	QUOTA_SAVED,      /* bytes: of all that are saved together, what their memory may take */
	_QUOTA_COUNTED,   /* by us; systemd counts the others (vmms/units/owner_slice.h) */
	QUOTA_TASKS = _QUOTA_COUNTED, /* processes and threads on the host */
	_QUOTA_COUNT,
};

/* What a limit is called among the settings: "user-vms". */
extern const char *const quota_settings[_QUOTA_COUNT];

struct quota {
	uint64_t limits[_QUOTA_COUNT]; /* 0: none */
};

/* What holds where nobody has set anything: the host is not one owner's to take. */
void quota_set_defaults(struct quota *quota);

/* Its limit is a size. */
bool quota_is_of_bytes(enum quota_kind kind);

/* A number, a size where it is of bytes, or "none". Return: 0, -EINVAL. */
int quota_parse(enum quota_kind kind, const char *text, uint64_t *ret_limit) MUST_CHECK;

/* Whose limits are those of a VM with that definition; NULL: nobody's, as of root's. */
const char *quota_owner(const struct definition *definition);

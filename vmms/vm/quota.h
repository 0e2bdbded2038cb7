/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of the host the VMs of one user may take: of each user who is not root, the same.
 *
 * VMs and disks are counted in definitions, the rest of VMs that run or are starting. What root
 * does is counted and never refused; what a user asks for is, and so is a start by itself.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quota_kind {
	QUOTA_VMS,
	QUOTA_DISKS, /* drives too */
	QUOTA_RUNNING,
	QUOTA_PROCESSORS,             /* of all that run together */
	QUOTA_MEMORY,                 /* bytes, likewise: the most that they may get */
	_QUOTA_COUNTED,               /* by us; systemd counts the others (vmms/vm/owner_slice.h) */
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

/* A number, a size in bytes for memory, or "none". Return: 0, -EINVAL. */
int quota_parse(enum quota_kind kind, const char *text, uint64_t *ret_limit) MUST_CHECK;

struct manager;
struct vm;

/* Whose limits are those of a VM with that definition; NULL: nobody's, as of root's. */
const char *quota_owner(const struct definition *definition);

/*
 * The VM of that name may have this definition, as far as its disks and the number of VMs go.
 * before: what it has; NULL: it is new. That of an owner who is root, or of a daemon that is not
 * root's, may in any case.
 */
int quota_check_definition(const struct manager *manager, const struct definition *before,
			   const struct definition *after, struct failure *failure) MUST_CHECK;

/* One disk more. */
int quota_check_disk(const struct vm *vm, struct failure *failure) MUST_CHECK;

/* The VM may be started. */
int quota_check_start(const struct vm *vm, struct failure *failure) MUST_CHECK;

/*
 * What a user has of what they may have, for people: "2 of 100 VMs, …". owner: NULL: the limits
 * alone, and a user who is at one of them. Return: somebody is at a limit.
 */
bool quota_describe(const struct manager *manager, const char *owner, char *text, size_t size);

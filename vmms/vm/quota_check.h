/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the VMs of a user stay within the limits (vmms/units/quota.h).
 *
 * VMs and disks are counted in definitions, saved memory of VMs that are saved or being saved, the
 * rest of VMs that run or are starting. What root does is counted and never refused; what a user asks
 * for can be refused, and so can an automatic start.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/units/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manager;
struct vm;

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

/* The VM, which runs, may be saved. */
int quota_check_save(const struct vm *vm, struct failure *failure) MUST_CHECK;

/*
 * What a user has of what they may have, for people: "2 of 100 VMs, …". owner: NULL: the limits
 * alone, and a user who is at one of them. Return: somebody is at a limit.
 */
bool quota_describe(const struct manager *manager, const char *owner, char *text, size_t size);

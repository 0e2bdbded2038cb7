/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting what the VMs of a user take. */
#include "vmms/vm/quota_check.h"

#include "common/base/parse.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"

static const struct {
	const char *what, *mend;
} kinds[_QUOTA_COUNTED] = {
	[QUOTA_VMS] = { "VMs", "delete one" },
	[QUOTA_DISKS] = { "disks", "detach one" },
	[QUOTA_RUNNING] = { "VMs that run", "stop one" },
	[QUOTA_PROCESSORS] = { "virtual processors that run", "stop a VM" },
	[QUOTA_MEMORY] = { "memory of VMs that run", "stop a VM" },
	[QUOTA_SAVED] = { "memory of VMs that are saved", "start one, or discard its saved state" },
};

static void check_format(enum quota_kind kind, uint64_t number, char text[PARSE_SIZE_TEXT])
{
	if (quota_is_of_bytes(kind))
		parse_size_format(number, text);
	else
		snprintf(text, PARSE_SIZE_TEXT, "%" PRIu64, number);
}

/* ---- Counting ---- */

static bool check_is_of(const struct vm *vm, const char *owner)
{
	const char *of = quota_owner(vm->definition);

	return of && strcmp(of, owner) == 0;
}

static void check_add_run(const struct definition *definition, uint64_t counts[_QUOTA_COUNTED])
{
	counts[QUOTA_RUNNING]++;
	counts[QUOTA_PROCESSORS] += definition->processors.count;
	counts[QUOTA_MEMORY] += definition_memory_most(&definition->memory);
}

static void check_count(const struct manager *manager, const char *owner,
			uint64_t counts[_QUOTA_COUNTED])
{
	memset(counts, 0, _QUOTA_COUNTED * sizeof(*counts));
	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!check_is_of(vm, owner))
			continue;
		counts[QUOTA_VMS]++;
		counts[QUOTA_DISKS] += vm_stored_definition(vm)->disk_count;
		if (vm_is_up(vm))
			check_add_run(vm->definition, counts);
		if (vm->saved.exists || vm->state == VM_SAVING)
			counts[QUOTA_SAVED] += definition_memory_most(&vm->definition->memory);
	}
}

/* ---- Checking ---- */

static int check_refuse(const char *owner, enum quota_kind kind, uint64_t limit, uint64_t wanted,
			struct failure *failure)
{
	char limit_text[PARSE_SIZE_TEXT], wanted_text[PARSE_SIZE_TEXT];

	check_format(kind, limit, limit_text);
	check_format(kind, wanted, wanted_text);
	return failure_set(
		failure, LIMITS_EXCEEDED,
		"user '%s' may have %s %s, and this would be %s: that is all; %s, or have "
		"root raise '%s' in vmms.conf(5)",
		owner, limit_text, kinds[kind].what, wanted_text, kinds[kind].mend,
		quota_settings[kind]);
}

/* What is there may stay; it is by more that a limit is exceeded. */
static int check(const struct manager *manager, const char *owner,
		 const uint64_t more[_QUOTA_COUNTED], struct failure *failure)
{
	const struct quota *quota = &manager->settings.quota;
	uint64_t counts[_QUOTA_COUNTED];

	check_count(manager, owner, counts);
	for (int kind = 0; kind < _QUOTA_COUNTED; kind++) {
		uint64_t limit = quota->limits[kind], wanted = counts[kind] + more[kind];

		if (limit > 0 && more[kind] > 0 && wanted > limit)
			return check_refuse(owner, kind, limit, wanted, failure);
	}
	return 0;
}

int quota_check_definition(const struct manager *manager, const struct definition *before,
			   const struct definition *after, struct failure *failure)
{
	const char *owner = quota_owner(before ? before : after);
	size_t disks = before ? before->disk_count : 0;
	uint64_t more[_QUOTA_COUNTED] = { 0 };

	if (!owner)
		return 0;
	more[QUOTA_VMS] = !before;
	if (after->disk_count > disks)
		more[QUOTA_DISKS] = after->disk_count - disks;
	return check(manager, owner, more, failure);
}

int quota_check_disk(const struct vm *vm, struct failure *failure)
{
	const char *owner = quota_owner(vm->definition);
	uint64_t more[_QUOTA_COUNTED] = { [QUOTA_DISKS] = 1 };

	return owner ? check(vm->manager, owner, more, failure) : 0;
}

int quota_check_start(const struct vm *vm, struct failure *failure)
{
	const char *owner = quota_owner(vm->definition);
	uint64_t more[_QUOTA_COUNTED] = { 0 };

	/* One that runs is refused for that. */
	if (!owner || vm_is_up(vm))
		return 0;
	check_add_run(vm->definition, more);
	return check(vm->manager, owner, more, failure);
}

int quota_check_save(const struct vm *vm, struct failure *failure)
{
	const char *owner = quota_owner(vm->definition);
	uint64_t more[_QUOTA_COUNTED] = { 0 };

	/* Any other is refused for its state. */
	if (!owner || (vm->state != VM_RUNNING && vm->state != VM_PAUSED))
		return 0;
	more[QUOTA_SAVED] = definition_memory_most(&vm->definition->memory);
	return check(vm->manager, owner, more, failure);
}

/* ---- For people ---- */

static bool check_is_at_limit(const struct quota *quota, const uint64_t counts[_QUOTA_COUNTED],
			      enum quota_kind *ret_kind)
{
	for (int kind = 0; kind < _QUOTA_COUNTED; kind++) {
		if (quota->limits[kind] > 0 && counts[kind] >= quota->limits[kind]) {
			*ret_kind = kind;
			return true;
		}
	}
	return false;
}

/* counts: NULL: the limits alone. */
static void check_describe(const struct quota *quota, const uint64_t *counts, char *text,
			   size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int kind = 0; kind < _QUOTA_COUNTED; kind++) {
		char limit[PARSE_SIZE_TEXT], has[PARSE_SIZE_TEXT] = "";

		if (quota->limits[kind] == 0 || used >= size)
			continue;
		check_format(kind, quota->limits[kind], limit);
		if (counts)
			check_format(kind, counts[kind], has);
		used += (size_t)snprintf(text + used, size - used, "%s%s%s%s %s", used ? ", " : "",
					 has, counts ? " of " : "", limit, kinds[kind].what);
	}
	if (used == 0)
		snprintf(text, size, "as much as there is");
}

/* A user who is at a limit, or NULL. */
static const char *check_find_full(const struct manager *manager, enum quota_kind *ret_kind)
{
	const char *last = "";

	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);
		const char *owner = quota_owner(vm->definition);
		uint64_t counts[_QUOTA_COUNTED];

		if (!owner || strcmp(owner, last) == 0)
			continue;
		last = owner;
		check_count(manager, owner, counts);
		if (check_is_at_limit(&manager->settings.quota, counts, ret_kind))
			return owner;
	}
	return NULL;
}

bool quota_describe(const struct manager *manager, const char *owner, char *text, size_t size)
{
	const struct quota *quota = &manager->settings.quota;
	char limits[384];
	uint64_t counts[_QUOTA_COUNTED];
	enum quota_kind kind;

	if (owner) {
		check_count(manager, owner, counts);
		check_describe(quota, counts, limits, sizeof(limits));
		snprintf(text, size, "user '%s' has %s", owner, limits);
		return check_is_at_limit(quota, counts, &kind);
	}
	check_describe(quota, NULL, limits, sizeof(limits));
	owner = check_find_full(manager, &kind);
	if (owner)
		snprintf(text, size, "users may each have %s; '%s' has all of '%s'", limits, owner,
			 quota_settings[kind]);
	else
		snprintf(text, size, "users may each have %s", limits);
	return owner;
}

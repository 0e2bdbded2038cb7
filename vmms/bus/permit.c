/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a user may write into the definition of a VM. */
#include "vmms/bus/permit.h"

#include "common/base/json.h"
#include "common/base/text.h"
#include "vmms/vm/manager.h"

#include <string.h>
#include <unistd.h>

#define ACCESS_DENIED     "org.freedesktop.DBus.Error.AccessDenied"
#define PRIVILEGED_PORTS  1024 /* those below are root's to listen on */
#define OWNER_OF_THE_HOST "root"

static const char *permit_owner_of(const struct definition *definition)
{
	return definition->owner ? definition->owner : OWNER_OF_THE_HOST;
}

bool permit_is_owner(const struct user_found *user, const struct definition *definition)
{
	return strcmp(permit_owner_of(definition), user->name) == 0 &&
	       (definition->owner_uid == 0 || definition->owner_uid == user->uid);
}

unsigned permit_count(const struct user_found *user, const struct list *vms)
{
	unsigned count = 0;

	list_for_each (link, (struct list *)vms)
		count += permit_is_owner(user, container_of(link, struct vm, link)->definition);
	return count;
}

/* ---- Files ---- */

int permit_file(const struct user_found *user, const struct definition *stored,
		struct failure *failure)
{
	if (!user || permit_is_owner(user, stored))
		return 0;
	return failure_set(failure, ACCESS_DENIED,
			   "VM '%s' is %s's, with whose rights its files are opened: only they, or "
			   "root, may name a file for it",
			   stored->name, permit_owner_of(stored));
}

static bool permit_is_same_disk(const struct definition_disk *a, const struct definition_disk *b)
{
	return json_equal(definition_disk_to_json(a), definition_disk_to_json(b));
}

/* No file is named that was not; what was read-only stays so. */
static bool permit_names_same_files(const struct definition *stored,
				    const struct definition *wanted)
{
	if (!text_equal(wanted->boot.kernel, stored->boot.kernel) ||
	    (wanted->boot.initrd && !text_equal(wanted->boot.initrd, stored->boot.initrd)))
		return false;
	for (size_t i = 0; i < wanted->disk_count; i++) {
		const struct definition_disk *disk = &wanted->disks[i], *before;

		before = definition_find_disk(stored, disk->controller, disk->lun);
		if (disk->path && (!before || !permit_is_same_disk(disk, before)))
			return false;
	}
	return true;
}

/* ---- Adapters ---- */

static bool permit_is_same_adapter(const struct definition_adapter *adapter,
				   const struct definition_adapter *before)
{
	struct json_object *old = definition_adapter_to_json(before);

	/* One that is written without keeps it. */
	if (old && definition_mac_is_null(adapter->mac))
		json_object_object_del(old, "mac");
	return json_equal(definition_adapter_to_json(adapter), old);
}

int permit_adapter(const struct user_found *user, const struct definition *stored,
		   const struct definition_adapter *adapter, struct failure *failure)
{
	const struct definition_adapter *before = NULL;

	if (!user || (stored && !permit_is_owner(user, stored)))
		return 0;
	if (stored)
		before = definition_find_adapter((struct definition_network *)&stored->network,
						 adapter->name);
	if (before && permit_is_same_adapter(adapter, before))
		return 0;
	if (adapter->tap || definition_switch_name_is_valid(adapter->switch_name))
		return failure_set(
			failure, ACCESS_DENIED,
			"only root connects adapters to virtual switches, as adapter "
			"'%s' to '%s'; without root there are switch 'default' and 'none'",
			adapter->name, adapter->switch_name);
	for (unsigned i = 0; i < adapter->forward_count; i++) {
		if (adapter->forwards[i].host_port < PRIVILEGED_PORTS)
			return failure_set(
				failure, ACCESS_DENIED,
				"only root forwards port %u of the host, and others below "
				"%d; choose another",
				adapter->forwards[i].host_port, PRIVILEGED_PORTS);
	}
	return 0;
}

static int permit_adapters(const struct user_found *user, const struct definition *stored,
			   const struct definition *wanted, struct failure *failure)
{
	for (unsigned i = 0; i < wanted->network.adapter_count; i++) {
		int r = permit_adapter(user, stored, &wanted->network.adapters[i], failure);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- What it takes of the host ---- */

static uint64_t permit_memory_of_host(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* stored: what a new VM has, where there is none. */
static int permit_limits(const struct definition *stored, const struct definition *wanted,
			 struct failure *failure)
{
	const struct definition_automatic_start *start = &wanted->automatic_start;
	uint64_t most = definition_memory_most(&wanted->memory);

	if (!json_equal(definition_resources_to_json(&wanted->resources),
			definition_resources_to_json(&stored->resources)))
		return failure_set(failure, ACCESS_DENIED,
				   "only root changes what a VM may take of the host (resources)");
	/* Others' VMs wait in that queue, and the host's end waits for guests. */
	if (start->order != stored->automatic_start.order ||
	    start->delay != stored->automatic_start.delay ||
	    wanted->automatic_stop.timeout != stored->automatic_stop.timeout)
		return failure_set(failure, ACCESS_DENIED,
				   "only root changes what others wait for (automatic_start.order, "
				   "automatic_start.delay, automatic_stop.timeout)");
	if (most > definition_memory_most(&stored->memory) && most > permit_memory_of_host())
		return failure_set(failure, ACCESS_DENIED,
				   "only root gives a VM more memory than the host has; choose a "
				   "smaller memory.size, or memory.dynamic.maximum");
	return 0;
}

static int permit_new_limits(const struct definition *wanted, struct failure *failure)
{
	CLEANUP(definition_freep) struct definition *stored = NULL;

	if (definition_new(&stored) < 0)
		return failure_no_memory(failure);
	return permit_limits(stored, wanted, failure);
}

/* ---- All of it ---- */

/* A name that a definition could not hold would make of the VM one that cannot be read again. */
static int permit_become_owner(const struct user_found *user, struct definition *definition,
			       struct failure *failure)
{
	if (!definition_owner_is_valid(user->name))
		return failure_set(failure, ACCESS_DENIED,
				   "a user of such a name as '%s' cannot own a VM; only root "
				   "creates it",
				   user->name);
	if (!definition->owner)
		definition->owner = strdup(user->name);
	return definition->owner ? 0 : failure_no_memory(failure);
}

static int permit_new(const struct user_found *user, struct definition *wanted,
		      struct failure *failure)
{
	int r;

	r = permit_become_owner(user, wanted, failure);
	if (r == 0)
		r = permit_new_limits(wanted, failure);
	return r == 0 ? permit_adapters(user, NULL, wanted, failure) : r;
}

static int permit_change(const struct user_found *user, const struct definition *stored,
			 const struct definition *wanted, struct failure *failure)
{
	int r;

	if (!permit_is_owner(user, stored))
		return permit_names_same_files(stored, wanted) ? 0
							       : permit_file(user, stored, failure);
	r = permit_limits(stored, wanted, failure);
	return r == 0 ? permit_adapters(user, stored, wanted, failure) : r;
}

int permit_definition(const struct user_found *user, const struct definition *stored,
		      struct definition *wanted, struct failure *failure)
{
	const char *owner;

	if (!user)
		return 0;
	owner = stored ? permit_owner_of(stored) : user->name;
	if (wanted->owner && strcmp(wanted->owner, owner) != 0)
		return failure_set(failure, ACCESS_DENIED,
				   "only root gives a VM to another user; leave the owner '%s' out",
				   wanted->owner);
	return stored ? permit_change(user, stored, wanted, failure)
		      : permit_new(user, wanted, failure);
}

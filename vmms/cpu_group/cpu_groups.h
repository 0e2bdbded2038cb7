/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All CPU groups of the daemon: named limits that several VMs have together, kept as files.
 *
 * They are in the folder "cpu-groups" of the daemon's state, as vmms-vm.json(5) tells. A VM is in
 * the group that "cpu_group" of its definition's "resources" names, while it runs in that of its
 * start.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/cpu_group/cpu_group.h"

struct folder;

/* A VM, as groups see it. */
struct cpu_group_user {
	const struct definition *definition, *pending; /* pending: NULL: none */
	bool runs;
};

/* The VMs, as groups see them. All required. */
struct cpu_groups_vms {
	/* Each, until `found` returns another number than 0, which is returned then. */
	int (*each)(void *data, int (*found)(void *found_data, const struct cpu_group_user *user),
		    void *found_data);

	/* Limits of the group are in force now, or are not. */
	void (*changed)(void *data, const char *group);
};

struct cpu_groups {
	struct units *units;
	struct folder *folder;
	struct list list; /* of struct cpu_group, by name */
	unsigned reading;
	const struct cpu_groups_vms *vms;
	void *vms_data;
};

/* Reads the definitions. units: borrowed. Return: 0; -errno: the folder cannot be used. */
int cpu_groups_new(const char *directory, struct units *units, const struct cpu_groups_vms *vms,
		   void *vms_data, struct cpu_groups **ret_groups) MUST_CHECK;

/* Slices stay. */
void cpu_groups_free(struct cpu_groups *groups);
DEFINE_CLEANUP(struct cpu_groups *, cpu_groups_free)

struct cpu_group *cpu_groups_find(const struct cpu_groups *groups, const char *name);

/*
 * Makes a group of a definition, which is taken over, also on failure; or gives that name's group
 * another one. Return: 0; negative with *failure filled.
 */
int cpu_groups_create(struct cpu_groups *groups, struct cpu_group_definition *definition,
		      struct failure *failure) MUST_CHECK;
int cpu_groups_change(struct cpu_groups *groups, struct cpu_group_definition *definition,
		      struct failure *failure) MUST_CHECK;

/* Refused while VMs name it. */
int cpu_groups_delete(struct cpu_groups *groups, const char *name,
		      struct failure *failure) MUST_CHECK;

/*
 * Reads the folder again: new files become groups, changes are taken over, and groups whose file is
 * gone go, unless VMs name them.
 */
int cpu_groups_reload(struct cpu_groups *groups, struct failure *failure) MUST_CHECK;

/* A VM may have that definition: its group is there, if it names one, and has a CPU for it. */
int cpu_groups_check(const struct cpu_groups *groups, const struct definition *definition,
		     struct failure *failure) MUST_CHECK;

/* A VM with that definition is started, or found again. */
void cpu_groups_enter(struct cpu_groups *groups, const struct definition *definition);

/* Why limits of the definition's group are not in force; "": they are, or there is none. */
const char *cpu_groups_problem(const struct cpu_groups *groups,
			       const struct definition *definition);

/*
 * [{"name": "…", "definition": {…}, "problem": "…", "vms": ["…", …]}, …], by name; without the
 * definition where the file is broken, of which the problem tells. New reference; NULL without
 * memory.
 */
struct json_object *cpu_groups_to_json(const struct cpu_groups *groups);

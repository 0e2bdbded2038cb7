/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One CPU group: a slice of systemd's, below vmms.slice, in which the units of its VMs are.
 *
 * The slice is made when the first VM of the group starts, and goes with the group. Calls are made
 * as vmms/units/units.h makes them: nothing here blocks.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "vmms/cpu_group/cpu_group_definition.h"
#include "vmms/units/units.h"

struct sd_bus_slot;

struct cpu_group {
	struct list link;
	struct units *units;
	char name[DEFINITION_CPU_GROUP_NAME_MAX + 1];
	struct cpu_group_definition *definition; /* NULL: its file is broken */
	struct json_error error;                 /* of that file */
	unsigned reading;                        /* when its file was last read */
	char problem[UNIT_PROBLEM_MAX];          /* why its limits are not in force; "": they are */
	struct sd_bus_slot *call;                /* NULL: none is under way */
	void (*changed)(void *data, struct cpu_group *group); /* its slice is so now, or is not */
	void *data;
};

/* definition: taken over, also on failure; NULL: none. units: borrowed. Return: 0; -ENOMEM. */
int cpu_group_new(struct units *units, const char *name, struct cpu_group_definition *definition,
		  struct cpu_group **ret_group) MUST_CHECK;

/* Forgets it: its slice stays. */
void cpu_group_free(struct cpu_group *group);
DEFINE_CLEANUP(struct cpu_group *, cpu_group_free)

/* The slice is there, and has the limits of the definition. changed() may tell. */
void cpu_group_apply(struct cpu_group *group);

/* The slice goes. */
void cpu_group_remove(struct cpu_group *group);

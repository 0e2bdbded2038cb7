/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What cpu_groups.c and cpu_groups_load.c share.
 */
#pragma once

#include "vmms/cpu_group/cpu_groups.h"

/* Reads the folder. Return: 0, -errno. */
int cpu_groups_load(struct cpu_groups *groups) MUST_CHECK;

/* Into the list, at its place by name. */
void cpu_groups_insert(struct cpu_groups *groups, struct cpu_group *group);

/* VMs name it. */
bool cpu_groups_is_used(const struct cpu_groups *groups, const char *name);

/* The group has this definition, taken over, from now on. */
void cpu_groups_give(struct cpu_groups *groups, struct cpu_group *group,
		     struct cpu_group_definition *definition);

/* With its slice. */
void cpu_groups_forget(struct cpu_group *group);

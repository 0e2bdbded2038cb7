/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a CPU group: what the VMs in it may take of the host's CPUs together.
 *
 * JSON, read as strictly as the definition of a VM (common/definition/definition.h), with the keys
 * of its "resources":
 *
 *     { "version": 1, "name": "gold", "notes": "…", "cpu_weight": 200, "cpu_quota": 400,
 *       "cpus": "0-3,8" }
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"

#define CPU_GROUP_DEFINITION_VERSION 1
#define CPU_GROUP_SIZE_MAX           (64 * 1024) /* bytes of text */
#define CPU_GROUP_NOTES_MAX          4096        /* bytes */

/* Of each limit, 0 or empty: there is none. */
struct cpu_group_definition {
	char *name; /* as definition_cpu_group_name_is_valid() has it */
	char *notes;
	uint64_t cpu_weight;  /* 1 to 10000, against VMs and other groups: 100 if nothing is said */
	uint64_t cpu_quota;   /* percent of one CPU, of all together */
	struct cpu_list cpus; /* that they run on */
};

void cpu_group_definition_free(struct cpu_group_definition *definition);
DEFINE_CLEANUP(struct cpu_group_definition *, cpu_group_definition_free)

/*
 * size: bytes of text, which need not end in a NUL; at most CPU_GROUP_SIZE_MAX is accepted. Return:
 * 0; -EINVAL with *ret_error filled; -ENOMEM.
 */
int cpu_group_definition_parse(const char *text, size_t size,
			       struct cpu_group_definition **ret_definition,
			       struct json_error *ret_error) MUST_CHECK;

/* The same from a file. Return: as above, or -errno of open(2) and read(2). */
int cpu_group_definition_load(const char *path, struct cpu_group_definition **ret_definition,
			      struct json_error *ret_error) MUST_CHECK;

/* All members that say something. New reference; NULL without memory. */
struct json_object *cpu_group_definition_to_json(const struct cpu_group_definition *definition);

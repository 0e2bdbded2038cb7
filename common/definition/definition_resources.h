/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of the host a VM may use, in its definition: "resources". No guest sees any of it. The
 * service has it enforced by the control group of the VM's worker (vmms/units/units.h).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/definition/cpu_list.h"
#include "common/definition/definition_pinning.h"

#include <stdbool.h>
#include <stdint.h>

/* For which a limit of tasks has room beyond the vps' threads: the loop, its ring, and helpers. */
#define DEFINITION_TASKS_BESIDES_VPS 64

#define DEFINITION_CPU_WEIGHT_MAX     10000
#define DEFINITION_CPU_QUOTA_MAX      1000000 /* percent: 10000 CPUs */
#define DEFINITION_CPU_GROUP_NAME_MAX 32      /* bytes */

/* Of each number, 0: the definition does not say, and there is no limit. */
struct definition_resources {
	uint64_t cpu_weight; /* 1 to 10000, against that of others: 100 where nothing is said */
	uint64_t cpu_quota;  /* percent of one CPU */
	uint64_t memory_high, memory_max;                 /* bytes, beyond the guest's memory */
	uint64_t io_weight;                               /* as cpu_weight */
	uint64_t io_read_bandwidth, io_write_bandwidth;   /* bytes a second, of each device */
	uint64_t io_read_operations, io_write_operations; /* a second, of each device */
	uint64_t tasks_max;                               /* threads and processes */
	struct cpu_list cpus;                             /* that it runs on; empty: on all */
	struct definition_pinning pinning;                /* of its vps, among those */

	/* With which it shares CPUs, as definition_cpu_group_name_is_valid() has it; "": none. */
	char cpu_group[DEFINITION_CPU_GROUP_NAME_MAX + 1];
};

/* A json_read_fn, into the struct definition_resources at `target`. */
int definition_resources_read(struct json_reader *reader, const struct json_key *key,
			      struct json_object *value, void *target);

/*
 * What only all of the definition shows: value is that of "resources". Return: 0; -EINVAL by
 * json_refuse().
 */
int definition_resources_check(struct json_reader *reader, struct json_object *value,
			       const struct definition_resources *resources,
			       unsigned vps) MUST_CHECK;

/* Letters, digits, '-', '_' and '.'; first a letter or digit. Of any length. */
bool definition_cpu_group_name_is_valid(const char *name);

/* Something is said that a control group has to enforce; pins are not. */
bool definition_resources_are_limited(const struct definition_resources *resources);

void definition_resources_deinit(struct definition_resources *resources);

/* Without what it does not say. New reference; NULL without memory. */
struct json_object *definition_resources_to_json(const struct definition_resources *resources);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NUMA nodes of a VM, in its definition: "numa", a list of nodes.
 *
 * A node says which vps and how much of the memory it has, or leaves it open. Vps are left open by
 * all nodes or by none; then they are shared out evenly, in order, whole cores to each. Nodes that
 * say no memory share what the others leave.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/definition/definition_memory.h"
#include "common/definition/definition_processors.h"

#include <stdbool.h>
#include <stdint.h>

#define DEFINITION_NUMA_MAX                16
#define DEFINITION_NUMA_DISTANCE_LOCAL     10 /* ACPI 6.4, 5.2.17: of a node to itself */
#define DEFINITION_NUMA_DISTANCE           20 /* to others, unless the definition has another */
#define DEFINITION_NUMA_DISTANCE_MAX       254
#define DEFINITION_NUMA_HOST_NODE_MAX      1023
#define DEFINITION_NUMA_HOST_NODE_ANYWHERE UINT32_MAX

struct definition_numa_node {
	bool has_vps;
	struct definition_vps vps;
	uint64_t memory;    /* bytes; 0: a share */
	uint32_t host_node; /* that its memory is taken from; …_ANYWHERE */

	/* To each node; all or none. */
	bool has_distances;
	uint8_t distances[DEFINITION_NUMA_MAX];
};

struct definition_numa {
	unsigned count; /* 0: the guest is told of none */
	struct definition_numa_node nodes[DEFINITION_NUMA_MAX];
};

/* A json_read_fn, into the struct definition_numa at `target`. */
int definition_numa_read(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target);

/*
 * What only all of the definition shows: value is that of "numa". Return: 0; -EINVAL by
 * json_refuse().
 */
int definition_numa_check(struct json_reader *reader, struct json_object *value,
			  const struct definition_numa *numa,
			  const struct definition_processors *processors,
			  const struct definition_memory *memory) MUST_CHECK;

/* What was left open stays out. New reference; NULL without memory. */
struct json_object *definition_numa_to_json(const struct definition_numa *numa);

/* ---- What it comes to, of a definition that was checked and has nodes ---- */

unsigned definition_numa_node_of(const struct definition_numa *numa,
				 const struct definition_processors *processors, unsigned vp);

/* Bytes; the sum over all nodes is the VM's memory. */
uint64_t definition_numa_memory(const struct definition_numa *numa,
				const struct definition_memory *memory, unsigned node);

unsigned definition_numa_distance(const struct definition_numa *numa, unsigned from, unsigned to);

/*
 * All of it: [{"processors": "0-3", "memory": bytes, "distances": [10, 20], "host_node": 0}, …],
 * the last where there is one. New reference; NULL without memory.
 */
struct json_object *definition_numa_describe(const struct definition_numa *numa,
					     const struct definition_processors *processors,
					     const struct definition_memory *memory);

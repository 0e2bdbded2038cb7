/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The NUMA nodes of a VM: that part of its definition. */
#include "common/definition/definition_numa.h"

#include "common/base/parse.h"
#include "common/definition/definition_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

static int read_vps(struct json_reader *reader, const struct json_key *key,
		    struct json_object *value, void *target)
{
	struct definition_numa_node *node = target;

	if (!json_object_is_type(value, json_type_string))
		return json_refuse(reader, value, "must be text such as \"0-3,8\", not %s",
				   json_type_text(value));
	node->vps = (struct definition_vps){ 0 };
	if (json_object_get_string_len(value) > 0 &&
	    definition_vps_parse(json_object_get_string(value), &node->vps) < 0)
		return json_refuse(reader, value,
				   "must be numbers of virtual processors, which count from 0, and "
				   "ranges of them, such as \"0-3,8\"");
	node->has_vps = true;
	return 0;
}

static int read_distances(struct json_reader *reader, const struct json_key *key,
			  struct json_object *value, void *target)
{
	static const struct json_key element = { .minimum = DEFINITION_NUMA_DISTANCE_LOCAL,
						 .maximum = DEFINITION_NUMA_DISTANCE_MAX };
	struct definition_numa_node *node = target;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be a list, not %s", json_type_text(value));
	if (json_object_array_length(value) > DEFINITION_NUMA_MAX)
		return json_refuse(reader, value, "must have a distance for each node");
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		size_t mark = json_enter_index(reader, i);
		unsigned distance;
		int r = json_read_unsigned(reader, &element, json_object_array_get_idx(value, i),
					   &distance);

		if (r < 0)
			return r;
		node->distances[i] = (uint8_t)distance;
		json_leave(reader, mark);
	}
	node->has_distances = true;
	return 0;
}

static const struct json_key node_keys[] = {
	{ .name = "processors", .read = read_vps },
	{ .name = "memory",
	  .read = json_read_size,
	  .offset = offsetof(struct definition_numa_node, memory),
	  .minimum = DEFINITION_MEMORY_MIN,
	  .maximum = DEFINITION_MEMORY_MAX },
	{ .name = "host_node",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct definition_numa_node, host_node),
	  .maximum = DEFINITION_NUMA_HOST_NODE_MAX },
	{ .name = "distances", .read = read_distances },
};

int definition_numa_read(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target)
{
	struct definition_numa *numa = target;

	_Static_assert(sizeof(unsigned) == sizeof(uint32_t),
		       "json_read_unsigned() fills host_node");
	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be a list of nodes, not %s",
				   json_type_text(value));
	if (json_object_array_length(value) > DEFINITION_NUMA_MAX)
		return json_refuse(reader, value, "has %zu nodes; at most %d are possible",
				   json_object_array_length(value), DEFINITION_NUMA_MAX);
	*numa = (struct definition_numa){ .count = (unsigned)json_object_array_length(value) };
	for (unsigned i = 0; i < numa->count; i++) {
		size_t mark = json_enter_index(reader, i);
		int r;

		numa->nodes[i].host_node = DEFINITION_NUMA_HOST_NODE_ANYWHERE;
		r = json_read(reader, json_object_array_get_idx(value, i), node_keys,
			      ARRAY_SIZE(node_keys), &numa->nodes[i]);
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

/* ---- Checking ---- */

/* What there is of a definition while it is checked. */
struct check {
	struct json_reader *reader;
	struct json_object *value;
	const struct definition_numa *numa;
	const struct definition_processors *processors;
	const struct definition_memory *memory;
};

static int refuse_node(const struct check *check, unsigned node, const char *name,
		       const char *message)
{
	json_enter_index(check->reader, node);
	return definition_refuse_member(
		check->reader, json_object_array_get_idx(check->value, node), name, message);
}

static int check_vps_of_node(const struct check *check, unsigned node, struct definition_vps *seen)
{
	const struct definition_numa_node *it = &check->numa->nodes[node];

	if (!it->has_vps)
		return refuse_node(check, node, "processors",
				   "must be given, as other nodes have it");
	for (unsigned vp = 0; vp < DEFINITION_PROCESSORS_MAX; vp++) {
		unsigned sibling = vp - vp % check->processors->threads;

		if (!definition_vps_has(&it->vps, vp))
			continue;
		if (vp >= check->processors->count)
			return refuse_node(check, node, "processors",
					   "has more processors than the VM");
		if (definition_vps_has(seen, vp))
			return refuse_node(check, node, "processors",
					   "has a processor that another node has, too");
		if (!definition_vps_has(&it->vps, sibling))
			return refuse_node(check, node, "processors",
					   "must have all threads of a core, or none");
		definition_vps_add(seen, vp);
	}
	return 0;
}

static bool has_vps(const struct definition_numa *numa)
{
	for (unsigned i = 0; i < numa->count; i++)
		if (numa->nodes[i].has_vps)
			return true;
	return false;
}

static int check_vps(const struct check *check)
{
	struct definition_vps seen = { 0 };

	if (!has_vps(check->numa)) {
		if (check->processors->count / check->processors->threads >= check->numa->count)
			return 0;
		return json_refuse(check->reader, check->value,
				   "has more nodes than the VM has cores");
	}
	for (unsigned i = 0; i < check->numa->count; i++) {
		int r = check_vps_of_node(check, i, &seen);

		if (r < 0)
			return r;
	}
	for (unsigned vp = 0; vp < check->processors->count; vp++)
		if (!definition_vps_has(&seen, vp))
			return json_refuse(check->reader, check->value,
					   "has no node for virtual processor %u", vp);
	return 0;
}

/* What nodes say that they have, and how many of them say nothing. */
static uint64_t memory_said(const struct definition_numa *numa, unsigned *ret_open)
{
	uint64_t sum = 0;

	*ret_open = 0;
	for (unsigned i = 0; i < numa->count; i++) {
		sum += numa->nodes[i].memory;
		*ret_open += numa->nodes[i].memory == 0;
	}
	return sum;
}

static int check_memory(const struct check *check)
{
	char said_text[PARSE_SIZE_TEXT], size_text[PARSE_SIZE_TEXT];
	uint64_t size = check->memory->size, said;
	unsigned open;

	for (unsigned i = 0; i < check->numa->count; i++)
		if (check->numa->nodes[i].memory % DEFINITION_MEMORY_UNIT != 0)
			return refuse_node(check, i, "memory", "must be a multiple of 2M");
	said = memory_said(check->numa, &open);
	parse_size_format(said, said_text);
	parse_size_format(size, size_text);
	if (open == 0 && said != size)
		return json_refuse(check->reader, check->value,
				   "has nodes with %s of memory together, and the VM has %s",
				   said_text, size_text);
	if (open > 0 && said + open * DEFINITION_MEMORY_UNIT > size)
		return json_refuse(check->reader, check->value,
				   "has nodes with %s of memory together, which leaves nothing of "
				   "the VM's %s to the others",
				   said_text, size_text);
	return 0;
}

static int check_distances(const struct check *check, unsigned node)
{
	const struct json_object *object = json_object_array_get_idx(check->value, node);
	const struct definition_numa_node *it = &check->numa->nodes[node];
	struct json_object *list = json_object_object_get(object, "distances");

	if (!it->has_distances)
		return 0;
	if (json_object_array_length(list) != check->numa->count)
		return refuse_node(check, node, "distances", "must have a distance for each node");
	for (unsigned i = 0; i < check->numa->count; i++)
		if ((it->distances[i] == DEFINITION_NUMA_DISTANCE_LOCAL) != (i == node))
			return refuse_node(check, node, "distances",
					   "must be 10 to the node itself, and more to others");
	return 0;
}

int definition_numa_check(struct json_reader *reader, struct json_object *value,
			  const struct definition_numa *numa,
			  const struct definition_processors *processors,
			  const struct definition_memory *memory)
{
	const struct check check = { reader, value, numa, processors, memory };
	int r;

	if (numa->count == 0)
		return 0;
	if (memory->dynamic.on)
		return json_refuse(reader, value,
				   "cannot be had together with dynamic memory, which follows the "
				   "needs of the VM as a whole");
	r = check_vps(&check);
	if (r < 0)
		return r;
	r = check_memory(&check);
	for (unsigned i = 0; i < numa->count && r == 0; i++)
		r = check_distances(&check, i);
	return r;
}

/* ---- What it comes to ---- */

unsigned definition_numa_node_of(const struct definition_numa *numa,
				 const struct definition_processors *processors, unsigned vp)
{
	if (!has_vps(numa))
		return vp / processors->threads * numa->count /
		       (processors->count / processors->threads);
	for (unsigned i = 0; i < numa->count; i++)
		if (definition_vps_has(&numa->nodes[i].vps, vp))
			return i;
	return 0;
}

uint64_t definition_numa_memory(const struct definition_numa *numa,
				const struct definition_memory *memory, unsigned node)
{
	uint64_t units, rest;
	unsigned open, before = 0;

	if (numa->nodes[node].memory > 0)
		return numa->nodes[node].memory;
	units = (memory->size - memory_said(numa, &open)) / DEFINITION_MEMORY_UNIT;
	for (unsigned i = 0; i < node; i++)
		before += numa->nodes[i].memory == 0;
	rest = units % open;
	return (units / open + (before < rest)) * DEFINITION_MEMORY_UNIT;
}

unsigned definition_numa_distance(const struct definition_numa *numa, unsigned from, unsigned to)
{
	if (numa->nodes[from].has_distances)
		return numa->nodes[from].distances[to];
	return from == to ? DEFINITION_NUMA_DISTANCE_LOCAL : DEFINITION_NUMA_DISTANCE;
}

/* ---- Writing ---- */

static struct json_object *distances_to_json(const struct definition_numa *numa,
					     const struct definition_numa_node *node)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < numa->count; i++)
		json_append(&array, json_object_new_int64(node->distances[i]));
	return array;
}

static struct json_object *node_to_json(const struct definition_numa *numa,
					const struct definition_numa_node *node)
{
	struct json_object *object = json_object_new_object();
	char vps[DEFINITION_VPS_TEXT], memory[PARSE_SIZE_TEXT];

	if (node->has_vps) {
		definition_vps_format(&node->vps, vps);
		json_add(&object, "processors", json_object_new_string(vps));
	}
	if (node->memory > 0) {
		parse_size_format(node->memory, memory);
		json_add(&object, "memory", json_object_new_string(memory));
	}
	if (node->host_node != DEFINITION_NUMA_HOST_NODE_ANYWHERE)
		json_add(&object, "host_node", json_object_new_int64(node->host_node));
	if (node->has_distances)
		json_add(&object, "distances", distances_to_json(numa, node));
	return object;
}

struct json_object *definition_numa_to_json(const struct definition_numa *numa)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < numa->count; i++)
		json_append(&array, node_to_json(numa, &numa->nodes[i]));
	return array;
}

/* ---- Describing ---- */

static struct json_object *describe_vps(const struct definition_numa *numa,
					const struct definition_processors *processors,
					unsigned node)
{
	struct definition_vps vps = { 0 };
	char text[DEFINITION_VPS_TEXT];

	for (unsigned vp = 0; vp < processors->count; vp++)
		if (definition_numa_node_of(numa, processors, vp) == node)
			definition_vps_add(&vps, vp);
	definition_vps_format(&vps, text);
	return json_object_new_string(text);
}

struct json_object *definition_numa_describe(const struct definition_numa *numa,
					     const struct definition_processors *processors,
					     const struct definition_memory *memory)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < numa->count; i++) {
		uint64_t size = definition_numa_memory(numa, memory, i);
		struct json_object *distances = json_object_new_array(), *node;

		for (unsigned j = 0; j < numa->count; j++)
			json_append(&distances,
				    json_object_new_int64(definition_numa_distance(numa, i, j)));
		node = json_make("processors", describe_vps(numa, processors, i), "memory",
				 json_object_new_uint64(size), "distances", distances, NULL);
		if (numa->nodes[i].host_node != DEFINITION_NUMA_HOST_NODE_ANYWHERE)
			json_add(&node, "host_node",
				 json_object_new_int64(numa->nodes[i].host_node));
		json_append(&array, node);
	}
	return array;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of the host a VM may use: that part of its definition, read and written by one table. */
#include "common/definition_resources.h"

#include "common/base/parse.h"
#include "common/definition_processors.h"

#include <string.h>

#define WEIGHT_MAX     10000
#define QUOTA_MAX      1000000 /* percent: 10000 CPUs */
#define MEMORY_MIN     (UINT64_C(16) << 20)
#define MEMORY_MAX     (UINT64_C(1) << 40)
#define BANDWIDTH_MIN  (UINT64_C(64) << 10)
#define BANDWIDTH_MAX  (UINT64_C(1) << 40)
#define OPERATIONS_MIN 10
#define OPERATIONS_MAX 100000000
#define TASKS_MIN      128 /* definition.c sees to it that there are enough for the vps */
#define TASKS_MAX      100000

#define KEY(member, reader, least, most)                                                   \
	{                                                                                  \
		.name = #member, .read = reader,                                           \
		.offset = offsetof(struct definition_resources, member), .minimum = least, \
		.maximum = most                                                            \
	}

static const struct json_key numbers[] = {
	KEY(cpu_weight, json_read_uint64, 1, WEIGHT_MAX),
	KEY(cpu_quota, json_read_uint64, 1, QUOTA_MAX),
	KEY(memory_high, json_read_size, MEMORY_MIN, MEMORY_MAX),
	KEY(memory_max, json_read_size, MEMORY_MIN, MEMORY_MAX),
	KEY(io_weight, json_read_uint64, 1, WEIGHT_MAX),
	KEY(io_read_bandwidth, json_read_size, BANDWIDTH_MIN, BANDWIDTH_MAX),
	KEY(io_write_bandwidth, json_read_size, BANDWIDTH_MIN, BANDWIDTH_MAX),
	KEY(io_read_operations, json_read_uint64, OPERATIONS_MIN, OPERATIONS_MAX),
	KEY(io_write_operations, json_read_uint64, OPERATIONS_MIN, OPERATIONS_MAX),
	KEY(tasks_max, json_read_uint64, TASKS_MIN, TASKS_MAX),
};

static const struct json_key others[] = {
	{ .name = "cpus",
	  .read = cpu_list_read,
	  .offset = offsetof(struct definition_resources, cpus) },
	{ .name = "pinning",
	  .read = definition_pinning_read,
	  .offset = offsetof(struct definition_resources, pinning) },
};

int definition_resources_read(struct json_reader *reader, const struct json_key *key,
			      struct json_object *value, void *target)
{
	struct json_key keys[ARRAY_SIZE(numbers) + ARRAY_SIZE(others)];

	memcpy(keys, numbers, sizeof(numbers));
	memcpy(keys + ARRAY_SIZE(numbers), others, sizeof(others));
	return json_read(reader, value, keys, ARRAY_SIZE(keys), target);
}

void definition_resources_deinit(struct definition_resources *resources)
{
	definition_pinning_deinit(&resources->pinning);
}

/* ---- What it says ---- */

static uint64_t number(const struct definition_resources *resources, const struct json_key *key)
{
	return *(const uint64_t *)((const char *)resources + key->offset);
}

bool definition_resources_are_limited(const struct definition_resources *resources)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (number(resources, &numbers[i]) > 0)
			return true;
	return !cpu_list_is_empty(&resources->cpus);
}

/* A limit that the vps' threads alone would reach lets no guest start. */
static int check_tasks(struct json_reader *reader, struct json_object *value,
		       const struct definition_resources *resources, unsigned vps)
{
	unsigned needed = vps + DEFINITION_TASKS_BESIDES_VPS;

	if (resources->tasks_max == 0 || resources->tasks_max >= needed)
		return 0;
	json_enter_key(reader, "tasks_max");
	return json_refuse(reader, json_object_object_get(value, "tasks_max"),
			   "must be at least %u with %u virtual processors", needed, vps);
}

int definition_resources_check(struct json_reader *reader, struct json_object *value,
			       const struct definition_resources *resources, unsigned vps)
{
	int r = check_tasks(reader, value, resources, vps);

	if (r < 0)
		return r;
	json_enter_key(reader, "pinning");
	return definition_pinning_check(reader, json_object_object_get(value, "pinning"),
					&resources->pinning, vps, &resources->cpus);
}

/* ---- Writing ---- */

static struct json_object *number_to_json(const struct json_key *key, uint64_t value)
{
	char text[PARSE_SIZE_TEXT];

	if (key->read != json_read_size)
		return json_object_new_uint64(value);
	parse_size_format(value, text);
	return json_object_new_string(text);
}

struct json_object *definition_resources_to_json(const struct definition_resources *resources)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uint64_t value = number(resources, &numbers[i]);

		if (value > 0)
			json_add(&object, numbers[i].name, number_to_json(&numbers[i], value));
	}
	if (!cpu_list_is_empty(&resources->cpus))
		json_add(&object, "cpus", cpu_list_to_json(&resources->cpus));
	if (resources->pinning.count > 0)
		json_add(
			&object, "pinning",
			definition_pinning_to_json(&resources->pinning, DEFINITION_PROCESSORS_MAX));
	return object;
}

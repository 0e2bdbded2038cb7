/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of the host a VM may use: that part of its definition, read and written by one table. */
#include "common/definition/definition_resources.h"

#include "common/base/parse.h"
#include "common/definition/definition_processors.h"

#include <ctype.h>
#include <string.h>

#define WEIGHT_MAX     DEFINITION_CPU_WEIGHT_MAX
#define QUOTA_MAX      DEFINITION_CPU_QUOTA_MAX
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

/* ---- Reading ---- */

bool definition_cpu_group_name_is_valid(const char *name)
{
	if (!isalnum((unsigned char)name[0]))
		return false;
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

static int read_cpu_group(struct json_reader *reader, const struct json_key *key,
			  struct json_object *value, void *target)
{
	char *name = target;

	if (!json_object_is_type(value, json_type_string))
		return json_refuse(reader, value, "must be the name of a CPU group, not %s",
				   json_type_text(value));
	if (json_object_get_string_len(value) > DEFINITION_CPU_GROUP_NAME_MAX ||
	    !definition_cpu_group_name_is_valid(json_object_get_string(value)))
		return json_refuse(reader, value,
				   "must begin with a letter or digit, hold letters, digits, '-', "
				   "'_' and '.' alone, and be %d bytes long at most",
				   DEFINITION_CPU_GROUP_NAME_MAX);
	strcpy(name, json_object_get_string(value));
	return 0;
}

static const struct json_key others[] = {
	{ .name = "cpus",
	  .read = cpu_list_read,
	  .offset = offsetof(struct definition_resources, cpus) },
	{ .name = "pinning",
	  .read = definition_pinning_read,
	  .offset = offsetof(struct definition_resources, pinning) },
	{ .name = "cpu_group",
	  .read = read_cpu_group,
	  .offset = offsetof(struct definition_resources, cpu_group) },
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
	return !cpu_list_is_empty(&resources->cpus) || resources->cpu_group[0] != '\0';
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
	if (resources->cpu_group[0] != '\0')
		json_add(&object, "cpu_group", json_object_new_string(resources->cpu_group));
	return object;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of the host a VM may use: that part of its definition, read and written by one table. */
#include "common/definition_resources.h"

#include "common/base/parse.h"

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

static const struct json_key keys[] = {
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

int definition_resources_read(struct json_reader *reader, const struct json_key *key,
			      struct json_object *value, void *target)
{
	return json_read(reader, value, keys, ARRAY_SIZE(keys), target);
}

static struct json_object *member_to_json(const struct json_key *key, uint64_t value)
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

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		uint64_t value = *(const uint64_t *)((const char *)resources + keys[i].offset);

		if (value > 0)
			json_add(&object, keys[i].name, member_to_json(&keys[i], value));
	}
	return object;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of a VM: that part of its definition, read and written by tables. */
#include "common/definition/definition_memory.h"

#include "common/base/parse.h"
#include "common/definition/definition_internal.h"

static const char *const definition_pages_names[] = { "transparent", "hugetlb", "small", NULL };

#define SIZE(member_name, member)                                                  \
	{                                                                          \
		.name = member_name, .read = json_read_size,                       \
		.offset = offsetof(struct definition_memory, member),              \
		.minimum = DEFINITION_MEMORY_MIN, .maximum = DEFINITION_MEMORY_MAX \
	}

static const struct json_key dynamic_keys[] = {
	SIZE("minimum", dynamic.minimum),
	SIZE("maximum", dynamic.maximum),
	{ .name = "buffer",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct definition_memory, dynamic.buffer),
	  .maximum = DEFINITION_MEMORY_BUFFER_MAX },
	{ .name = "automatic",
	  .read = json_read_bool,
	  .offset = offsetof(struct definition_memory, dynamic.automatic) },
};

/* What it leaves out is settled when the size is known. */
static int read_dynamic(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	struct definition_memory *memory = target;

	memory->dynamic = (struct definition_dynamic_memory){
		.on = true,
		.automatic = true,
		.buffer = DEFINITION_MEMORY_BUFFER,
	};
	return json_read(reader, value, dynamic_keys, ARRAY_SIZE(dynamic_keys), memory);
}

static const struct json_key keys[] = {
	SIZE("size", size),
	{ .name = "pages",
	  .read = json_read_enum,
	  .offset = offsetof(struct definition_memory, pages),
	  .detail = definition_pages_names },
	{ .name = "shared",
	  .read = json_read_bool,
	  .offset = offsetof(struct definition_memory, shared) },
	{ .name = "dynamic", .read = read_dynamic },
};

/* Of "memory.dynamic"; object: the former. */
static int refuse_dynamic(struct json_reader *reader, struct json_object *object, const char *name,
			  const char *message)
{
	json_enter_key(reader, "dynamic");
	return definition_refuse_member(reader, json_object_object_get(object, "dynamic"), name,
					message);
}

static int check_dynamic(struct json_reader *reader, struct json_object *object,
			 struct definition_memory *memory)
{
	struct definition_dynamic_memory *dynamic = &memory->dynamic;

	if (dynamic->minimum == 0)
		dynamic->minimum = MIN(memory->size, DEFINITION_MEMORY_MINIMUM_LARGE);
	if (dynamic->maximum == 0)
		dynamic->maximum = memory->size;
	if (dynamic->minimum % DEFINITION_MEMORY_UNIT != 0)
		return refuse_dynamic(reader, object, "minimum", "must be a multiple of 2M");
	if (dynamic->maximum % DEFINITION_MEMORY_UNIT != 0)
		return refuse_dynamic(reader, object, "maximum", "must be a multiple of 2M");
	if (dynamic->minimum > memory->size)
		return refuse_dynamic(
			reader, object, "minimum",
			"must not be more than the size, which the guest begins with");
	if (dynamic->maximum < memory->size)
		return refuse_dynamic(
			reader, object, "maximum",
			"must not be less than the size, which the guest begins with");
	if (memory->pages == DEFINITION_PAGES_HUGETLB)
		return definition_refuse_member(reader, object, "pages",
						"must not be \"hugetlb\" with dynamic memory: "
						"those pages stay with the VM");
	return 0;
}

int definition_memory_read(struct json_reader *reader, const struct json_key *key,
			   struct json_object *value, void *target)
{
	struct definition_memory *memory = target;
	int r;

	r = json_read(reader, value, keys, ARRAY_SIZE(keys), memory);
	if (r < 0)
		return r;
	if (memory->size % DEFINITION_MEMORY_UNIT != 0)
		return definition_refuse_member(reader, value, "size", "must be a multiple of 2M");
	return memory->dynamic.on ? check_dynamic(reader, value, memory) : 0;
}

static struct json_object *size_to_json(uint64_t value)
{
	char text[PARSE_SIZE_TEXT];

	parse_size_format(value, text);
	return json_object_new_string(text);
}

struct json_object *definition_memory_to_json(const struct definition_memory *memory)
{
	const struct definition_dynamic_memory *dynamic = &memory->dynamic;
	struct json_object *object;

	object = json_make("size", size_to_json(memory->size), "pages",
			   json_object_new_string(definition_pages_names[memory->pages]), "shared",
			   json_object_new_boolean(memory->shared), NULL);
	if (dynamic->on)
		json_add(&object, "dynamic",
			 json_make("minimum", size_to_json(dynamic->minimum), "maximum",
				   size_to_json(dynamic->maximum), "buffer",
				   json_object_new_int64(dynamic->buffer), "automatic",
				   json_object_new_boolean(dynamic->automatic), NULL));
	return object;
}

uint64_t definition_memory_most(const struct definition_memory *memory)
{
	return memory->dynamic.on ? memory->dynamic.maximum : memory->size;
}

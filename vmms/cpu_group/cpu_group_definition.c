/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definition of a CPU group, read by a table of keys and written again. */
#include "vmms/cpu_group/cpu_group_definition.h"

#include "common/base/cleanup.h"
#include "common/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

static const struct json_text_rule name_rule = {
	definition_cpu_group_name_is_valid,
	"must begin with a letter or digit and hold letters, digits, '-', '_' and '.' alone",
};

#define MEMBER(member) offsetof(struct cpu_group_definition, member)

static const struct json_key keys[] = {
	{ .name = "version", .read = json_read_version, .minimum = CPU_GROUP_DEFINITION_VERSION },
	{ .name = "name",
	  .read = json_read_string,
	  .offset = MEMBER(name),
	  .minimum = 1,
	  .maximum = DEFINITION_CPU_GROUP_NAME_MAX,
	  .detail = &name_rule,
	  .required = true },
	{ .name = "notes",
	  .read = json_read_string,
	  .offset = MEMBER(notes),
	  .maximum = CPU_GROUP_NOTES_MAX },
	{ .name = "cpu_weight",
	  .read = json_read_uint64,
	  .offset = MEMBER(cpu_weight),
	  .minimum = 1,
	  .maximum = DEFINITION_CPU_WEIGHT_MAX },
	{ .name = "cpu_quota",
	  .read = json_read_uint64,
	  .offset = MEMBER(cpu_quota),
	  .minimum = 1,
	  .maximum = DEFINITION_CPU_QUOTA_MAX },
	{ .name = "cpus", .read = cpu_list_read, .offset = MEMBER(cpus) },
};

int cpu_group_definition_parse(const char *text, size_t size,
			       struct cpu_group_definition **ret_definition,
			       struct json_error *ret_error)
{
	CLEANUP(cpu_group_definition_freep)
	struct cpu_group_definition *definition = calloc(1, sizeof(*definition));
	AUTO_JSON struct json_object *tree = NULL;
	int r;

	if (!definition)
		return -ENOMEM;
	definition->notes = strdup("");
	if (!definition->notes)
		return -ENOMEM;
	r = json_read_text(text, size, CPU_GROUP_SIZE_MAX, keys, ARRAY_SIZE(keys), definition,
			   &tree, ret_error);
	if (r < 0)
		return r;
	*ret_definition = TAKE_PTR(definition);
	return 0;
}

int cpu_group_definition_load(const char *path, struct cpu_group_definition **ret_definition,
			      struct json_error *ret_error)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	r = file_read(path, CPU_GROUP_SIZE_MAX, &text, &size);
	return r < 0 ? r : cpu_group_definition_parse(text, size, ret_definition, ret_error);
}

void cpu_group_definition_free(struct cpu_group_definition *definition)
{
	if (!definition)
		return;
	free(definition->name);
	free(definition->notes);
	free(definition);
}

/* ---- Writing ---- */

struct json_object *cpu_group_definition_to_json(const struct cpu_group_definition *definition)
{
	struct json_object *object;

	object = json_make("version", json_object_new_int64(CPU_GROUP_DEFINITION_VERSION), "name",
			   json_object_new_string(definition->name), "notes",
			   json_object_new_string(definition->notes), NULL);
	if (definition->cpu_weight > 0)
		json_add(&object, "cpu_weight", json_object_new_uint64(definition->cpu_weight));
	if (definition->cpu_quota > 0)
		json_add(&object, "cpu_quota", json_object_new_uint64(definition->cpu_quota));
	if (!cpu_list_is_empty(&definition->cpus))
		json_add(&object, "cpus", cpu_list_to_json(&definition->cpus));
	return object;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtual processors of a VM: that part of its definition, read and written by tables. */
#include "common/definition/definition_processors.h"

#include "common/definition/definition_internal.h"

const char *const definition_model_names[] = { "host", "baseline", NULL };

/* ---- Sets of vps ---- */

int definition_vps_parse(const char *text, struct definition_vps *ret_vps)
{
	return number_set_parse(text, ret_vps->bits, DEFINITION_PROCESSORS_MAX);
}

void definition_vps_format(const struct definition_vps *vps, char text[static DEFINITION_VPS_TEXT])
{
	number_set_format(vps->bits, DEFINITION_PROCESSORS_MAX, text, DEFINITION_VPS_TEXT);
}

/* ---- Reading ---- */

#define KEY(member)                                                                     \
	{                                                                               \
		.name = #member, .read = json_read_unsigned,                            \
		.offset = offsetof(struct definition_processors, member), .minimum = 1, \
		.maximum = DEFINITION_PROCESSORS_MAX                                    \
	}

static int read_feature(struct json_reader *reader, struct json_object *value,
			struct cpu_feature_set *set)
{
	char near[128];
	const char *name;
	int feature;

	if (!json_object_is_type(value, json_type_string))
		return json_refuse(reader, value, "must be the name of a feature, not %s",
				   json_type_text(value));
	name = json_object_get_string(value);
	feature = cpu_feature_find(name);
	if (feature < 0) {
		cpu_feature_near(name, near, sizeof(near));
		return json_refuse(reader, value,
				   "is no feature of a CPU that is known here, by its name in "
				   "/proc/cpuinfo%s%s",
				   near[0] ? "; there is " : "", near);
	}
	if (cpu_features[feature].flags & CPU_NEEDED)
		return json_refuse(reader, value, "cannot be taken away: guests need it");
	if (cpu_feature_set_has(set, (size_t)feature))
		return json_refuse(reader, value, "is in the list twice");
	cpu_feature_set_add(set, (size_t)feature);
	return 0;
}

static int read_without(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	struct definition_processors *processors = target;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be a list of features, not %s",
				   json_type_text(value));
	processors->without = (struct cpu_feature_set){ 0 };
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		size_t mark = json_enter_index(reader, i);
		int r = read_feature(reader, json_object_array_get_idx(value, i),
				     &processors->without);

		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

static const struct json_key keys[] = {
	KEY(count),
	KEY(sockets),
	KEY(cores),
	KEY(threads),
	{ .name = "model",
	  .read = json_read_enum,
	  .offset = offsetof(struct definition_processors, model),
	  .detail = definition_model_names },
	{ .name = "without", .read = read_without },
};

void definition_processors_init(struct definition_processors *processors)
{
	*processors = (struct definition_processors){
		.count = 1, .sockets = 1, .cores = 1, .threads = 1
	};
}

/*
 * Fills in what the text left open: the count is the product, and cores make up for what is
 * missing to a count.
 */
static int settle_topology(struct json_reader *reader, struct json_object *object,
			   struct definition_processors *processors)
{
	unsigned others = processors->sockets * processors->threads;

	if (!json_object_object_get_ex(object, "count", NULL))
		processors->count = others * processors->cores;
	else if (!json_object_object_get_ex(object, "cores", NULL))
		processors->cores = processors->count / others;
	if (processors->count > DEFINITION_PROCESSORS_MAX)
		return json_refuse(reader, object,
				   "are %u virtual processors; at most %d are possible",
				   processors->count, DEFINITION_PROCESSORS_MAX);
	if (processors->count == others * processors->cores)
		return 0;
	json_enter_key(reader, "count");
	if (!json_object_object_get_ex(object, "cores", NULL))
		return json_refuse(reader, json_object_object_get(object, "count"),
				   "is %u, which %u sockets of %u threads a core do not divide",
				   processors->count, processors->sockets, processors->threads);
	return json_refuse(reader, json_object_object_get(object, "count"),
			   "is %u, and must be %u: %u sockets of %u cores of %u threads",
			   processors->count, others * processors->cores, processors->sockets,
			   processors->cores, processors->threads);
}

int definition_processors_read(struct json_reader *reader, const struct json_key *key,
			       struct json_object *value, void *target)
{
	int r = json_read(reader, value, keys, ARRAY_SIZE(keys), target);

	return r < 0 ? r : settle_topology(reader, value, target);
}

/* ---- Writing ---- */

static struct json_object *number(unsigned value)
{
	return json_object_new_int64(value);
}

struct json_object *definition_features_to_json(const struct cpu_feature_set *set)
{
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; i < cpu_feature_count; i++)
		if (cpu_feature_set_has(set, i))
			json_append(&names, json_object_new_string(cpu_features[i].name));
	return names;
}

struct json_object *definition_processors_to_json(const struct definition_processors *processors)
{
	const char *model = definition_model_names[processors->model];

	return json_make("count", number(processors->count), "sockets", number(processors->sockets),
			 "threads", number(processors->threads), "model",
			 json_object_new_string(model), "without",
			 definition_features_to_json(&processors->without), NULL);
}

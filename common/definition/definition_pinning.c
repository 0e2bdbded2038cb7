/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which CPUs of the host vps run on: that part of a VM's definition. */
#include "common/definition/definition_pinning.h"

#include "common/definition/definition_internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Reading ---- */

static int read_vps(struct json_reader *reader, const struct json_key *key,
		    struct json_object *value, void *target)
{
	bool number = json_object_is_type(value, json_type_int);

	if (!number && !json_object_is_type(value, json_type_string))
		return json_refuse(reader, value, "must be text such as \"0-3,8\", not %s",
				   json_type_text(value));
	if (definition_vps_parse(json_object_get_string(value), target) < 0)
		return json_refuse(reader, value,
				   "must be numbers of virtual processors, which count from 0, and "
				   "ranges of them, such as \"0-3,8\"");
	return 0;
}

static const struct json_key pin_keys[] = {
	{ .name = "vps",
	  .read = read_vps,
	  .offset = offsetof(struct definition_pin, vps),
	  .required = true },
	{ .name = "cpus",
	  .read = cpu_list_read,
	  .offset = offsetof(struct definition_pin, cpus),
	  .required = true },
};

int definition_pinning_read(struct json_reader *reader, const struct json_key *key,
			    struct json_object *value, void *target)
{
	struct definition_pinning *pinning = target;

	definition_pinning_deinit(pinning);
	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be a list of pins, not %s",
				   json_type_text(value));
	if (json_object_array_length(value) > DEFINITION_PROCESSORS_MAX)
		return json_refuse(reader, value, "has %zu pins; at most %d are possible",
				   json_object_array_length(value), DEFINITION_PROCESSORS_MAX);
	if (json_object_array_length(value) == 0)
		return 0;
	pinning->pins = calloc(json_object_array_length(value), sizeof(pinning->pins[0]));
	if (!pinning->pins)
		return -ENOMEM;
	for (; pinning->count < json_object_array_length(value); pinning->count++) {
		size_t mark = json_enter_index(reader, pinning->count);
		int r = json_read(reader, json_object_array_get_idx(value, pinning->count),
				  pin_keys, ARRAY_SIZE(pin_keys), &pinning->pins[pinning->count]);

		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

void definition_pinning_deinit(struct definition_pinning *pinning)
{
	free(pinning->pins);
	*pinning = (struct definition_pinning){ 0 };
}

/* ---- Checking ---- */

static int check_vps(struct json_reader *reader, struct json_object *value,
		     const struct definition_vps *pinned, unsigned vps, struct definition_vps *seen)
{
	for (unsigned vp = 0; vp < DEFINITION_PROCESSORS_MAX; vp++) {
		if (!definition_vps_has(pinned, vp))
			continue;
		if (vp >= vps)
			return definition_refuse_member(
				reader, value, "vps",
				"names a processor that the VM does not have: they count from 0");
		if (definition_vps_has(seen, vp))
			return definition_refuse_member(
				reader, value, "vps",
				"names a processor that another pin names, too");
		definition_vps_add(seen, vp);
	}
	return 0;
}

static int check_cpus(struct json_reader *reader, struct json_object *value,
		      const struct cpu_list *pinned, const struct cpu_list *cpus)
{
	struct cpu_list outside;

	if (cpu_list_is_empty(cpus))
		return 0;
	cpu_list_subtract(pinned, cpus, &outside);
	if (cpu_list_is_empty(&outside))
		return 0;
	return definition_refuse_member(reader, value, "cpus",
					"names a CPU that the VM may not use by resources.cpus");
}

int definition_pinning_check(struct json_reader *reader, struct json_object *value,
			     const struct definition_pinning *pinning, unsigned vps,
			     const struct cpu_list *cpus)
{
	struct definition_vps seen = { 0 };

	for (unsigned i = 0; i < pinning->count; i++) {
		struct json_object *pin = json_object_array_get_idx(value, i);
		size_t mark = json_enter_index(reader, i);
		int r = check_vps(reader, pin, &pinning->pins[i].vps, vps, &seen);

		if (r == 0)
			r = check_cpus(reader, pin, &pinning->pins[i].cpus, cpus);
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

int definition_pinning_from_json(struct json_object *array, unsigned vps,
				 struct definition_pinning *pinning, struct json_error *ret_error)
{
	static const struct cpu_list all;
	struct definition_pinning read = { 0 };
	struct json_reader reader = JSON_READER(ret_error);
	int r;

	json_enter_key(&reader, "pinning");
	r = definition_pinning_read(&reader, NULL, array, &read);
	if (r == 0)
		r = definition_pinning_check(&reader, array, &read, vps, &all);
	if (r < 0) {
		definition_pinning_deinit(&read);
		return r;
	}
	definition_pinning_deinit(pinning);
	*pinning = read;
	return 0;
}

/* ---- What it says ---- */

const struct cpu_list *definition_pinning_find(const struct definition_pinning *pinning,
					       unsigned vp)
{
	for (unsigned i = 0; i < pinning->count; i++)
		if (definition_vps_has(&pinning->pins[i].vps, vp))
			return &pinning->pins[i].cpus;
	return NULL;
}

/* Those of the first `vps`. */
static void format_vps(const struct definition_vps *pinned, unsigned vps,
		       char text[static DEFINITION_VPS_TEXT])
{
	struct definition_vps left = { 0 };

	for (unsigned vp = 0; vp < vps; vp++)
		if (definition_vps_has(pinned, vp))
			definition_vps_add(&left, vp);
	definition_vps_format(&left, text);
}

struct json_object *definition_pinning_to_json(const struct definition_pinning *pinning,
					       unsigned vps)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < pinning->count; i++) {
		char text[DEFINITION_VPS_TEXT];

		format_vps(&pinning->pins[i].vps, vps, text);
		if (text[0] != '\0')
			json_append(&array,
				    json_make("vps", json_object_new_string(text), "cpus",
					      cpu_list_to_json(&pinning->pins[i].cpus), NULL));
	}
	return array;
}

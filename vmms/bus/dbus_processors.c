/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GetProcessors() of org.vmms1.VM: what the definition says of them, and, while the VM runs, what
 * its worker has made of that. Without its answer the rest is told.
 */
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <string.h>

/* ---- What the definition says ---- */

static struct json_object *dbus_processors_describe(const struct definition *definition)
{
	const struct definition_processors *processors = &definition->processors;
	struct json_object *object;

	object = definition_processors_to_json(processors);
	json_add(&object, "cores", json_object_new_int64(processors->cores));
	json_add(&object, "numa",
		 definition_numa_describe(&definition->numa, processors, &definition->memory));
	return object;
}

/* ---- What the worker says, which is not believed more than it has to be ---- */

static struct json_object *dbus_processors_take_features(struct json_object *names)
{
	size_t count =
		json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 0;
	struct cpu_feature_set set = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct json_object *name = json_object_array_get_idx(names, i);
		int feature = json_object_is_type(name, json_type_string)
				      ? cpu_feature_find(json_object_get_string(name))
				      : -1;

		if (feature >= 0)
			cpu_feature_set_add(&set, (size_t)feature);
	}
	return definition_features_to_json(&set);
}

static struct json_object *dbus_processors_take_enlightenments(struct json_object *states)
{
	struct json_object *object = json_object_new_object();
	bool is_object = json_object_is_type(states, json_type_object);

	for (unsigned i = 0; is_object && i < _ENLIGHTENMENT_COUNT; i++) {
		struct json_object *state = json_object_object_get(states, enlightenment_names[i]);
		const char *said = json_object_is_type(state, json_type_string)
					   ? json_object_get_string(state)
					   : "";

		for (const char *const *name = enlightenment_state_names; *name; name++)
			if (strcmp(said, *name) == 0)
				json_add(&object, enlightenment_names[i],
					 json_object_new_string(*name));
	}
	return object;
}

static void dbus_processors_add(struct json_object **tree, struct json_object *result)
{
	json_add(tree, "removed",
		 dbus_processors_take_features(json_object_object_get(result, "removed")));
	json_add(tree, "enlightenments",
		 dbus_processors_take_enlightenments(
			 json_object_object_get(result, "enlightenments")));
}

/* ---- The method ---- */

int dbus_get_processors(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;

	return dbus_reply_description(call, vm, dbus_processors_describe(vm->definition),
				      "processors", dbus_processors_add);
}

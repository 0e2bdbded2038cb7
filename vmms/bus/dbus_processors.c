/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GetProcessors() of org.vmms1.VM: what the definition says of them, and, while the VM runs, what
 * its worker has made of that. Without its answer the rest is told.
 */
#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <string.h>

#define ANSWER_TIMEOUT 2 /* seconds */

struct question {
	sd_bus_message *call;
	struct json_object *description;
};

static void dbus_processors_question_free(struct question *question)
{
	sd_bus_message_unref(question->call);
	json_object_put(question->description);
	free(question);
}

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

static void dbus_processors_answered(void *data, struct json_object *result, const char *code,
				     const char *text)
{
	struct question *question = data;
	int r;

	if (result) {
		json_add(&question->description, "removed",
			 dbus_processors_take_features(json_object_object_get(result, "removed")));
		json_add(&question->description, "enlightenments",
			 dbus_processors_take_enlightenments(
				 json_object_object_get(result, "enlightenments")));
	}
	r = dbus_reply_json(question->call, question->description);
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	dbus_processors_question_free(question);
}

/* ---- The method ---- */

int dbus_get_processors(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	struct question *question = calloc(1, sizeof(*question));
	int r;

	if (!question)
		return -ENOMEM;
	question->call = sd_bus_message_ref(call);
	question->description = dbus_processors_describe(vm->definition);
	if (vm->run.worker && vm->run.started_at > 0 &&
	    worker_request(vm->run.worker, "processors", NULL, NULL, 0, ANSWER_TIMEOUT,
			   dbus_processors_answered, question) >= 0)
		return 1;
	r = dbus_reply_json(call, question->description);
	dbus_processors_question_free(question);
	return r;
}

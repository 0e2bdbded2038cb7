/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest is told of its vps. */
#include "vmwp/control/processors.h"

#include "vmwp/control/worker.h"

static struct json_object *report_enlightenments(const struct machine *machine)
{
	struct json_object *object = json_object_new_object();

	for (enum enlightenment i = 0; i < _ENLIGHTENMENT_COUNT; i++) {
		enum enlightenment_state state = machine_enlightenment(machine, i);

		json_add(&object, enlightenment_names[i],
			 json_object_new_string(enlightenment_state_names[state]));
	}
	return object;
}

struct json_object *processors_report(const struct worker *worker)
{
	struct cpu_feature_set removed;

	machine_features_removed(worker->machine, &removed);
	return json_make("removed", definition_features_to_json(&removed), "enlightenments",
			 report_enlightenments(worker->machine), NULL);
}

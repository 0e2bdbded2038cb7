/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest is told of its vps. */
#include "vmwp/processors.h"

#include "vmwp/worker.h"

struct json_object *processors_report(const struct worker *worker)
{
	struct cpu_feature_set removed;

	machine_features_removed(worker->machine, &removed);
	return json_make("removed", definition_features_to_json(&removed), NULL);
}

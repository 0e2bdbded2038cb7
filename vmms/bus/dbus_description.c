/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replies that describe a VM: what the daemon knows and, while the VM runs, what its worker adds. */
#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT 2 /* seconds */

struct description {
	sd_bus_message *call;
	struct json_object *tree;
	dbus_description_fn add;
};

static void description_free(struct description *description)
{
	sd_bus_message_unref(description->call);
	json_object_put(description->tree);
	free(description);
}

static void description_answered(void *data, struct json_object *result, const char *code,
				 const char *text)
{
	struct description *description = data;
	int r;

	if (result && description->tree)
		description->add(&description->tree, result);
	r = dbus_reply_json(description->call, description->tree);
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	description_free(description);
}

int dbus_reply_description(sd_bus_message *call, struct vm *vm, struct json_object *tree,
			   const char *method, dbus_description_fn add)
{
	struct description *description = malloc(sizeof(*description));
	int r;

	if (!description) {
		json_object_put(tree);
		return -ENOMEM;
	}
	*description = (struct description){ sd_bus_message_ref(call), tree, add };
	if (vm->run.worker && vm->run.started_at > 0 &&
	    worker_request(vm->run.worker, method, NULL, NULL, 0, ANSWER_TIMEOUT,
			   description_answered, description) >= 0)
		return 1;
	r = dbus_reply_json(call, tree);
	description_free(description);
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inspect() of org.vmms1.VM: what the worker tells of its objects, passed on as it came. */
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INSPECT_TIMEOUT 10 /* seconds; the worker waits for nothing */

struct question {
	sd_bus_message *call;
	struct vm *vm;
};

static void dbus_inspection_answer(sd_bus_message *call, struct json_object *result)
{
	int r = dbus_reply_json(call, result);

	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	sd_bus_message_unref(call);
}

static void dbus_inspection_answered(void *data, struct json_object *result, const char *code,
				     const char *text)
{
	struct question question = *(struct question *)data;
	struct failure failure = { 0 };

	free(data);
	if (result) {
		dbus_inspection_answer(question.call, result);
		return;
	}
	vm_failure(question.vm, code, text, &failure);
	dbus_done(question.call, &failure);
}

static int dbus_inspection_ask(struct vm *vm, sd_bus_message *call, struct json_object *arguments,
			       struct failure *failure)
{
	struct question *question;
	int r;

	if (!vm->run.worker || vm->run.started_at == 0)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' is %s; there is something to inspect while it runs",
				   vm->definition->name, vm_state_name(vm->state));
	question = malloc(sizeof(*question));
	if (!question)
		return failure_no_memory(failure);
	*question = (struct question){ sd_bus_message_ref(call), vm };
	r = worker_request(vm->run.worker, "inspect", arguments, NULL, 0, INSPECT_TIMEOUT,
			   dbus_inspection_answered, question);
	if (r == 0)
		return 0;
	sd_bus_message_unref(call);
	free(question);
	return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
}

int dbus_inspect(sd_bus_message *call, void *data, sd_bus_error *error)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct failure failure = { 0 };
	const char *part;
	uint32_t first;
	int r;

	r = sd_bus_message_read(call, "su", &part, &first);
	if (r < 0)
		return r;
	arguments = json_make("part", json_object_new_string(part), "first",
			      json_object_new_int64(first), NULL);
	if (!arguments)
		return -ENOMEM;
	if (dbus_inspection_ask(data, call, arguments, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return 1;
}

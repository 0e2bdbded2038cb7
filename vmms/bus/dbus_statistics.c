/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GetStatistics(), and what is about meters, of org.vmms1.VM and org.vmms1.Manager. */
#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <string.h>

/* What is told of a VM when its worker has been asked. New reference; NULL without memory. */
typedef struct json_object *(*report_fn)(const struct vm *vm);

struct question {
	sd_bus_message *call;
	report_fn report;
	struct guid vm; /* null: all that the caller sees */
	char *owner;    /* whose VMs those are; NULL: everybody's */
};

static void dbus_statistics_question_free(struct question *question)
{
	sd_bus_message_unref(question->call);
	free(question->owner);
	free(question);
}

static struct json_object *dbus_statistics_of_all(const struct manager *manager, report_fn report,
						  const char *owner)
{
	struct json_object *vms = json_object_new_array();

	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!owner || strcmp(vm_owner(vm), owner) == 0)
			json_append(&vms, report(vm));
	}
	return json_make("vms", vms, NULL);
}

static int dbus_statistics_reply(sd_bus_message *call, struct json_object *tree)
{
	AUTO_JSON struct json_object *owned = tree;

	return dbus_reply_json(call, owned);
}

/* A VM may have been deleted meanwhile. */
static int dbus_statistics_answer(const struct question *question, struct manager *manager)
{
	const struct vm *vm;

	if (!manager)
		return sd_bus_reply_method_errorf(question->call, DBUS_ERROR_BUSY,
						  "the service is ending");
	if (guid_is_null(&question->vm))
		return dbus_statistics_reply(
			question->call,
			dbus_statistics_of_all(manager, question->report, question->owner));
	vm = manager_find_uuid(manager, &question->vm);
	if (!vm)
		return sd_bus_reply_method_errorf(question->call, DBUS_ERROR_NO_SUCH_VM,
						  "the VM was deleted");
	return dbus_statistics_reply(question->call, question->report(vm));
}

static void dbus_statistics_answered(void *data, struct manager *manager)
{
	struct question *question = data;
	int r;

	r = dbus_statistics_answer(question, manager);
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	dbus_statistics_question_free(question);
}

/* vm: NULL: all. */
static int dbus_statistics_ask(sd_bus_message *call, report_fn report, struct manager *manager,
			       struct vm *vm, const char *owner)
{
	struct question *question = calloc(1, sizeof(*question));
	struct statistics_query *query;
	int r;

	if (!question)
		return -ENOMEM;
	question->call = sd_bus_message_ref(call);
	question->report = report;
	question->owner = owner ? strdup(owner) : NULL;
	if (owner && !question->owner) {
		dbus_statistics_question_free(question);
		return -ENOMEM;
	}
	if (vm)
		question->vm = vm->definition->uuid;
	r = statistics_ask(manager, vm, dbus_statistics_answered, question, &query);
	if (r < 0) {
		dbus_statistics_question_free(question);
		return r;
	}
	return 1;
}

static int dbus_statistics_ask_of_vm(sd_bus_message *call, report_fn report, struct vm *vm)
{
	return dbus_statistics_ask(call, report, vm->manager, vm, NULL);
}

static int dbus_statistics_ask_of_all(sd_bus_message *call, report_fn report,
				      struct dbus_service *service)
{
	const char *owner = service->access.sees_all ? NULL : service->access.user->name;

	return dbus_statistics_ask(call, report, service->manager, NULL, owner);
}

int dbus_get_vm_statistics(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_statistics_ask_of_vm(call, statistics_to_json, data);
}

int dbus_get_statistics(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_statistics_ask_of_all(call, statistics_to_json, data);
}

/* ---- Meters ---- */

int dbus_get_vm_meter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_statistics_ask_of_vm(call, vm_meter_to_json, data);
}

int dbus_get_meters(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_statistics_ask_of_all(call, vm_meter_to_json, data);
}

/* By a meter its owner pays, perhaps. */
static int dbus_meter_check_caller(sd_bus_message *call, const struct vm *vm,
				   struct failure *failure)
{
	const struct user_found *user = dbus_caller(call);

	if (!user || !permit_is_owner(user, vm->definition))
		return 0;
	return failure_set(failure, SD_BUS_ERROR_ACCESS_DENIED,
			   "what VM '%s' uses is metered for whoever manages the host: they switch "
			   "its meter, and set it to 0",
			   vm->definition->name);
}

static int dbus_meter_conclude(sd_bus_message *call, int r, const struct failure *failure)
{
	return r < 0 ? dbus_reply_failure(call, failure) : sd_bus_reply_method_return(call, "");
}

int dbus_switch_meter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	struct failure failure;
	int r, on;

	r = sd_bus_message_read(call, "b", &on);
	if (r < 0)
		return r;
	r = dbus_meter_check_caller(call, vm, &failure);
	if (r == 0)
		r = vm_meter_switch(vm, on, &failure);
	return dbus_meter_conclude(call, r, &failure);
}

int dbus_reset_meter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	struct failure failure;
	int r = dbus_meter_check_caller(call, vm, &failure);

	if (r == 0)
		r = vm_meter_reset(vm, &failure);
	return dbus_meter_conclude(call, r, &failure);
}

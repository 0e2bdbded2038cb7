/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GetStatistics() of org.vmms1.VM and org.vmms1.Manager. */
#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <string.h>

struct question {
	sd_bus_message *call;
	struct guid vm; /* null: all that the caller sees */
	char *owner;    /* whose VMs those are; NULL: everybody's */
};

static void dbus_statistics_question_free(struct question *question)
{
	sd_bus_message_unref(question->call);
	free(question->owner);
	free(question);
}

static struct json_object *dbus_statistics_all_to_json(const struct manager *manager,
						       const char *owner)
{
	struct json_object *vms = json_object_new_array();

	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!owner || strcmp(vm_owner(vm), owner) == 0)
			json_append(&vms, statistics_to_json(vm));
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
		return dbus_statistics_reply(question->call,
					     dbus_statistics_all_to_json(manager, question->owner));
	vm = manager_find_uuid(manager, &question->vm);
	if (!vm)
		return sd_bus_reply_method_errorf(question->call, DBUS_ERROR_NO_SUCH_VM,
						  "the VM was deleted");
	return dbus_statistics_reply(question->call, statistics_to_json(vm));
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
static int dbus_statistics_ask(sd_bus_message *call, struct manager *manager, struct vm *vm,
			       const char *owner)
{
	struct question *question = calloc(1, sizeof(*question));
	struct statistics_query *query;
	int r;

	if (!question)
		return -ENOMEM;
	question->call = sd_bus_message_ref(call);
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

int dbus_get_vm_statistics(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;

	return dbus_statistics_ask(call, vm->manager, vm, NULL);
}

int dbus_get_statistics(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	const char *owner = service->access.sees_all ? NULL : service->access.user->name;

	return dbus_statistics_ask(call, service->manager, NULL, owner);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.Manager: docs/dbus/org.vmms1.Manager.md. */
#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"

#include <errno.h>
#include <string.h>

/* A new VM whose text says nothing of adapters has one, which needs no set-up. */
static int dbus_manager_add_default_adapter(const char *text, struct definition *definition)
{
	AUTO_JSON struct json_object *tree = NULL, *none = json_object_new_object();
	struct definition_adapter adapter;
	struct json_error error;
	int r;

	r = none ? json_parse(text, strlen(text), &tree, &error) : -ENOMEM;
	if (r < 0 || json_object_object_get_ex(tree, "network_adapters", NULL))
		return r;
	r = definition_adapter_from_json(none, &definition->network, &adapter, &error);
	if (r < 0)
		return r;
	r = definition_add_adapter(&definition->network, &adapter);
	definition_adapter_deinit(&adapter);
	return r;
}

int dbus_take_definition(struct dbus_service *service, sd_bus_message *call, const char *text,
			 struct definition **ret_definition)
{
	struct definition *definition;
	struct failure failure;
	struct json_error why;
	int r;

	r = definition_parse(text, strlen(text), &definition, &why);
	if (r == -EINVAL) {
		dbus_refuse_definition(&failure, text, &why);
		r = dbus_reply_failure(call, &failure);
		return r < 0 ? r : 1;
	}
	if (r < 0)
		return r;
	r = dbus_manager_add_default_adapter(text, definition);
	if (r < 0) {
		definition_free(definition);
		return r;
	}
	r = permit_definition(dbus_caller(call), NULL, definition, &failure);
	if (r == 0 && dbus_caller(call))
		r = quota_check_definition(service->manager, NULL, definition, &failure);
	if (r == 0)
		r = dbus_check_owner(call, NULL, definition, &failure);
	if (r == 0) {
		*ret_definition = definition;
		return 0;
	}
	definition_free(definition);
	if (r < 0)
		r = dbus_reply_failure(call, &failure);
	return r < 0 ? r : 1;
}

static int dbus_manager_create_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct definition *definition;
	struct failure failure;
	char path[DBUS_VM_PATH_SIZE];
	const char *text;
	struct vm *vm;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r < 0)
		return r;
	r = dbus_take_definition(service, call, text, &definition);
	if (r != 0)
		return r;
	r = manager_create_vm(service->manager, definition, &vm, &failure);
	if (r < 0)
		return dbus_reply_failure(call, &failure);
	dbus_vm_path(vm, path);
	return sd_bus_reply_method_return(call, "o", path);
}

/* What there is under a name that is no VM's. */
static int dbus_manager_refuse_name(struct manager *manager, const char *name,
				    struct failure *failure)
{
	struct broken_definition *broken = manager_find_broken(manager, name);
	char text[JSON_ERROR_TEXT_MAX];

	if (broken) {
		json_error_describe(broken->path, (unsigned)broken->error.line, broken->error.key,
				    broken->error.message, text, sizeof(text));
		return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION,
				   "the definition of VM '%s' is broken: %s; repair it, then run "
				   "'vmctl reload'",
				   name, text);
	}
	if (manager_find_name(manager, name))
		return failure_set(failure, DBUS_ERROR_NO_SUCH_VM,
				   "'%s' is the name of one VM and the uuid of another; say the "
				   "uuid of the first, or the name of the second",
				   name);
	return failure_set(failure, DBUS_ERROR_NO_SUCH_VM,
			   "there is no VM '%s'; 'vmctl list' shows which there are", name);
}

static int dbus_manager_get_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	char path[DBUS_VM_PATH_SIZE];
	struct failure failure;
	const char *name;
	struct vm *vm;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	vm = manager_find(service->manager, name);
	if (!vm) {
		dbus_manager_refuse_name(service->manager, name, &failure);
		return dbus_reply_failure(call, &failure);
	}
	dbus_vm_path(vm, path);
	return sd_bus_reply_method_return(call, "o", path);
}

static int dbus_manager_append_vm(sd_bus_message *reply, const struct vm *vm)
{
	char path[DBUS_VM_PATH_SIZE], uuid[GUID_TEXT_SIZE];

	dbus_vm_path(vm, path);
	guid_format(&vm->definition->uuid, uuid);
	return sd_bus_message_append(reply, "(ssso)", vm->definition->name, uuid,
				     vm_state_name(vm->state), path);
}

static int dbus_manager_append_vms(sd_bus_message *reply, const struct dbus_service *service)
{
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssso)");
	if (r < 0)
		return r;
	list_for_each (link, &service->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!dbus_caller_sees(service, vm))
			continue;
		r = dbus_manager_append_vm(reply, vm);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

static int dbus_manager_list_vms(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	sd_bus_message *reply = NULL;
	int r;

	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = dbus_manager_append_vms(reply, service);
	if (r >= 0)
		r = sd_bus_message_send(reply);
	sd_bus_message_unref(reply);
	return r;
}

static void dbus_manager_report_done(void *data, const char *text, const struct failure *failure)
{
	sd_bus_message *call = data;
	int r;

	r = text ? sd_bus_reply_method_return(call, "s", text) : dbus_reply_failure(call, failure);
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	sd_bus_message_unref(call);
}

static int dbus_manager_report_host(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	int r;

	r = host_report_ask(service->report, dbus_manager_report_done, sd_bus_message_ref(call));
	if (r < 0) {
		sd_bus_message_unref(call);
		return r;
	}
	return 1;
}

static int dbus_manager_reload(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure;

	if (manager_reload(service->manager, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

/* A VM, or the broken definition of one. */
static int dbus_manager_delete_name(struct manager *manager, const char *name,
				    struct failure *failure)
{
	struct vm *vm = manager_find(manager, name);
	struct broken_definition *broken;

	if (vm)
		return manager_delete_vm(manager, vm, failure);
	broken = manager_find_broken(manager, name);
	if (broken)
		return manager_delete_broken(manager, broken, failure);
	return dbus_manager_refuse_name(manager, name, failure);
}

static int dbus_manager_delete_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure;
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	if (dbus_manager_delete_name(service->manager, name, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

static int dbus_manager_get_version(sd_bus *bus, const char *path, const char *interface,
				    const char *property, sd_bus_message *reply, void *data,
				    sd_bus_error *error)
{
	return sd_bus_message_append(reply, "s", VMMS_VERSION);
}

static int dbus_manager_get_broken(sd_bus *bus, const char *path, const char *interface,
				   const char *property, sd_bus_message *reply, void *data,
				   sd_bus_error *error)
{
	struct dbus_service *service = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssuss)");
	if (r < 0)
		return r;
	list_for_each (link, &service->manager->broken) {
		if (!dbus_reader_sees_all(service))
			break;
		struct broken_definition *broken =
			container_of(link, struct broken_definition, link);

		r = sd_bus_message_append(reply, "(ssuss)", broken->name, broken->path,
					  (uint32_t)broken->error.line, broken->error.key,
					  broken->error.message);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("CreateVM", SD_BUS_ARGS("s", definition), SD_BUS_RESULT("o", vm),
				dbus_manager_create_vm, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS(
		"ExpectVM", SD_BUS_ARGS("s", definition, "a{sv}", options),
		SD_BUS_RESULT("o", vm, "o", job, "s", address, "u", port, "ay", key),
		dbus_expect_vm, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetVM", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", vm),
				dbus_manager_get_vm, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListVMs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssso)", vms),
				dbus_manager_list_vms, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("HostReport", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", report),
				dbus_manager_report_host, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("CheckHost", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", report),
				dbus_check_host, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetStatistics", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", statistics),
				dbus_get_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetMeters", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", meters),
				dbus_get_meters, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, dbus_manager_reload,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("StartGuests", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, dbus_start_guests,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("StopGuests", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, dbus_stop_guests,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("DeleteVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
				dbus_manager_delete_vm, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("CreateSwitch", SD_BUS_ARGS("s", definition, "a{sv}", options),
				SD_BUS_RESULT("o", switch), dbus_create_switch,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetSwitch", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", switch),
				dbus_get_switch, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListSwitches", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssso)", switches),
				dbus_list_switches, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("DeleteSwitch", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
				dbus_delete_switch, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("CreateCPUGroup", SD_BUS_ARGS("s", definition), SD_BUS_NO_RESULT,
				dbus_create_cpu_group, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ChangeCPUGroup", SD_BUS_ARGS("s", definition), SD_BUS_NO_RESULT,
				dbus_change_cpu_group, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("DeleteCPUGroup", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
				dbus_delete_cpu_group, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListCPUGroups", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", groups),
				dbus_list_cpu_groups, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("WorkOnDisk", SD_BUS_ARGS("s", request), SD_BUS_RESULT("o", job),
				dbus_work_on_disk, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, dbus_subscribe,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, dbus_unsubscribe,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetJob", SD_BUS_ARGS("u", id), SD_BUS_RESULT("o", job),
				dbus_get_job, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usssto)", jobs),
				dbus_list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Version", "s", dbus_manager_get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("BrokenDefinitions", "a(ssuss)", dbus_manager_get_broken, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("BrokenSwitches", "a(ssuss)", dbus_get_broken_switches, 0, 0),
	SD_BUS_VTABLE_END,
};

int dbus_manager_register(struct dbus_service *service)
{
	return sd_bus_add_object_vtable(service->bus, NULL, DBUS_PATH, DBUS_INTERFACE_MANAGER,
					manager_vtable, service);
}

void dbus_broken_changed(struct dbus_service *service)
{
	static const char *const properties[] = { "BrokenDefinitions", NULL };
	const struct dbus_object object = { DBUS_PATH, DBUS_INTERFACE_MANAGER, manager_vtable,
					    service };

	dbus_object_changed(service, (struct dbus_audience){ 0 }, &object, properties);
}

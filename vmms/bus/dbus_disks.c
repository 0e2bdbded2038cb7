/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GetDisks() of org.vmms1.VM: what the definition says of them, and, while the VM runs, how they
 * are. What only the worker knows is left out if it does not answer.
 */
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

/* ---- What the daemon knows ---- */

static struct json_object *dbus_disks_describe_disk(const struct vm *vm,
						    const struct definition_disk *disk)
{
	const struct vm_disk_health *health = vm_disk_health_find(vm, disk->controller, disk->lun);
	pid_t server = vm_images_find(vm, disk->controller, disk->lun);
	struct json_object *object = definition_disk_to_json(disk);

	if (vm->run.worker)
		json_add(&object, "health", json_object_new_string(health ? health->health : "ok"));
	if (health)
		json_add(&object, "problem", json_object_new_string(health->text));
	if (server > 0)
		json_add(&object, "server", json_object_new_int64(server));
	return object;
}

static struct json_object *dbus_disks_describe(const struct vm *vm)
{
	struct json_object *disks = json_object_new_array();

	for (size_t i = 0; i < vm->definition->disk_count; i++)
		json_append(&disks, dbus_disks_describe_disk(vm, &vm->definition->disks[i]));
	return disks;
}

/* ---- What the worker says, of which numbers alone are taken ---- */

static struct json_object *dbus_disks_find_report(struct json_object *reports,
						  struct json_object *disk)
{
	size_t count = json_object_is_type(reports, json_type_array)
			       ? json_object_array_length(reports)
			       : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *report = json_object_array_get_idx(reports, i);

		if (json_object_is_type(report, json_type_object) &&
		    json_object_equal(json_object_object_get(report, "controller"),
				      json_object_object_get(disk, "controller")) &&
		    json_object_equal(json_object_object_get(report, "lun"),
				      json_object_object_get(disk, "lun")))
			return report;
	}
	return NULL;
}

static void dbus_disks_take_report(struct json_object *disk, struct json_object *report)
{
	static const char *const numbers[] = { "size", "held", "errors" };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct json_object *value = json_object_object_get(report, numbers[i]);

		if (json_object_is_type(value, json_type_int))
			json_object_object_add(disk, numbers[i], json_object_get(value));
	}
}

static void dbus_disks_add(struct json_object **tree, struct json_object *result)
{
	struct json_object *disks = json_object_object_get(*tree, "disks");
	struct json_object *reports = json_object_object_get(result, "disks");

	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		struct json_object *report = dbus_disks_find_report(reports, disk);

		if (report)
			dbus_disks_take_report(disk, report);
	}
}

/* ---- On the bus ---- */

int dbus_get_disks(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;

	return dbus_reply_description(call, vm, json_make("disks", dbus_disks_describe(vm), NULL),
				      "disks", dbus_disks_add);
}

int dbus_get_disk_problems(sd_bus *bus, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *data,
			   sd_bus_error *error)
{
	const struct vm *vm = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(uuss)");
	list_for_each (link, (struct list *)&vm->images.healths) {
		const struct vm_disk_health *health =
			container_of(link, struct vm_disk_health, link);

		if (r >= 0)
			r = sd_bus_message_append(reply, "(uuss)", health->controller, health->lun,
						  health->health, health->text);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

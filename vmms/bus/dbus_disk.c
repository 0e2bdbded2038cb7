/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The members of org.vmms1.VM that are about files: disks, media, and what is passed at a start.
 * docs/dbus/org.vmms1.VM.md.
 */
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"
#include "vmms/image/image.h"

#include <errno.h>
#include <string.h>

/* ---- Attaching, detaching ---- */

/* A call whose answer is the place of the new disk. */
struct attach_call {
	sd_bus_message *call;
	unsigned controller, lun;
};

static void dbus_disk_attach_done(void *data, const struct failure *failure)
{
	struct attach_call *attach = data;

	if (failure)
		(void)dbus_reply_failure(attach->call, failure);
	else
		(void)sd_bus_reply_method_return(attach->call, "uu", attach->controller,
						 attach->lun);
	sd_bus_message_unref(attach->call);
	free(attach);
}

/* A disk that names no lun gets the lowest free one of its controller; while it runs, none at an IDE channel. */
static int dbus_disk_choose_lun(struct vm *vm, struct json_object *tree,
				struct definition_disk *disk, struct failure *failure)
{
	if (json_object_object_get_ex(tree, "lun", NULL))
		return 0;
	for (unsigned lun = 0; lun < DEFINITION_LUNS_MAX; lun++) {
		if (definition_find_disk(vm->definition, disk->controller, lun) ||
		    (vm->run.worker && definition_is_ide(vm->definition, disk->controller, lun)) ||
		    (vm->pending && definition_find_disk(vm->pending, disk->controller, lun)))
			continue;
		disk->lun = lun;
		return 0;
	}
	return failure_set(failure, DBUS_ERROR_EXISTS,
			   "controller %u of VM '%s' is full; name another controller",
			   disk->controller, vm->definition->name);
}

static int dbus_disk_read_disk(struct vm *vm, const char *text, struct definition_disk *disk,
			       struct failure *failure)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	int r;

	r = definition_parse_part(text, strlen(text), &tree, &error);
	if (r == 0)
		r = definition_disk_from_json(tree, disk, &error);
	if (r == -EINVAL)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "the disk's %s %s",
				   error.key[0] != '\0' ? error.key : "description", error.message);
	if (r < 0)
		return failure_no_memory(failure);
	r = dbus_disk_choose_lun(vm, tree, disk, failure);
	if (r < 0)
		definition_disk_deinit(disk);
	return r;
}

/* fd: -1: what is at the disk's path. */
static int attach(sd_bus_message *call, struct vm *vm, const char *text, int fd)
{
	struct definition_disk disk;
	struct attach_call *attach;
	struct failure failure;
	int r;

	if (permit_file(dbus_caller(call), vm->definition, &failure) < 0 ||
	    (dbus_caller(call) && quota_check_disk(vm, &failure) < 0) ||
	    dbus_disk_read_disk(vm, text, &disk, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	attach = malloc(sizeof(*attach));
	if (!attach) {
		definition_disk_deinit(&disk);
		return -ENOMEM;
	}
	*attach = (struct attach_call){ sd_bus_message_ref(call), disk.controller, disk.lun };
	r = vm_attach_disk(vm, &disk, fd, dbus_disk_attach_done, attach, &failure);
	if (r < 0)
		free(attach);
	return dbus_conclude(call, r, &failure);
}

int dbus_attach_disk(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *text;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	return r < 0 ? r : attach(call, data, text, -1);
}

int dbus_attach_disk_with_file(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *text;
	int fd, r;

	r = sd_bus_message_read(call, "sh", &text, &fd);
	return r < 0 ? r : attach(call, data, text, fd);
}

int dbus_detach_disk(sd_bus_message *call, void *data, sd_bus_error *error)
{
	uint32_t controller, lun;
	struct failure failure;
	int r;

	r = sd_bus_message_read(call, "uu", &controller, &lun);
	if (r < 0)
		return r;
	r = vm_detach_disk(data, controller, lun, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

/* ---- Media ---- */

struct medium {
	uint32_t controller, lun;
	const char *path;
	int fd; /* -1: what is at the path */
};

static int dbus_disk_insert(sd_bus_message *call, struct vm *vm, const struct medium *medium)
{
	struct failure failure;
	int r;

	if (permit_file(dbus_caller(call), vm->definition, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	r = vm_insert_medium(vm, medium->controller, medium->lun, medium->path, medium->fd,
			     dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

int dbus_insert_medium(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct medium medium = { .fd = -1 };
	int r;

	r = sd_bus_message_read(call, "uus", &medium.controller, &medium.lun, &medium.path);
	return r < 0 ? r : dbus_disk_insert(call, data, &medium);
}

int dbus_insert_medium_with_file(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct medium medium;
	int r;

	r = sd_bus_message_read(call, "uush", &medium.controller, &medium.lun, &medium.path,
				&medium.fd);
	return r < 0 ? r : dbus_disk_insert(call, data, &medium);
}

int dbus_eject_medium(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int force = false;
	const struct dbus_option options[] = { { "force", 'b', &force } };
	uint32_t controller, lun;
	struct failure failure = { 0 };
	int r;

	r = sd_bus_message_read(call, "uu", &controller, &lun);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_eject_medium(data, controller, lun, force, dbus_done, sd_bus_message_ref(call),
			    &failure);
	return dbus_conclude(call, r, &failure);
}

/* ---- Starting ---- */

static int dbus_disk_read_file(sd_bus_message *call, struct resources *files,
			       struct failure *failure)
{
	const char *name;
	int fd, r;

	r = sd_bus_message_read(call, "{sh}", &name, &fd);
	if (r <= 0)
		return r;
	if (strlen(name) >= RESOURCES_NAME_MAX || resources_find(files, name) >= 0 ||
	    files->count == ARRAY_SIZE(files->items))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "files have names as 'kernel' and 'disk:0:1', each once");
	resources_add(files, name, fd);
	return 1;
}

/* The descriptors stay the call's. */
static int dbus_disk_read_files(sd_bus_message *call, struct resources *files,
				struct failure *failure)
{
	int r;

	r = sd_bus_message_enter_container(call, 'a', "{sh}");
	while (r > 0) {
		r = dbus_disk_read_file(call, files, failure);
		if (r == 0)
			return sd_bus_message_exit_container(call);
	}
	return r;
}

int dbus_start_with_files(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct resources files = { .count = 0 };
	struct failure failure = { 0 };
	struct vm *vm = data;
	int r;

	r = dbus_disk_read_files(call, &files, &failure);
	if (r >= 0 && files.count > 0)
		r = permit_file(dbus_caller(call), vm->definition, &failure);
	if (r >= 0 && dbus_caller(call))
		r = quota_check_start(vm, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_start_with_files(vm, &files, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

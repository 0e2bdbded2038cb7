/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the servers of its disk images that its worker does not read. */
#include "vmms/vm/vm_images.h"

#include "common/image/image.h"
#include "vmms/image/image.h"
#include "vmms/units/units.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_disk_health.h"
#include "vmms/vm/vm_image_restart.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct vm_image {
	struct list link; /* in its VM's list */
	struct vm *vm;
	unsigned controller, lun;
	struct image_server *server;
	bool late;         /* it has come to a VM that ran */
	struct unit *unit; /* of its own, if it is late; NULL: no units are used */
};

static void image_free(struct vm_image *image)
{
	if (!image)
		return;
	list_unlink(&image->link);
	unit_free(image->unit);
	image_server_free(image->server);
	free(image);
}
DEFINE_CLEANUP(struct vm_image *, image_free)

static struct vm_image *image_new(struct vm *vm, unsigned controller, unsigned lun)
{
	struct vm_image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	list_init(&image->link);
	image->vm = vm;
	image->controller = controller;
	image->lun = lun;
	return image;
}

/* ---- The end ---- */

static void images_all_ended(struct vm *vm)
{
	AUTO_FREE struct worker_exit *exit = TAKE_PTR(vm->run.exit);

	vm_clear_timer(vm);
	vm_worker_ended(vm, exit);
}

static void images_server_ended(void *owner, const char *words)
{
	struct vm_image *image = owner;
	struct vm *vm = image->vm;
	unsigned controller = image->controller, lun = image->lun;
	const struct vm_disk_health *health = vm_disk_health_find(vm, controller, lun);
	bool missed = health &&
		      strcmp(health->health, control_health_names[CONTROL_HEALTH_NO_SERVER]) == 0;

	if (words)
		vm_log(vm, VM_EVENT_DISK, LOG_LEVEL_WARNING,
		       "the image server of the disk at controller %u, lun %u has ended: %s",
		       controller, lun, words);
	image_free(image);
	if (words || missed)
		vm_image_restart(vm, controller, lun);
	if (vm->run.exit && list_empty(&vm->images.list))
		images_all_ended(vm);
}

static int images_end_is_late(sd_event_source *source, uint64_t usec, void *data)
{
	struct vm *vm = data;

	list_for_each (link, &vm->images.list)
		image_server_signal(container_of(link, struct vm_image, link)->server, SIGKILL);
	return 0;
}

bool vm_images_outlive(struct vm *vm, const struct worker_exit *exit)
{
	if (list_empty(&vm->images.list))
		return false;
	vm->run.exit = malloc(sizeof(*exit));
	if (!vm->run.exit)
		return false;
	*vm->run.exit = *exit;
	list_for_each (link, &vm->images.list)
		image_server_signal(container_of(link, struct vm_image, link)->server, SIGTERM);
	vm_set_timer(vm, VM_IMAGE_END_TIMEOUT, images_end_is_late);
	if (vm->state != VM_STARTING)
		vm_set_state(vm, VM_STOPPING, "its disk images are being closed");
	return true;
}

void vm_images_forget(struct vm *vm)
{
	free(TAKE_PTR(vm->run.exit));
	list_for_each (link, &vm->images.list)
		image_free(container_of(link, struct vm_image, link));
}

/* ---- Units ---- */

static void images_unit_changed(void *owner)
{
	const struct vm_image *image = owner;
	const char *problem = unit_problem(image->unit);

	if (problem[0] != '\0')
		vm_log(image->vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "the image server of the disk at controller %u, lun %u is not limited: %s",
		       image->controller, image->lun, problem);
}

static const struct unit_callbacks unit_callbacks = { .changed = images_unit_changed };

static void images_open_unit(struct vm_image *image, const struct definition *definition)
{
	struct units *units = image->vm->manager->settings.units;
	pid_t pid = image_server_process(image->server)->pid;

	if (units_are_used(units) &&
	    unit_new(units, image->vm->run.name, pid, &unit_callbacks, image, &image->unit) == 0)
		unit_open(image->unit, definition, &pid, 1);
}

void vm_images_update_units(struct vm *vm)
{
	list_for_each (link, &vm->images.list) {
		const struct vm_image *image = container_of(link, struct vm_image, link);

		if (image->unit)
			unit_limit(image->unit, vm->definition);
	}
}

/* ---- The beginning ---- */

static int images_start_failure(const struct vm *vm, const struct definition_disk *disk, int error,
				struct failure *failure)
{
	const struct manager_settings *settings = &vm->manager->settings;
	const char *program = settings->image_server, *guard = settings->image_guard;
	bool unguarded = access(program, X_OK) == 0 && access(guard, R_OK) < 0;

	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "cannot use disk image '%s' (controller %u, lun %u), which is %s: %s "
			   "cannot be %s: %s%s",
			   disk->path, disk->controller, disk->lun, disk->format,
			   unguarded ? guard : program, unguarded ? "used" : "started",
			   strerror(-error),
			   error != -ENOENT ? ""
			   : unguarded      ? "; install the package vmms again"
					    : "; install the package qemu-system-common");
}

static int images_serve(struct vm *vm, const struct definition *definition,
			const struct definition_disk *disk, const struct image_file *files,
			size_t count, struct file_holder *holder, int *ret_connection,
			struct failure *failure)
{
	CLEANUP(image_freep) struct vm_image *image = image_new(vm, disk->controller, disk->lun);
	char path[PATH_MAX], profile[APPARMOR_NAME_SIZE];
	const struct image_server_config config = { .program = vm->manager->settings.image_server,
						    .guard = vm->manager->settings.image_guard,
						    .socket = path,
						    .user = vm->run.user,
						    .profile = vm_confinement_profile(
							    vm, APPARMOR_IMAGE_SERVER, profile),
						    .disk = disk,
						    .files = files,
						    .file_count = count,
						    .holder = holder,
						    .ended = images_server_ended,
						    .owner = image };
	int r;

	if (!image)
		return failure_no_memory(failure);
	vm_record_image_path(vm, path);
	r = image_server_start(vm->manager->loop, &config, &image->server, ret_connection);
	if (r < 0)
		return images_start_failure(vm, disk, r, failure);
	list_append(&vm->images.list, &image->link);
	image->late = vm->run.worker != NULL;
	if (image->late)
		images_open_unit(image, definition);
	TAKE_PTR(image);
	return 0;
}

static int images_serve_disk(struct vm *vm, const struct definition *definition,
			     const struct definition_disk *disk, const struct opened_files *opened,
			     struct resources *resources, struct failure *failure)
{
	struct image_file files[IMAGE_CHAIN_MAX];
	size_t count = image_chain_find(opened, disk, files);
	int connection, r;

	if (count == 0 || image_format_is_native(disk->format))
		return 0;
	r = images_serve(vm, definition, disk, files, count,
			 opened->holder ? opened->holder : vm->opening.files, &connection, failure);
	if (r == 0)
		resources_add(resources, files[0].held->name, connection);
	return r;
}

/* What is a server's now is not for the worker. */
static void images_forget_served(struct opened_files *opened, const struct resources *resources)
{
	size_t kept = 0;

	for (size_t i = 0; i < opened->count; i++) {
		char disk[RESOURCES_NAME_MAX];

		snprintf(disk, sizeof(disk), "%.*s",
			 (int)strcspn(opened->items[i].name, IMAGE_CHAIN_MARK),
			 opened->items[i].name);
		if (resources_find(resources, disk) < 0)
			opened->items[kept++] = opened->items[i];
	}
	opened->count = kept;
}

int vm_images_serve(struct vm *vm, const struct definition *definition, struct opened_files *opened,
		    struct resources *resources, struct failure *failure)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < definition->disk_count; i++)
		r = images_serve_disk(vm, definition, &definition->disks[i], opened, resources,
				      failure);
	if (r == 0)
		images_forget_served(opened, resources);
	return r;
}

size_t vm_images_processes(const struct vm *vm, pid_t *processes, size_t most)
{
	size_t count = 0;

	list_for_each (link, (struct list *)&vm->images.list) {
		const struct vm_image *image = container_of(link, struct vm_image, link);

		if (count < most && !image->late)
			processes[count++] = image_server_process(image->server)->pid;
	}
	return count;
}

void vm_images_lost(struct vm *vm, unsigned controller, unsigned lun)
{
	if (vm_image_is_restarting(vm, controller, lun))
		return;
	list_for_each (link, &vm->images.list) {
		struct vm_image *image = container_of(link, struct vm_image, link);

		if (image->controller != controller || image->lun != lun)
			continue;
		/* It has nobody to serve, and may hang: its end is told as any other. */
		image_server_signal(image->server, SIGKILL);
		return;
	}
	vm_image_restart(vm, controller, lun);
}

pid_t vm_images_find(const struct vm *vm, unsigned controller, unsigned lun)
{
	list_for_each (link, (struct list *)&vm->images.list) {
		const struct vm_image *image = container_of(link, struct vm_image, link);

		if (image->controller == controller && image->lun == lun)
			return image_server_process(image->server)->pid;
	}
	return 0;
}

/* ---- From one daemon to the next ---- */

struct json_object *vm_images_to_json(const struct vm *vm)
{
	struct json_object *records = json_object_new_array();

	list_for_each (link, (struct list *)&vm->images.list) {
		const struct vm_image *image = container_of(link, struct vm_image, link);
		const struct process *process = image_server_process(image->server);

		json_append(&records,
			    json_make("controller", json_object_new_int64(image->controller), "lun",
				      json_object_new_int64(image->lun), "pid",
				      json_object_new_int64(process->pid), "start_time",
				      json_object_new_uint64(process->start_time), "late",
				      json_object_new_boolean(image->late), NULL));
	}
	return records;
}

struct record {
	unsigned controller, lun;
	uint64_t pid, start_time;
	bool late; /* earlier daemons did not say so: false */
};

#define MEMBER(member, reader, most)                                                        \
	{                                                                                   \
		.name = #member, .read = reader, .offset = offsetof(struct record, member), \
		.maximum = most, .required = true                                           \
	}

static const struct json_key record_keys[] = {
	MEMBER(controller, json_read_unsigned, DEFINITION_CONTROLLERS_MAX - 1),
	MEMBER(lun, json_read_unsigned, DEFINITION_LUNS_MAX - 1),
	MEMBER(pid, json_read_uint64, INT_MAX),
	MEMBER(start_time, json_read_uint64, UINT64_MAX),
	{ .name = "late", .read = json_read_bool, .offset = offsetof(struct record, late) },
};

static int images_adopt(struct vm *vm, struct json_object *tree)
{
	CLEANUP(image_freep) struct vm_image *image = NULL;
	struct image_server_config config = { .ended = images_server_ended };
	struct record record = { 0 };
	struct process process;
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);
	int r;

	r = json_read(&reader, tree, record_keys, ARRAY_SIZE(record_keys), &record);
	if (r < 0)
		return r;
	image = image_new(vm, record.controller, record.lun);
	if (!image)
		return -ENOMEM;
	config.owner = image;
	process = (struct process){ (pid_t)record.pid, record.start_time };
	r = image_server_adopt(vm->manager->loop, &config, &process, &image->server);
	if (r < 0)
		return r;
	list_append(&vm->images.list, &image->link);
	image->late = record.late;
	if (image->late)
		images_open_unit(image, vm->definition);
	TAKE_PTR(image);
	return 0;
}

void vm_images_adopt(struct vm *vm, struct json_object *records)
{
	size_t count = records ? json_object_array_length(records) : 0;

	for (size_t i = 0; i < count; i++) {
		int r = images_adopt(vm, json_object_array_get_idx(records, i));

		if (r < 0)
			vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
			       "the server of a disk image cannot be found again: %s",
			       strerror(-r));
	}
}

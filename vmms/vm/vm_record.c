/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written down of a VM that has a worker. */
#include "vmms/vm/vm_record.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/base/folder.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_unfinished.h"
#include "vmms/worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (2 * CONTROL_MESSAGE_MAX) /* bytes; a definition has to fit that too */

void vm_record_deinit(struct vm_record *record)
{
	definition_free(record->definition);
	json_object_put(record->adapters);
	json_object_put(record->images);
	json_object_put(record->change);
	*record = (struct vm_record){ 0 };
}

/* ---- Paths ---- */

static void record_make_path(const struct vm *vm, const char *suffix, char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/%s%s", folder_path(vm->manager->records), uuid, suffix);
}

void vm_record_socket_path(const struct vm *vm, char path[PATH_MAX])
{
	record_make_path(vm, ".socket", path);
}

void vm_record_image_path(const struct vm *vm, char path[PATH_MAX])
{
	record_make_path(vm, ".image", path);
}

/* ---- Writing ---- */

static struct json_object *record_make_adapters(const struct vm *vm)
{
	struct json_object *adapters = json_object_new_array();

	list_for_each (link, (struct list *)&vm->adapters)
		json_append(&adapters, adapter_to_json(container_of(link, struct adapter, link)));
	return adapters;
}

static struct json_object *record_make_record(const struct vm *vm)
{
	const struct process *process = worker_process(vm->run.worker);
	struct json_object *change = vm_unfinished_to_json(vm), *record;

	record = json_make("version", json_object_new_int64(1), "pid",
			   json_object_new_int64(process->pid), "start_time",
			   json_object_new_uint64(process->start_time), "user",
			   json_object_new_uint64(vm->run.user), "started_at",
			   json_object_new_uint64(vm->run.started_at), "started_boot",
			   json_object_new_uint64(vm->run.started_boot), "definition",
			   definition_to_json(vm->definition), "run_name",
			   json_object_new_string(vm->run.name), "adapters",
			   record_make_adapters(vm), "images", vm_images_to_json(vm), NULL);
	if (vm->confinement.profile[0] != '\0')
		json_add(&record, "profile", json_object_new_string(vm->confinement.profile));
	if (change)
		json_add(&record, "change", change);
	return record;
}

void vm_record_save(struct vm *vm)
{
	AUTO_JSON struct json_object *tree = NULL;
	char uuid[GUID_TEXT_SIZE];
	int r;

	if (!vm->run.worker)
		return;
	tree = record_make_record(vm);
	guid_format(&vm->definition->uuid, uuid);
	r = tree ? folder_save(vm->manager->records, uuid, tree) : -ENOMEM;
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "it cannot be written down in %s, and is lost should vmms be "
		       "started again: %s",
		       folder_path(vm->manager->records), strerror(-r));
}

void vm_record_delete(struct vm *vm)
{
	char uuid[GUID_TEXT_SIZE], path[PATH_MAX];
	int r;

	guid_format(&vm->definition->uuid, uuid);
	r = folder_delete(vm->manager->records, uuid);
	if (r < 0 && r != -ENOENT)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "its record in %s cannot be removed: %s", folder_path(vm->manager->records),
		       strerror(-r));
	record_make_path(vm, ".socket", path);
	(void)unlink(path);
	fault_point(FAULT_END_UNLINKED_SOCKET);
	record_make_path(vm, ".image", path);
	(void)unlink(path);
	record_make_path(vm, ".end", path);
	end_queue_remove(path);
	fault_point(FAULT_END_UNLINKED_WORDS);
}

/* ---- Reading ---- */

struct record_members {
	unsigned version;
	uint64_t pid, start_time, user, started_at, started_boot;
	struct json_object *definition, *run_name, *profile, *adapters, *images, *change;
};

#define NUMBER(member, most)                                                        \
	{                                                                           \
		.name = #member, .read = json_read_uint64,                          \
		.offset = offsetof(struct record_members, member), .maximum = most, \
		.required = true                                                    \
	}

static const struct json_key record_keys[] = {
	{ .name = "version",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct record_members, version),
	  .minimum = 1,
	  .maximum = 1,
	  .required = true },
	NUMBER(pid, INT_MAX),
	NUMBER(start_time, UINT64_MAX),
	NUMBER(user, UINT32_MAX - 1),
	NUMBER(started_at, UINT64_MAX),
	{ .name = "started_boot",
	  .read = json_read_uint64,
	  .offset = offsetof(struct record_members, started_boot),
	  .maximum = UINT64_MAX },
	{ .name = "definition",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, definition),
	  .minimum = json_type_object,
	  .required = true },
	{ .name = "run_name",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, run_name),
	  .minimum = json_type_string },
	{ .name = "profile",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, profile),
	  .minimum = json_type_string },
	{ .name = "adapters",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, adapters),
	  .minimum = json_type_array },
	{ .name = "images",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, images),
	  .minimum = json_type_array },
	{ .name = "change",
	  .read = json_read_value,
	  .offset = offsetof(struct record_members, change),
	  .minimum = json_type_object },
};

static int record_take_members(const struct vm *vm, struct record_members *members,
			       struct vm_record *ret_record)
{
	struct vm_record record = { .worker = { (pid_t)members->pid, members->start_time },
				    .user = (uid_t)members->user,
				    .started_at = members->started_at,
				    .started_boot = members->started_boot };
	struct json_error error;
	int r;

	r = definition_from_json(members->definition, &record.definition, &error);
	if (r < 0)
		return r;
	if (!guid_equal(&record.definition->uuid, &vm->definition->uuid)) {
		definition_free(record.definition);
		return -EINVAL;
	}
	snprintf(record.run_name, sizeof(record.run_name), "%s",
		 members->run_name ? json_object_get_string(members->run_name)
				   : record.definition->name);
	snprintf(record.profile, sizeof(record.profile), "%s",
		 members->profile ? json_object_get_string(members->profile) : "");
	record.adapters = json_object_get(members->adapters);
	record.images = json_object_get(members->images);
	record.change = json_object_get(members->change);
	*ret_record = record;
	return 0;
}

int vm_record_load(const struct vm *vm, struct vm_record *ret_record)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct record_members members = { 0 };
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);
	char uuid[GUID_TEXT_SIZE];
	int r;

	guid_format(&vm->definition->uuid, uuid);
	r = folder_load(vm->manager->records, uuid, FILE_SIZE_MAX, &tree);
	if (r < 0)
		return r;
	r = json_read(&reader, tree, record_keys, ARRAY_SIZE(record_keys), &members);
	if (r == 0)
		r = record_take_members(vm, &members, ret_record);
	json_object_put(members.definition);
	json_object_put(members.run_name);
	json_object_put(members.profile);
	json_object_put(members.adapters);
	json_object_put(members.images);
	json_object_put(members.change);
	return r;
}

/* ---- The end ---- */

int vm_record_open_end(const struct vm *vm, int *ret_fd)
{
	char path[PATH_MAX];

	record_make_path(vm, ".end", path);
	return end_queue_make(path, ret_fd);
}

/* NULL: it has none, or something else than a string. */
static const char *record_end_text(struct json_object *tree, const char *key)
{
	struct json_object *member;

	if (!json_object_object_get_ex(tree, key, &member) ||
	    !json_object_is_type(member, json_type_string))
		return NULL;
	return json_object_get_string(member);
}

void vm_record_take_end(struct vm *vm)
{
	AUTO_JSON struct json_object *tree = NULL;
	char path[PATH_MAX], text[CONTROL_END_MAX];
	struct json_error error;
	size_t size;

	record_make_path(vm, ".end", path);
	if (end_queue_read(path, text, &size) == 0 && json_parse(text, size, &tree, &error) == 0 &&
	    vm->run.end_reason[0] == '\0')
		vm_run_set_end(vm, record_end_text(tree, "reason"),
			       record_end_text(tree, "message"));
	vm_meter_end(vm, tree);
}

/* ---- Strays ---- */

static int warn_of_stray(void *data, const char *name, const char *path)
{
	struct manager *manager = data;
	struct guid uuid;

	if (guid_parse(name, &uuid) < 0 || !manager_find_uuid(manager, &uuid))
		log_warning("%s is of a VM that has no definition, or a broken one, and that may "
			    "be running: put the definition right and reload vmms, or end the "
			    "process and remove the file",
			    path);
	return 0;
}

void vm_record_warn_of_strays(struct manager *manager)
{
	int r = folder_each(manager->records, warn_of_stray, manager);

	if (r < 0)
		log_warning("%s cannot be read: %s", folder_path(manager->records), strerror(-r));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its saved state, and what is written down of that. */
#include "vmms/vm/vm_saved_state.h"

#include "common/base/log.h"
#include "common/control.h"
#include "common/dbus_names.h"
#include "vmms/base/fault.h"
#include "vmms/base/folder.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX (4 * CONTROL_MESSAGE_MAX) /* bytes; a definition has to fit that too */

void vm_saved_state_deinit(struct vm_saved_state *state)
{
	json_object_put(state->files);
	*state = (struct vm_saved_state){ 0 };
}

static const char *saved_state_folder(const struct vm *vm)
{
	const char *folder = vm->manager->settings.saved_directory;

	return folder[0] != '\0' ? folder : folder_path(vm->manager->saved);
}

void vm_saved_state_checkpoint_path(const struct vm *vm, unsigned id, char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/%s.checkpoint-%u.state", saved_state_folder(vm), uuid, id);
}

void vm_saved_state_path(const struct vm *vm, char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	if (vm->saved.checkpoint) {
		vm_saved_state_checkpoint_path(vm, vm->saved.checkpoint, path);
		return;
	}
	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/%s.state", saved_state_folder(vm), uuid);
}

/* ---- Writing ---- */

static int saved_state_write(struct vm *vm)
{
	AUTO_JSON struct json_object *tree =
		json_make("version", json_object_new_int64(1), "saved_at",
			  json_object_new_uint64(vm->saved.saved_at), "definition",
			  definition_to_json(vm->definition), NULL);
	char uuid[GUID_TEXT_SIZE];

	if (vm->saved.checkpoint)
		json_add(&tree, "checkpoint", json_object_new_int64(vm->saved.checkpoint));
	if (vm->saved.files)
		json_add(&tree, "files", json_object_get(vm->saved.files));
	guid_format(&vm->definition->uuid, uuid);
	return tree ? folder_save(vm->manager->saved, uuid, tree) : -ENOMEM;
}

int vm_saved_state_take_checkpoint(struct vm *vm, unsigned id)
{
	int r;

	vm_saved_state_deinit(&vm->saved);
	vm->saved.saved_at = vm_clock(CLOCK_REALTIME);
	vm->saved.checkpoint = id;
	r = saved_state_write(vm);
	vm->saved.exists = r == 0;
	if (r < 0)
		vm->saved.checkpoint = 0;
	return r;
}

int vm_saved_state_commit(struct vm *vm)
{
	return vm_saved_state_take_checkpoint(vm, 0);
}

static struct json_object *saved_state_make_files(const struct opened_files *opened)
{
	struct json_object *files = json_object_new_array();

	for (size_t i = 0; i < opened->count; i++) {
		const struct held_file *file = &opened->items[i];

		if (strncmp(file->name, "disk:", strlen("disk:")) == 0 && file->changed >= 0)
			json_append(&files,
				    json_make("name", json_object_new_string(file->name), "size",
					      json_object_new_uint64(file->size), "inode",
					      json_object_new_uint64(file->inode), "changed",
					      json_object_new_int64(file->changed), NULL));
	}
	return files;
}

void vm_saved_state_note_files(struct vm *vm, const struct opened_files *opened)
{
	int r;

	json_object_put(vm->saved.files);
	vm->saved.files = saved_state_make_files(opened);
	r = vm->saved.files ? saved_state_write(vm) : -ENOMEM;
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what its disks were when it was saved cannot be written down: %s",
		       strerror(-r));
}

int vm_saved_state_forget(struct vm *vm, struct failure *failure)
{
	char uuid[GUID_TEXT_SIZE], path[PATH_MAX];
	bool stays = vm->saved.checkpoint > 0;
	int r;

	guid_format(&vm->definition->uuid, uuid);
	r = folder_delete(vm->manager->saved, uuid);
	if (r < 0 && r != -ENOENT)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "the saved state of VM '%s' cannot be removed from %s: %s",
				   vm->definition->name, folder_path(vm->manager->saved),
				   strerror(-r));
	fault_point(FAULT_SAVED_FORGOTTEN);
	vm_saved_state_deinit(&vm->saved);
	vm_saved_state_path(vm, path);
	if (!stays)
		saved_file_remove(vm->manager->helpers, path);
	return 0;
}

/* ---- Comparing ---- */

static const struct held_file *saved_state_find(const struct opened_files *opened, const char *name)
{
	for (size_t i = 0; i < opened->count; i++) {
		if (strcmp(opened->items[i].name, name) == 0)
			return &opened->items[i];
	}
	return NULL;
}

static bool saved_state_is_as_it_was(struct json_object *facts, const struct held_file *file)
{
	struct json_object *size, *inode, *changed;

	return json_object_object_get_ex(facts, "size", &size) &&
	       json_object_object_get_ex(facts, "inode", &inode) &&
	       json_object_object_get_ex(facts, "changed", &changed) &&
	       json_object_get_uint64(size) == file->size &&
	       json_object_get_uint64(inode) == file->inode &&
	       json_object_get_int64(changed) == file->changed;
}

/* "disk:0:1" is known to people as 0:1. */
static int saved_state_refuse(const struct vm *vm, const char *name, struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "VM '%s' cannot go on from its saved state: the image of its disk %s "
			   "has been changed since it was saved; bring the image back as it was, "
			   "or boot the VM without that state, by 'vmctl start --discard'",
			   vm->definition->name, name + strlen("disk:"));
}

int vm_saved_state_check_files(const struct vm *vm, const struct opened_files *opened,
			       struct failure *failure)
{
	size_t count = vm->saved.files ? json_object_array_length(vm->saved.files) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *facts = json_object_array_get_idx(vm->saved.files, i), *value;
		const struct held_file *file;
		const char *name;

		if (!json_object_object_get_ex(facts, "name", &value))
			continue;
		name = json_object_get_string(value);
		file = saved_state_find(opened, name);
		if (!file || !saved_state_is_as_it_was(facts, file))
			return saved_state_refuse(vm, name, failure);
	}
	return 0;
}

/* ---- Reading ---- */

struct saved_members {
	unsigned version, checkpoint;
	uint64_t saved_at;
	struct json_object *definition, *files;
};

static const struct json_key saved_keys[] = {
	{ .name = "version",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct saved_members, version),
	  .minimum = 1,
	  .maximum = 1,
	  .required = true },
	{ .name = "saved_at",
	  .read = json_read_uint64,
	  .offset = offsetof(struct saved_members, saved_at),
	  .maximum = UINT64_MAX,
	  .required = true },
	{ .name = "checkpoint",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct saved_members, checkpoint),
	  .maximum = INT_MAX },
	{ .name = "definition",
	  .read = json_read_value,
	  .offset = offsetof(struct saved_members, definition),
	  .minimum = json_type_object,
	  .required = true },
	{ .name = "files",
	  .read = json_read_value,
	  .offset = offsetof(struct saved_members, files),
	  .minimum = json_type_array },
};

static int saved_state_take_definition(struct vm *vm, struct json_object *tree)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	struct json_error error;
	int r = definition_from_json(tree, &definition, &error);

	if (r == 0 && !guid_equal(&definition->uuid, &vm->definition->uuid))
		r = -EINVAL;
	if (r == 0)
		r = definition_rename(definition, vm->definition->name);
	if (r == 0)
		vm_run_by(vm, &definition);
	return r;
}

static int saved_state_take(struct vm *vm, struct json_object *tree)
{
	struct saved_members members = { 0 };
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);
	int r = json_read(&reader, tree, saved_keys, ARRAY_SIZE(saved_keys), &members);

	if (r == 0)
		r = saved_state_take_definition(vm, members.definition);
	if (r == 0) {
		vm->saved.exists = true;
		vm->saved.saved_at = members.saved_at;
		vm->saved.checkpoint = members.checkpoint;
		vm->saved.files = json_object_get(members.files);
	}
	json_object_put(members.definition);
	json_object_put(members.files);
	return r;
}

/*
 * Of a save that came to nothing. In a folder that may be another host's the next save replaces it:
 * nobody waits for that here.
 */
static void saved_state_remove_leftover(const struct vm *vm)
{
	char path[PATH_MAX];

	if (vm->manager->settings.saved_directory[0] != '\0')
		return;
	vm_saved_state_path(vm, path);
	if (access(path, F_OK) == 0)
		saved_file_remove(vm->manager->helpers, path);
}

void vm_saved_state_load(struct vm *vm)
{
	AUTO_JSON struct json_object *tree = NULL;
	char uuid[GUID_TEXT_SIZE];
	int r;

	guid_format(&vm->definition->uuid, uuid);
	if (!folder_has(vm->manager->saved, uuid)) {
		saved_state_remove_leftover(vm);
		return;
	}
	r = folder_load(vm->manager->saved, uuid, FILE_SIZE_MAX, &tree);
	if (r == 0)
		r = saved_state_take(vm, tree);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "it was saved, but what was written down of that in %s cannot be read: %s",
		       folder_path(vm->manager->saved), strerror(-r));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl clone, checkpoint export: a VM, or what it was at a checkpoint, as one that stands by itself.
 *
 * The definition is that of then, without what a VM has for itself; disks that it writes are copied
 * as a whole, whatever they stand on, or new ones are made on them, with names from the new VM's. vmms does the copying, and locks
 * what is read (disk_job.h).
 */
#include "vmms/vmctl/checkpoint_tree.h"
#include "vmms/vmctl/definition_text.h"
#include "vmms/vmctl/disk_job.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/json.h"
#include "common/dbus_names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- What is copied ---- */

/* A VM that runs, or is saved, has its disks in memory in part. */
static enum status clone_check_state(struct invocation *invocation, const char *path)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *state = NULL;
	int r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					   "State", &error, &state);

	if (r < 0)
		return service_failed(r, &error);
	if (strcmp(state, "off") == 0 || strcmp(state, "crashed") == 0)
		return STATUS_OK;
	sd_bus_error_setf(&error, DBUS_ERROR_INVALID_STATE,
			  "VM '%s' is %s: turn it off first, or clone a checkpoint of it "
			  "(--checkpoint)",
			  invocation->arguments[0], state);
	return service_failed(-EBUSY, &error);
}

static enum status clone_get_definition(struct invocation *invocation,
					struct json_object **ret_definition)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *path = NULL, *text = NULL;
	struct json_error why;
	enum status status = service_find_vm(invocation, invocation->arguments[0], &path);
	int r;

	if (status == STATUS_OK)
		status = clone_check_state(invocation, path);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
				       "Definition", &error, &text);
	if (r < 0)
		return service_failed(r, &error);
	return json_parse(text, strlen(text), ret_definition, &why) < 0
		       ? service_failed(-EBADMSG, NULL)
		       : STATUS_OK;
}

static enum status clone_get_checkpoint(struct invocation *invocation, const char *word,
					struct json_object **ret_definition)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	struct json_object *checkpoint, *definition;
	enum status status = checkpoint_tree_find(invocation, word, &path, &tree, &checkpoint);

	if (status != STATUS_OK)
		return status;
	definition = json_object_object_get(checkpoint, "definition");
	if (!json_object_is_type(definition, json_type_object))
		return service_failed(-EBADMSG, NULL);
	*ret_definition = json_object_get(definition);
	return STATUS_OK;
}

/* ---- Disks ---- */

static bool clone_flag(struct json_object *disk, const char *key)
{
	return json_object_get_boolean(json_object_object_get(disk, key));
}

/* A disk that the VM writes; others, and media, are shared. */
static bool clone_copies(struct json_object *disk)
{
	return json_object_is_type(disk, json_type_object) && !clone_flag(disk, "read_only") &&
	       strcmp(json_member_text(disk, "type"), "dvd") != 0 &&
	       json_member_text(disk, "path")[0] != '\0';
}

/* "FOLDER/NAME.vhdx", "FOLDER/NAME-2.vhdx" and so on. folder: NULL: that of the disk itself. */
static struct json_object *clone_name_disk(struct json_object *disk, const char *folder,
					   const char *name, unsigned number)
{
	const char *path = json_member_text(disk, "path"), *slash = strrchr(path, '/');
	char text[PATH_MAX], suffix[16] = "";
	int length = folder ? (int)strlen(folder) : slash ? (int)(slash - path) : 0;

	if (number > 1)
		snprintf(suffix, sizeof(suffix), "-%u", number);
	if (snprintf(text, sizeof(text), "%.*s/%s%s.vhdx", length, folder ? folder : path, name,
		     suffix) >= (int)sizeof(text))
		return NULL;
	return json_object_new_string(text);
}

/* What there is to do: an array of requests; the definition names what is made. */
/* Of a disk, which becomes another. target: taken over. NULL without memory. */
static struct json_object *clone_plan_disk(struct json_object *disk, struct json_object *target,
					   bool linked)
{
	struct json_object *format = json_object_object_get(disk, "format");
	struct json_object *path = json_object_object_get(disk, "path");

	if (linked)
		return json_make("operation", json_object_new_string("create"), "path", target,
				 "parent", json_object_get(path), NULL);
	return json_make("operation", json_object_new_string("convert"), "path",
			 json_object_get(path), "format",
			 format ? json_object_get(format) : json_object_new_string("raw"), "target",
			 target, "target_format", json_object_new_string("vhdx"), NULL);
}

static enum status clone_plan(struct json_object *definition, const char *folder, const char *name,
			      bool linked, struct json_object **ret_requests)
{
	struct json_object *disks = json_object_object_get(definition, "disks");
	struct json_object *requests = json_object_new_array();
	unsigned number = 0;

	for (size_t i = 0; i < json_array_size(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i), *target;

		if (!clone_copies(disk))
			continue;
		target = clone_name_disk(disk, folder, name, ++number);
		json_append(&requests, clone_plan_disk(disk, json_object_get(target), linked));
		json_add(&disk, "path", target);
		json_add(&disk, "format", json_object_new_string("vhdx"));
	}
	*ret_requests = requests;
	return requests ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

/* What a request makes. */
static const char *clone_target(struct json_object *request)
{
	const char *target = json_member_text(request, "target");

	return target[0] ? target : json_member_text(request, "path");
}

static void clone_say_what_stays(struct json_object *requests, size_t made)
{
	for (size_t i = 0; i < made; i++)
		fprintf(stderr, "vmctl: '%s' has been made, and stays\n",
			clone_target(json_object_array_get_idx(requests, i)));
}

static enum status clone_copy(struct invocation *invocation, struct json_object *requests)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < json_array_size(requests); i++) {
		AUTO_JSON struct json_object *found = NULL;
		struct json_object *request = json_object_array_get_idx(requests, i);

		status = disk_job_do(invocation, json_object_get(request), clone_target(request),
				     &found);
		if (status != STATUS_OK)
			clone_say_what_stays(requests, i);
	}
	return status;
}

/* ---- clone ---- */

/* Where it cannot be made it is not there. */
static void clone_give_up(struct invocation *invocation, const char *name)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;

	if (service_find_vm(invocation, name, &path) == STATUS_OK &&
	    service_new_call(invocation, path, "Delete", &call) == STATUS_OK)
		(void)service_send(invocation, call, SERVICE_LONG_TIMEOUT, NULL);
}

static enum status clone_make(struct invocation *invocation, struct json_object *definition)
{
	const char *name = invocation->arguments[1];
	AUTO_JSON struct json_object *requests = NULL;
	AUTO_FREE char *folder = invocation_has(invocation, "to")
					 ? absolute_path(invocation_value(invocation, "to"))
					 : NULL;
	enum status status;

	definition_text_rename(definition, name);
	status = clone_plan(definition, folder, name, invocation_has(invocation, "linked"),
			    &requests);
	/* First of all: it may be that there can be no such VM. */
	if (status == STATUS_OK)
		status = service_call_manager(invocation, "CreateVM", SERVICE_TIMEOUT, NULL, "s",
					      json_object_to_json_string(definition));
	if (status != STATUS_OK)
		return status;
	status = clone_copy(invocation, requests);
	if (status != STATUS_OK)
		clone_give_up(invocation, name);
	return status;
}

enum status command_clone(struct invocation *invocation)
{
	const char *checkpoint = invocation_value(invocation, "checkpoint");
	AUTO_JSON struct json_object *definition = NULL;
	enum status status;

	if (invocation_has(invocation, "linked") && !checkpoint)
		return usage_error(invocation,
				   "--linked goes with --checkpoint: what a disk stands on "
				   "is written no more");
	status = checkpoint ? clone_get_checkpoint(invocation, checkpoint, &definition)
			    : clone_get_definition(invocation, &definition);
	if (status == STATUS_OK)
		status = clone_make(invocation, definition);
	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' made, as '%s' is%s%s", invocation->arguments[1],
			   invocation->arguments[0], checkpoint ? " in checkpoint " : "",
			   checkpoint ? checkpoint : "");
	return status;
}

/* ---- export ---- */

static enum status export_write(const char *path, struct json_object *definition)
{
	const char *text = json_object_to_json_string_ext(
		definition, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	FILE *file = fopen(path, "wxe");
	int r;

	if (!file) {
		fprintf(stderr, "vmctl: '%s' cannot be made: %s\n", path, strerror(errno));
		return STATUS_FAILED;
	}
	fprintf(file, "%s\n", text);
	r = ferror(file) ? -EIO : 0;
	if (fclose(file) == 0 && r == 0)
		return STATUS_OK;
	fprintf(stderr, "vmctl: '%s' cannot be written: %s\n", path, strerror(errno));
	(void)unlink(path);
	return STATUS_FAILED;
}

enum status command_checkpoint_export(struct invocation *invocation)
{
	const char *name = invocation->arguments[0];
	AUTO_JSON struct json_object *definition = NULL, *requests = NULL;
	AUTO_FREE char *folder = absolute_path(invocation->arguments[2]);
	char path[PATH_MAX];
	enum status status;

	if (!folder)
		return service_failed(-ENOMEM, NULL);
	snprintf(path, sizeof(path), "%s/%s.json", folder, name);
	if (access(path, F_OK) == 0) {
		fprintf(stderr, "vmctl: there is '%s' already; it is left as it is\n", path);
		return STATUS_FAILED;
	}
	status = clone_get_checkpoint(invocation, invocation->arguments[1], &definition);
	if (status != STATUS_OK)
		return status;
	definition_text_rename(definition, name);
	status = clone_plan(definition, folder, name, false, &requests);
	if (status == STATUS_OK)
		status = clone_copy(invocation, requests);
	if (status == STATUS_OK)
		status = export_write(path, definition);
	if (status == STATUS_OK)
		output_say(invocation, "checkpoint '%s' of VM '%s' is in '%s'",
			   invocation->arguments[1], name, path);
	return status;
}

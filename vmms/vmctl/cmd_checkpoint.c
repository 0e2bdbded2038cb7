/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl checkpoint create, list, show, apply, rename, delete. */
#include "vmms/vmctl/checkpoint_tree.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/base/text.h"
#include "common/dbus_names.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 100 /* of a tree that is drawn */
#define TIME_SIZE 32

static void checkpoint_time(struct json_object *checkpoint, char text[TIME_SIZE])
{
	struct json_object *value = json_object_object_get(checkpoint, "created_at");
	time_t seconds = (time_t)(json_object_get_int64(value) / 1000000);
	struct tm local;

	strftime(text, TIME_SIZE, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &local));
}

/* ---- create ---- */

static enum status checkpoint_create(struct invocation *invocation, const char *path,
				     const char *name, const char *notes, const char *type,
				     unsigned *ret_id)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	enum status status = service_new_call(invocation, path, "CreateCheckpoint", &call);
	uint32_t id;
	int r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "ss", name, notes);
	if (r >= 0 && type)
		r = sd_bus_message_append(call, "a{sv}", 1, "type", "s", type);
	else if (r >= 0)
		r = sd_bus_message_append(call, "a{sv}", 0);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_LONG_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "u", &id);
	*ret_id = id;
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status command_checkpoint_create(struct invocation *invocation)
{
	const char *name = invocation_value(invocation, "name");
	const char *notes = invocation_value(invocation, "notes");
	AUTO_FREE char *path = NULL;
	unsigned id = 0;
	enum status status = service_find_vm(invocation, invocation->arguments[0], &path);

	if (status == STATUS_OK)
		status = checkpoint_create(invocation, path, name ? name : "", notes ? notes : "",
					   invocation_value(invocation, "type"), &id);
	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return json_print(json_make("checkpoint", json_object_new_int64(id), NULL)) < 0
			       ? service_failed(-ENOMEM, NULL)
			       : STATUS_OK;
	output_say(invocation, "checkpoint %u of VM '%s' made", id, invocation->arguments[0]);
	return STATUS_OK;
}

/* ---- list ---- */

/* Where in a tree that is drawn: what stands before each line of it. */
struct checkpoint_drawing {
	struct json_object *array;
	unsigned current;
	char lead[DEPTH_MAX * 8];
};

static void checkpoint_draw_children(struct checkpoint_drawing *drawing, unsigned parent,
				     size_t used);

static bool checkpoint_is_last(const struct checkpoint_drawing *drawing, unsigned parent,
			       size_t index)
{
	for (size_t i = index + 1; i < json_object_array_length(drawing->array); i++) {
		struct json_object *other = json_object_array_get_idx(drawing->array, i);

		if (checkpoint_number(other, "parent") == parent)
			return false;
	}
	/* What the VM is now comes after all that stands on the same. */
	return drawing->current != parent;
}

static void checkpoint_draw_one(struct checkpoint_drawing *drawing, struct json_object *checkpoint,
				bool last, size_t used)
{
	const char *name = json_member_text(checkpoint, "name");
	AUTO_FREE char *escaped = text_escape_new(name, strlen(name));
	char created[TIME_SIZE];
	int size;

	checkpoint_time(checkpoint, created);
	printf("%.*s%s%u  %s  (%s)\n", (int)used, drawing->lead, last ? "`- " : "|- ",
	       checkpoint_number(checkpoint, "id"), escaped ? escaped : "", created);
	size = snprintf(drawing->lead + used, sizeof(drawing->lead) - used, "%s",
			last ? "   " : "|  ");
	if (used + (size_t)size < sizeof(drawing->lead))
		checkpoint_draw_children(drawing, checkpoint_number(checkpoint, "id"),
					 used + (size_t)size);
}

static void checkpoint_draw_children(struct checkpoint_drawing *drawing, unsigned parent,
				     size_t used)
{
	for (size_t i = 0; i < json_object_array_length(drawing->array); i++) {
		struct json_object *checkpoint = json_object_array_get_idx(drawing->array, i);

		/* A parent has the lesser number, so that this ends. */
		if (checkpoint_number(checkpoint, "parent") == parent &&
		    checkpoint_number(checkpoint, "id") > parent)
			checkpoint_draw_one(drawing, checkpoint,
					    checkpoint_is_last(drawing, parent, i), used);
	}
	if (drawing->current == parent)
		printf("%.*s`- now\n", (int)used, drawing->lead);
}

enum status command_checkpoint_list(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	struct checkpoint_drawing drawing = { 0 };
	enum status status = checkpoint_tree_get(invocation, &path, &tree);

	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return json_print(TAKE_PTR(tree)) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
	drawing.array = checkpoint_tree_list(tree);
	drawing.current = checkpoint_number(tree, "current");
	if (drawing.array && json_object_array_length(drawing.array) > 0)
		checkpoint_draw_children(&drawing, 0, 0);
	return STATUS_OK;
}

/* ---- show ---- */

static void checkpoint_print_line(const char *title, const char *value)
{
	AUTO_FREE char *escaped = text_escape_new(value, strlen(value));

	if (value[0] != '\0')
		printf("%-8s %s\n", title, escaped ? escaped : "");
}

static void checkpoint_print_disks(struct json_object *checkpoint)
{
	struct json_object *disks =
		json_object_object_get(json_object_object_get(checkpoint, "definition"), "disks");
	size_t count = json_array_size(disks);

	for (size_t i = 0; i < count; i++)
		checkpoint_print_line(
			i == 0 ? "disks:" : "",
			json_member_text(json_object_array_get_idx(disks, i), "path"));
}

enum status command_checkpoint_show(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	struct json_object *checkpoint;
	char created[TIME_SIZE];
	enum status status = checkpoint_tree_find(invocation, invocation->arguments[1], &path,
						  &tree, &checkpoint);

	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return json_print(json_object_get(checkpoint)) < 0 ? service_failed(-ENOMEM, NULL)
								   : STATUS_OK;
	checkpoint_time(checkpoint, created);
	printf("%-8s %u\n", "number:", checkpoint_number(checkpoint, "id"));
	checkpoint_print_line("name:", json_member_text(checkpoint, "name"));
	checkpoint_print_line("notes:", json_member_text(checkpoint, "notes"));
	checkpoint_print_line("made:", created);
	checkpoint_print_line("type:", json_member_text(checkpoint, "type"));
	if (checkpoint_number(checkpoint, "parent"))
		printf("%-8s %u\n", "on:", checkpoint_number(checkpoint, "parent"));
	checkpoint_print_disks(checkpoint);
	return STATUS_OK;
}

/* ---- apply ---- */

enum status command_checkpoint_apply(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	struct json_object *checkpoint;
	bool keep = invocation_has(invocation, "keep");
	unsigned kept = 0, id;
	enum status status;
	int r;

	if (keep == invocation_has(invocation, "discard"))
		return usage_error(invocation, "what the VM's disks hold now would be lost: say "
					       "--keep to make a checkpoint of it first, or "
					       "--discard");
	status = checkpoint_tree_find(invocation, invocation->arguments[1], &path, &tree,
				      &checkpoint);
	if (status == STATUS_OK && keep)
		status = checkpoint_create(invocation, path, "", "", NULL, &kept);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "ApplyCheckpoint", &call);
	if (status != STATUS_OK)
		return status;
	id = checkpoint_number(checkpoint, "id");
	r = sd_bus_message_append(call, "u", (uint32_t)id);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_LONG_TIMEOUT, NULL);
	if (status != STATUS_OK)
		return status;
	if (keep)
		output_say(invocation, "checkpoint %u of VM '%s' applied; what it was is %u", id,
			   invocation->arguments[0], kept);
	else
		output_say(invocation, "checkpoint %u of VM '%s' applied", id,
			   invocation->arguments[0]);
	return STATUS_OK;
}

/* ---- rename, delete ---- */

enum status command_checkpoint_rename(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	const char *notes = invocation_value(invocation, "notes");
	struct json_object *checkpoint;
	enum status status = checkpoint_tree_find(invocation, invocation->arguments[1], &path,
						  &tree, &checkpoint);
	int r;

	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "ChangeCheckpoint", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "uss", (uint32_t)checkpoint_number(checkpoint, "id"),
				  invocation->arguments[2],
				  notes ? notes : json_member_text(checkpoint, "notes"));
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, NULL);
	if (status == STATUS_OK)
		output_say(invocation, "checkpoint %u of VM '%s' renamed",
			   checkpoint_number(checkpoint, "id"), invocation->arguments[0]);
	return status;
}

enum status command_checkpoint_delete(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *path = NULL;
	struct json_object *checkpoint;
	enum status status = checkpoint_tree_find(invocation, invocation->arguments[1], &path,
						  &tree, &checkpoint);
	int r;

	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "DeleteCheckpoint", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "ua{sv}", (uint32_t)checkpoint_number(checkpoint, "id"), 1,
				  "subtree", "b", (int)invocation_has(invocation, "subtree"));
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);
	if (status == STATUS_OK)
		output_say(invocation, "checkpoint %u of VM '%s' deleted",
			   checkpoint_number(checkpoint, "id"), invocation->arguments[0]);
	return status;
}

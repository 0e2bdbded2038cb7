/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a VM, read by tables of keys.
 *
 * Each table row names a key, where it goes and its bounds; json_read() does the rest. What no
 * single key shows (two disks in one place, a limit that is too low for the vps) is checked once
 * all keys are in, with the value that is to blame at hand, so that the error has its line.
 */
#include "common/definition/definition.h"

#include "common/base/file.h"
#include "common/definition/definition_internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *const definition_checkpoints_names[] = { "production", "production-only", "standard",
						     "disabled", NULL };
const char *const definition_engine_names[] = { "auto", "in-kernel", "user-space", NULL };
const char *const definition_action_names[] = { "restart", "stop", "keep", NULL };
const char *const definition_failure_action_names[] = { "stop", "restart", NULL };

/* ---- What texts may look like ---- */

bool definition_name_is_valid(const char *name)
{
	size_t size = strlen(name);

	if (size < 1 || size > DEFINITION_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	}
	return true;
}

/* What useradd(8) and others make; and not only digits, which would pass for a number. */
bool definition_owner_is_valid(const char *name)
{
	return strlen(name) <= DEFINITION_OWNER_MAX &&
	       (isalpha((unsigned char)name[0]) || name[0] == '_') &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "-_.@$")] == '\0';
}

static bool has_control_characters(const char *text)
{
	for (; *text != '\0'; text++) {
		if (iscntrl((unsigned char)*text))
			return true;
	}
	return false;
}

static bool path_is_valid(const char *path)
{
	static const char *const made_up[] = { "/proc/", "/sys/" };

	for (size_t i = 0; i < ARRAY_SIZE(made_up); i++)
		if (strncmp(path, made_up[i], strlen(made_up[i])) == 0)
			return false;
	return path[0] == '/' && !has_control_characters(path);
}

static bool line_is_valid(const char *line)
{
	return !has_control_characters(line);
}

#define PART_VALUES 1024 /* of the text of a disk or an adapter */

static const struct json_text_rule name_rule = {
	definition_name_is_valid,
	"must begin with a letter or digit and hold letters, digits, '-', '_' and '.' alone",
};
static const struct json_text_rule owner_rule = {
	definition_owner_is_valid,
	"must be the name of a user: a letter or '_', then letters, digits, '-', '_', '.' or '@'",
};
const struct json_text_rule definition_path_rule = {
	path_is_valid,
	"must be an absolute path without control characters, and not in /proc or /sys",
};
static const struct json_text_rule line_rule = {
	line_is_valid,
	"must be one line without control characters",
};

int definition_refuse_member(struct json_reader *reader, struct json_object *object,
			     const char *name, const char *message)
{
	struct json_object *value = object;

	json_object_object_get_ex(object, name, &value);
	json_enter_key(reader, name);
	return json_refuse(reader, value ? value : object, "%s", message);
}

/* ---- Keys ---- */

/* All zeros stand for none, which every VM would have. */
static int read_uuid(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target)
{
	struct guid uuid;
	int r = json_read_guid(reader, key, value, &uuid);

	if (r < 0)
		return r;
	if (guid_is_null(&uuid))
		return json_refuse(reader, value,
				   "must not be all zeros; leave it out for the default");
	*(struct guid *)target = uuid;
	return 0;
}

#define MEMBER(member) offsetof(struct definition, member)

static const struct json_key boot_keys[] = {
	{ .name = "kernel",
	  .read = json_read_string,
	  .offset = MEMBER(boot.kernel),
	  .minimum = 2,
	  .maximum = PATH_MAX - 1,
	  .detail = &definition_path_rule },
	{ .name = "initrd",
	  .read = json_read_string,
	  .offset = MEMBER(boot.initrd),
	  .minimum = 2,
	  .maximum = PATH_MAX - 1,
	  .detail = &definition_path_rule },
	{ .name = "command_line",
	  .read = json_read_string,
	  .offset = MEMBER(boot.command_line),
	  .maximum = DEFINITION_COMMAND_LINE_MAX,
	  .detail = &line_rule },
};

static const struct json_key services_keys[] = {
	{ .name = "shutdown", .read = json_read_bool, .offset = MEMBER(services.shutdown) },
	{ .name = "heartbeat", .read = json_read_bool, .offset = MEMBER(services.heartbeat) },
	{ .name = "time", .read = json_read_bool, .offset = MEMBER(services.time) },
	{ .name = "kvp", .read = json_read_bool, .offset = MEMBER(services.kvp) },
	{ .name = "vss", .read = json_read_bool, .offset = MEMBER(services.vss) },
	{ .name = "file_copy", .read = json_read_bool, .offset = MEMBER(services.file_copy) },
	{ .name = "sockets", .read = json_read_bool, .offset = MEMBER(services.sockets) },
	{ .name = "hibernation", .read = json_read_bool, .offset = MEMBER(services.hibernation) },
};

static const struct json_key actions_keys[] = {
	{ .name = "reboot",
	  .read = json_read_enum,
	  .offset = MEMBER(actions.reboot),
	  .detail = definition_action_names },
	{ .name = "triple_fault",
	  .read = json_read_enum,
	  .offset = MEMBER(actions.triple_fault),
	  .detail = definition_action_names },
	{ .name = "crash",
	  .read = json_read_enum,
	  .offset = MEMBER(actions.crash),
	  .detail = definition_action_names },
	{ .name = "crash_grace",
	  .read = json_read_unsigned,
	  .offset = MEMBER(actions.crash_grace),
	  .maximum = DEFINITION_CRASH_GRACE_MAX },
	{ .name = "worker_failure",
	  .read = json_read_enum,
	  .offset = MEMBER(actions.worker_failure),
	  .detail = definition_failure_action_names },
};

int definition_actions_from_json(struct json_object *object, struct definition_actions *actions,
				 struct json_error *ret_error)
{
	struct definition definition = { .actions = *actions };
	struct json_reader reader = JSON_READER(ret_error);
	int r;

	r = json_read(&reader, object, actions_keys, ARRAY_SIZE(actions_keys), &definition);
	if (r == 0)
		*actions = definition.actions;
	return r;
}

static const struct json_key video_keys[] = {
	{ .name = "width",
	  .read = json_read_unsigned,
	  .offset = MEMBER(video.width),
	  .minimum = DEFINITION_VIDEO_WIDTH_MIN,
	  .maximum = DEFINITION_VIDEO_WIDTH_MAX },
	{ .name = "height",
	  .read = json_read_unsigned,
	  .offset = MEMBER(video.height),
	  .minimum = DEFINITION_VIDEO_HEIGHT_MIN,
	  .maximum = DEFINITION_VIDEO_HEIGHT_MAX },
};

/* Its being there is what makes one. */
static int read_video(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	struct definition *definition = target;
	int r = json_read(reader, value, video_keys, ARRAY_SIZE(video_keys), definition);

	if (r < 0)
		return r;
	if (definition->video.width * definition->video.height > DEFINITION_VIDEO_PIXELS_MAX)
		return json_refuse(reader, value, "must not have more than %u pixels",
				   DEFINITION_VIDEO_PIXELS_MAX);
	definition->video.present = true;
	return 0;
}

/* The keys are the names of enlightenments. */
static int read_hyper_v(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	struct json_key keys[_ENLIGHTENMENT_COUNT];

	for (unsigned i = 0; i < _ENLIGHTENMENT_COUNT; i++)
		keys[i] = (struct json_key){ .name = enlightenment_names[i],
					     .read = json_read_bool,
					     .offset = MEMBER(hyper_v) + i * sizeof(bool) };
	return json_read(reader, value, keys, ARRAY_SIZE(keys), target);
}

/* definition_upgrade() has dealt with it. */
static int read_version(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	return 0;
}

#define TABLE(keys) (&(const struct json_key_table){ keys, ARRAY_SIZE(keys) })

static const struct json_key definition_keys[] = {
	{ .name = "version", .read = read_version },
	{ .name = "name",
	  .read = json_read_string,
	  .offset = MEMBER(name),
	  .minimum = 1,
	  .maximum = DEFINITION_NAME_MAX,
	  .detail = &name_rule,
	  .required = true },
	{ .name = "uuid", .read = read_uuid, .offset = MEMBER(uuid) },
	{ .name = "generation_id", .read = read_uuid, .offset = MEMBER(generation_id) },
	{ .name = "owner",
	  .read = json_read_string,
	  .offset = MEMBER(owner),
	  .minimum = 1,
	  .maximum = DEFINITION_OWNER_MAX,
	  .detail = &owner_rule },
	{ .name = "owner_uid",
	  .read = json_read_uint64,
	  .offset = MEMBER(owner_uid),
	  .minimum = 1,
	  .maximum = UINT32_MAX - 1 },
	{ .name = "notes",
	  .read = json_read_string,
	  .offset = MEMBER(notes),
	  .maximum = DEFINITION_NOTES_MAX },
	{ .name = "tags", .read = definition_tags_read, .offset = MEMBER(tags) },
	{ .name = "processors", .read = definition_processors_read, .offset = MEMBER(processors) },
	{ .name = "memory", .read = definition_memory_read, .offset = MEMBER(memory) },
	{ .name = "numa", .read = definition_numa_read, .offset = MEMBER(numa) },
	{ .name = "engine",
	  .read = json_read_enum,
	  .offset = MEMBER(engine),
	  .detail = definition_engine_names },
	{ .name = "checkpoints",
	  .read = json_read_enum,
	  .offset = MEMBER(checkpoints),
	  .detail = definition_checkpoints_names },
	{ .name = "hyper_v", .read = read_hyper_v },
	{ .name = "generation",
	  .read = json_read_unsigned,
	  .offset = MEMBER(generation),
	  .minimum = 1,
	  .maximum = 2 },
	{ .name = "boot_order", .read = definition_boot_order_read, .offset = MEMBER(boot_order) },
	{ .name = "boot", .read = json_read_members, .detail = TABLE(boot_keys) },
	{ .name = "disks", .read = definition_disks_read },
	{ .name = "network_adapters", .read = definition_network_read, .offset = MEMBER(network) },
	{ .name = "keyboard", .read = json_read_bool, .offset = MEMBER(keyboard) },
	{ .name = "mouse", .read = json_read_bool, .offset = MEMBER(mouse) },
	{ .name = "video", .read = read_video },
	{ .name = "services", .read = json_read_members, .detail = TABLE(services_keys) },
	{ .name = "actions", .read = json_read_members, .detail = TABLE(actions_keys) },
	{ .name = "automatic_start",
	  .read = definition_automatic_start_read,
	  .offset = MEMBER(automatic_start) },
	{ .name = "automatic_stop",
	  .read = definition_automatic_stop_read,
	  .offset = MEMBER(automatic_stop) },
	{ .name = "cluster", .read = json_read_bool, .offset = MEMBER(cluster) },
	{ .name = "resources", .read = definition_resources_read, .offset = MEMBER(resources) },
};

int definition_new(struct definition **ret_definition)
{
	CLEANUP(definition_freep) struct definition *definition = calloc(1, sizeof(*definition));

	if (!definition)
		return -ENOMEM;
	definition->memory.size = DEFINITION_MEMORY_DEFAULT;
	definition_processors_init(&definition->processors);
	for (unsigned i = 0; i < _ENLIGHTENMENT_COUNT; i++)
		definition->hyper_v[i] = ENLIGHTENMENTS_DEFAULT >> i & 1;
	definition->video.width = DEFINITION_VIDEO_WIDTH;
	definition->video.height = DEFINITION_VIDEO_HEIGHT;
	definition->services.shutdown = true;
	definition->services.heartbeat = true;
	definition->services.time = true;
	definition->services.kvp = true;
	definition->services.vss = true;
	definition->services.file_copy = true;
	definition->services.sockets = true;
	definition->actions.reboot = DEFINITION_ACTION_RESTART;
	definition->actions.triple_fault = DEFINITION_ACTION_RESTART;
	definition->actions.crash = DEFINITION_ACTION_STOP;
	definition->actions.crash_grace = DEFINITION_CRASH_GRACE;
	definition->automatic_start.order = DEFINITION_START_ORDER;
	definition->notes = strdup("");
	definition->boot.command_line = strdup("");
	if (!definition->notes || !definition->boot.command_line)
		return -ENOMEM;
	*ret_definition = TAKE_PTR(definition);
	return 0;
}

void definition_free(struct definition *definition)
{
	if (!definition)
		return;
	for (size_t i = 0; i < definition->disk_count; i++)
		definition_disk_deinit(&definition->disks[i]);
	free(definition->disks);
	definition_network_deinit(&definition->network);
	definition_tags_deinit(&definition->tags);
	definition_resources_deinit(&definition->resources);
	free(definition->name);
	free(definition->owner);
	free(definition->notes);
	free(definition->boot.kernel);
	free(definition->boot.initrd);
	free(definition->boot.command_line);
	free(definition);
}

static int check_resources(struct json_reader *reader, struct json_object *object,
			   const struct definition *definition)
{
	size_t mark = json_enter_key(reader, "resources");
	int r = definition_resources_check(reader, json_object_object_get(object, "resources"),
					   &definition->resources, definition->processors.count);

	if (r == 0)
		json_leave(reader, mark);
	return r;
}

const struct definition_firmware *definition_firmware(const struct definition *definition)
{
	static const struct definition_firmware firmwares[] = {
		{ "bios", "/usr/share/seabios/bios-256k.bin", "seabios", NULL },
		{ "uefi", "/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf",
		  "/usr/share/OVMF/OVMF_VARS_4M.fd" },
	};

	return definition->generation ? &firmwares[definition->generation - 1] : NULL;
}

/* Either a kernel is loaded, or firmware finds what is on a disk. */
static int check_boot(struct json_reader *reader, struct json_object *object,
		      const struct definition *definition)
{
	static const char missing[] = "is missing and has no default";
	struct json_object *boot = json_object_object_get(object, "boot");

	if (definition->generation != 0)
		return boot ? definition_refuse_member(
				      reader, object, "boot",
				      "must be left out beside \"generation\", whose firmware "
				      "loads what is on a disk")
			    : 0;
	if (json_object_object_get(object, "boot_order"))
		return definition_refuse_member(
			reader, object, "boot_order",
			"must be left out where there is no \"generation\": a kernel is loaded");
	if (!boot)
		return definition_refuse_member(reader, object, "boot", missing);
	if (definition->boot.kernel)
		return 0;
	json_enter_key(reader, "boot");
	return definition_refuse_member(reader, boot, "kernel", missing);
}

static int check_numa(struct json_reader *reader, struct json_object *object,
		      const struct definition *definition)
{
	size_t mark = json_enter_key(reader, "numa");
	int r = definition_numa_check(reader, json_object_object_get(object, "numa"),
				      &definition->numa, &definition->processors,
				      &definition->memory);

	if (r == 0)
		json_leave(reader, mark);
	return r;
}

int definition_from_json(struct json_object *object, struct definition **ret_definition,
			 struct json_error *ret_error)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	struct json_reader reader = JSON_READER(ret_error);
	int r;

	r = definition_new(&definition);
	if (r < 0)
		return r;
	r = definition_upgrade(&reader, object);
	if (r < 0)
		return r;
	r = json_read(&reader, object, definition_keys, ARRAY_SIZE(definition_keys), definition);
	if (r < 0)
		return r;
	r = check_boot(&reader, object, definition);
	if (r < 0)
		return r;
	r = check_numa(&reader, object, definition);
	if (r < 0)
		return r;
	r = check_resources(&reader, object, definition);
	if (r < 0)
		return r;
	*ret_definition = TAKE_PTR(definition);
	return 0;
}

int definition_copy(const struct definition *definition, struct definition **ret_definition)
{
	AUTO_JSON struct json_object *tree = definition_to_json(definition);
	struct json_error error;

	return tree ? definition_from_json(tree, ret_definition, &error) : -ENOMEM;
}

int definition_rename(struct definition *definition, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	free(definition->name);
	definition->name = copy;
	return 0;
}

int definition_parse(const char *text, size_t size, struct definition **ret_definition,
		     struct json_error *ret_error)
{
	AUTO_JSON struct json_object *object = NULL;
	int r;

	if (size > DEFINITION_SIZE_MAX) {
		*ret_error = (struct json_error){ .message = "the definition is larger than 1M" };
		return -EINVAL;
	}
	r = json_parse(text, size, &object, ret_error);
	if (r < 0)
		return r;
	return definition_from_json(object, ret_definition, ret_error);
}

int definition_parse_part(const char *text, size_t size, struct json_object **ret_object,
			  struct json_error *ret_error)
{
	const struct json_bounds bounds = { .size = DEFINITION_PART_MAX, .values = PART_VALUES };

	return json_parse_bounded(text, size, &bounds, ret_object, ret_error);
}

int definition_load(const char *path, struct definition **ret_definition,
		    struct json_error *ret_error)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	r = file_read(path, DEFINITION_SIZE_MAX, &text, &size);
	return r < 0 ? r : definition_parse(text, size, ret_definition, ret_error);
}

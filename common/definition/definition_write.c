/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definition of a VM, as JSON again: every key, in the order of vmms-vm.json(5). */
#include "common/definition/definition.h"

#include "common/base/parse.h"

static struct json_object *number(unsigned value)
{
	return json_object_new_int64(value);
}

static struct json_object *string(const char *text)
{
	return json_object_new_string(text);
}

static struct json_object *boolean(bool value)
{
	return json_object_new_boolean(value);
}

struct json_object *definition_disk_to_json(const struct definition_disk *disk)
{
	char bandwidth[PARSE_SIZE_TEXT];
	struct json_object *object;

	object = json_make("controller", number(disk->controller), "lun", number(disk->lun), "type",
			   string(definition_drive_names[disk->drive]), NULL);
	if (disk->path)
		json_add(&object, "path", string(disk->path));
	json_add(&object, "format", string(disk->format));
	if (disk->serial)
		json_add(&object, "serial", string(disk->serial));
	json_add(&object, "read_only", boolean(disk->read_only));
	json_add(&object, "cache", string(definition_cache_names[disk->cache]));
	json_add(&object, "on_error", string(definition_on_error_names[disk->on_error]));
	if (disk->iops)
		json_add(&object, "iops", json_object_new_uint64(disk->iops));
	if (disk->bandwidth) {
		parse_size_format(disk->bandwidth, bandwidth);
		json_add(&object, "bandwidth", string(bandwidth));
	}
	json_add(&object, "sector_size", number(disk->sector_size));
	return object;
}

static struct json_object *disks_to_json(const struct definition *definition)
{
	struct json_object *disks = json_object_new_array();

	for (size_t i = 0; i < definition->disk_count; i++)
		json_append(&disks, definition_disk_to_json(&definition->disks[i]));
	return disks;
}

static struct json_object *boot_to_json(const struct definition *definition)
{
	struct json_object *boot = json_object_new_object();

	if (definition->boot.kernel)
		json_add(&boot, "kernel", string(definition->boot.kernel));
	if (definition->boot.initrd)
		json_add(&boot, "initrd", string(definition->boot.initrd));
	json_add(&boot, "command_line", string(definition->boot.command_line));
	return boot;
}

static struct json_object *hyper_v_to_json(const struct definition *definition)
{
	struct json_object *object = json_object_new_object();

	for (unsigned i = 0; i < _ENLIGHTENMENT_COUNT; i++)
		json_add(&object, enlightenment_names[i], boolean(definition->hyper_v[i]));
	return object;
}

struct json_object *definition_actions_to_json(const struct definition_actions *actions)
{
	const char *const *names = definition_action_names;

	return json_make("reboot", string(names[actions->reboot]), "triple_fault",
			 string(names[actions->triple_fault]), "crash",
			 string(names[actions->crash]), "crash_grace", number(actions->crash_grace),
			 "worker_failure",
			 string(definition_failure_action_names[actions->worker_failure]), NULL);
}

struct json_object *definition_to_json(const struct definition *definition)
{
	struct json_object *object;
	char uuid[GUID_TEXT_SIZE], generation_id[GUID_TEXT_SIZE];

	object = json_make("version", number(DEFINITION_VERSION), NULL);
	if (definition->name)
		json_add(&object, "name", string(definition->name));
	guid_format(&definition->uuid, uuid);
	if (!guid_is_null(&definition->uuid))
		json_add(&object, "uuid", string(uuid));
	guid_format(&definition->generation_id, generation_id);
	if (!guid_is_null(&definition->generation_id))
		json_add(&object, "generation_id", string(generation_id));
	if (definition->owner)
		json_add(&object, "owner", string(definition->owner));
	if (definition->owner && definition->owner_uid > 0)
		json_add(&object, "owner_uid", number(definition->owner_uid));
	json_add(&object, "notes", string(definition->notes));
	json_add(&object, "tags", definition_tags_to_json(&definition->tags));
	json_add(&object, "processors", definition_processors_to_json(&definition->processors));
	json_add(&object, "memory", definition_memory_to_json(&definition->memory));
	if (definition->numa.count > 0)
		json_add(&object, "numa", definition_numa_to_json(&definition->numa));
	json_add(&object, "engine", string(definition_engine_names[definition->engine]));
	if (definition->checkpoints != DEFINITION_CHECKPOINTS_PRODUCTION)
		json_add(&object, "checkpoints",
			 string(definition_checkpoints_names[definition->checkpoints]));
	json_add(&object, "hyper_v", hyper_v_to_json(definition));
	if (definition->generation != 0) {
		json_add(&object, "generation", number(definition->generation));
		json_add(&object, "boot_order",
			 definition_boot_order_to_json(&definition->boot_order));
	} else {
		json_add(&object, "boot", boot_to_json(definition));
	}
	json_add(&object, "disks", disks_to_json(definition));
	json_add(&object, "network_adapters", definition_network_to_json(&definition->network));
	json_add(&object, "keyboard", boolean(definition->keyboard));
	json_add(&object, "mouse", boolean(definition->mouse));
	if (definition->video.present)
		json_add(&object, "video",
			 json_make("width", number(definition->video.width), "height",
				   number(definition->video.height), NULL));
	json_add(&object, "services",
		 json_make("shutdown", boolean(definition->services.shutdown), "heartbeat",
			   boolean(definition->services.heartbeat), "time",
			   boolean(definition->services.time), "kvp",
			   boolean(definition->services.kvp), "vss",
			   boolean(definition->services.vss), "file_copy",
			   boolean(definition->services.file_copy), "sockets",
			   boolean(definition->services.sockets), "hibernation",
			   boolean(definition->services.hibernation), NULL));
	json_add(&object, "actions", definition_actions_to_json(&definition->actions));
	json_add(&object, "automatic_start",
		 definition_automatic_start_to_json(&definition->automatic_start));
	json_add(&object, "automatic_stop",
		 definition_automatic_stop_to_json(&definition->automatic_stop));
	json_add(&object, "cluster", boolean(definition->cluster));
	json_add(&object, "resources", definition_resources_to_json(&definition->resources));
	return object;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices of a configuration: its manifest has a node vdevNNN for each, with its type, its instance
 * and its name; what is known of it is in a node _INSTANCE_ of the configuration.
 */
#include "vmms/import/import_tree.h"

#include "common/base/guid.h"
#include "common/definition/definition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define IDE_CONTROLLERS 2u
#define IDE_DRIVES      2u

struct device {
	const char *type, *name;  /* name "": it has none */
	struct json_object *data; /* NULL: there is none */
};

struct devices {
	struct import_work *work;
	struct json_object *disks, *adapters; /* of the definition */
	unsigned next_controller;
};

/* ---- Disks and drives ---- */

static void devices_add_disk(struct devices *devices, struct json_object *drive,
			     unsigned controller, unsigned lun)
{
	const char *path = import_text(drive, "pathname"), *type = import_text(drive, "type");
	bool dvd = type && strcasecmp(type, "ISO") == 0, shared = false;
	struct json_object *disk;

	if (!dvd && (!path || !*path))
		return;
	disk = json_make("controller", json_object_new_int64(controller), "lun",
			 json_object_new_int64(lun), NULL);
	if (dvd)
		json_add(&disk, "type", json_object_new_string("dvd"));
	if (path && *path)
		json_add(&disk, "path", json_object_new_string(path));
	if (import_truth(drive, "persistent_reservations_supported", &shared) && shared)
		import_note(devices->work, "disk %u:%u was shared with other VMs", controller, lun);
	json_append(&devices->disks, disk);
}

static struct json_object *devices_drive(struct json_object *data, unsigned controller,
					 unsigned drive)
{
	char path[64];

	snprintf(path, sizeof(path), "controller%u/drive%u", controller, drive);
	return import_node(data, path);
}

static void devices_take_ide(struct devices *devices, const struct device *device)
{
	for (unsigned i = 0; i < IDE_CONTROLLERS; i++)
		for (unsigned j = 0; j < IDE_DRIVES; j++)
			devices_add_disk(devices, devices_drive(device->data, i, j), 0,
					 i * IDE_DRIVES + j);
}

static void devices_take_scsi(struct devices *devices, const struct device *device)
{
	size_t before = json_array_size(devices->disks);

	if (devices->next_controller == DEFINITION_CONTROLLERS_MAX) {
		import_note(devices->work, "a controller and its disks: there are %u at most",
			    DEFINITION_CONTROLLERS_MAX);
		return;
	}
	for (unsigned i = 0; i < DEFINITION_LUNS_MAX; i++)
		devices_add_disk(devices, devices_drive(device->data, 0, i),
				 devices->next_controller, i);
	devices->next_controller += json_array_size(devices->disks) > before;
}

/* ---- Adapters ---- */

/* Older ones have no separators. */
static void devices_add_mac(struct json_object **adapter, const char *text)
{
	static const char none[] = "00:00:00:00:00:00";
	char mac[sizeof(none)] = "";
	size_t size = 0;

	for (; *text && size < sizeof(none) - 1; text++) {
		if (strchr("-:", *text))
			continue;
		if (size % 3 == 2)
			mac[size++] = ':';
		mac[size++] = *text;
	}
	mac[size] = '\0';
	if (*text == '\0' && size == sizeof(none) - 1 && strcmp(mac, none) != 0)
		json_add(adapter, "mac", json_object_new_string(mac));
}

static void devices_take_adapter(struct devices *devices, const struct device *device)
{
	const char *mac = import_text(device->data, "MacAddress");
	const char *instance = import_text(device->data, "ChannelInstanceGuid");
	const char *theirs = import_text(device->data, "Connection/AltSwitchName");
	struct json_object *adapter = json_object_new_object();

	if (mac)
		devices_add_mac(&adapter, mac);
	if (adapter && instance)
		import_add_guid(devices->work, adapter, "instance", instance);
	if (theirs && *theirs)
		json_add(&adapter, "switch", json_object_new_string(theirs));
	json_append(&devices->adapters, adapter);
}

static void devices_take_firmware(struct devices *devices, const struct device *device)
{
	bool on;

	if (import_truth(device->data, "secure_boot_enabled", &on) && on)
		import_note(devices->work, "secure boot was on");
}

/* ---- All of them ---- */

static const struct {
	const char *type;
	void (*take)(struct devices *devices, const struct device *device);
} kinds[] = {
	{ "83f8638b-8dca-4152-9eda-2ca8b33039b4", devices_take_ide },
	{ "d422512d-2bf2-4752-809d-7b82b5fcb1b4", devices_take_scsi },
	{ "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778", devices_take_adapter },
	{ "ac6b8dc1-3257-4a70-b1b2-a9c9215659ad", devices_take_firmware },
};

static void devices_take(struct devices *devices, const struct device *device)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strncasecmp(device->type + (*device->type == '{'), kinds[i].type,
				GUID_TEXT_SIZE - 1) == 0) {
			kinds[i].take(devices, device);
			return;
		}
	}
	if (*device->name)
		import_note(devices->work, "device '%.64s'", device->name);
}

/* Its node, whichever case its name is written in. */
static struct json_object *devices_data(const struct devices *devices, const char *instance)
{
	char name[GUID_TEXT_SIZE + 2];

	instance += *instance == '{';
	snprintf(name, sizeof(name), "_%.36s_", instance);
	json_object_object_foreach(
		devices->work->configuration, key,
		value) if (strcasecmp(key, name) == 0 &&
			   json_object_is_type(value, json_type_object)) return value;
	return NULL;
}

static void devices_take_row(struct devices *devices, struct json_object *row)
{
	const char *instance = import_text(row, "instance"), *name = import_text(row, "name");
	struct device device = { .type = import_text(row, "device"), .name = name ? name : "" };

	if (!device.type)
		return;
	if (instance)
		device.data = devices_data(devices, instance);
	devices_take(devices, &device);
}

/* By number, which is how guests find them in an order. */
static int devices_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void import_devices(struct import_work *work)
{
	struct json_object *manifest = import_node(work->configuration, "manifest");
	size_t count = manifest ? (size_t)json_object_object_length(manifest) : 0, i = 0;
	AUTO_FREE const char **names = calloc(count + 1, sizeof(*names));
	struct devices devices = { .work = work,
				   .disks = json_object_new_array(),
				   .adapters = json_object_new_array(),
				   .next_controller = work->generation == 1 };

	if (names && manifest) {
		json_object_object_foreach(manifest, key, value)
		{
			(void)value;
			names[i++] = key;
		}
		qsort(names, count, sizeof(*names), devices_compare);
	}
	for (i = 0; names && i < count; i++)
		devices_take_row(&devices, import_node(manifest, names[i]));
	json_add(&work->definition, "disks", devices.disks);
	json_add(&work->definition, "network_adapters", devices.adapters);
}

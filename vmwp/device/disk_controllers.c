/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The controllers of disks. */
#include "vmwp/device/disk_controllers.h"

#include "vmwp/device/devices.h"
#include "vsp/storage/storage.h"

#include <stdio.h>

#define IDE_DEVICES 2u /* of a channel */

/* The last byte is the controller's number: a guest finds its controllers again. */
static struct guid controller_instance(unsigned controller)
{
	return GUID(0x6d1f3a0c, 0x52b7, 0x4c8e, 0x9a, 0x41, 0x7e, 0x05, 0xd3, 0xb8, 0x26,
		    (uint8_t)controller);
}

static void controller_ejected(void *data, unsigned unit)
{
	struct disk_controller *controller = data;
	const struct device_config *config = controller->owner->config;

	config->callbacks->ejected(config->data, controller->number, controller->lun + unit);
}

bool disk_controllers_is_ide(const struct disk_controllers *controllers, unsigned controller,
			     unsigned lun)
{
	return definition_is_ide(controllers->config->definition, controller, lun);
}

static struct disk_controller *controller_at(struct disk_controllers *controllers,
					     unsigned controller, unsigned lun)
{
	if (controller >= DEFINITION_CONTROLLERS_MAX)
		return NULL;
	if (disk_controllers_is_ide(controllers, controller, lun))
		return &controllers->all[DEFINITION_CONTROLLERS_MAX + lun];
	return &controllers->all[controller];
}

struct storage_controller *disk_controllers_find(struct disk_controllers *controllers,
						 unsigned controller, unsigned lun,
						 unsigned *ret_unit)
{
	const struct disk_controller *found = controller_at(controllers, controller, lun);

	*ret_unit = found ? lun - found->lun : 0;
	return found ? found->storage : NULL;
}

/* ---- Making them ---- */

static void controller_describe_scsi(const struct definition_disk *disk,
				     struct storage_options *options)
{
	static const char *const names[DEFINITION_CONTROLLERS_MAX] = {
		"SCSI controller 0", "SCSI controller 1", "SCSI controller 2", "SCSI controller 3"
	};

	options->name = names[disk->controller];
	options->instance = controller_instance(disk->controller);
	options->sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC;
}

static void controller_describe_ide(const struct definition_disk *disk,
				    struct storage_options *options)
{
	static const char *const names[DEFINITION_IDE_DISKS] = { "IDE disk 0", "IDE disk 1",
								 "IDE disk 2", "IDE disk 3" };
	bool dvd = disk->drive == DEFINITION_DRIVE_DVD;

	options->kind = dvd ? STORAGE_UNOFFERED : STORAGE_IDE;
	options->name = names[disk->lun];
	options->ide_channel = disk->lun / IDE_DEVICES;
	options->ide_device = disk->lun % IDE_DEVICES;
	options->instance = storage_ide_instance(options->ide_channel, options->ide_device);
}

int disk_controllers_need(struct disk_controllers *controllers, const struct definition_disk *disk)
{
	struct disk_controller *controller =
		controller_at(controllers, disk->controller, disk->lun);
	struct storage_options options = {
		.machine = controllers->config->definition->uuid,
		.ejected = controller_ejected,
		.data = controller,
	};

	if (controller->storage)
		return 0;
	controller->owner = controllers;
	controller->number = disk->controller;
	if (disk_controllers_is_ide(controllers, disk->controller, disk->lun)) {
		controller->lun = disk->lun;
		controller_describe_ide(disk, &options);
	} else {
		controller_describe_scsi(disk, &options);
	}
	return storage_controller_new(controllers->config->bus, &options, &controller->storage);
}

/* ---- All of them ---- */

void disk_controllers_power_on(struct disk_controllers *controllers)
{
	for (size_t i = DEFINITION_CONTROLLERS_MAX; i < DISK_CONTROLLERS_MAX; i++)
		if (controllers->all[i].storage)
			storage_power_on(controllers->all[i].storage);
}

void disk_controllers_record_name(unsigned index, char name[static STATE_NAME_MAX + 1])
{
	if (index < DEFINITION_CONTROLLERS_MAX)
		snprintf(name, STATE_NAME_MAX + 1, "storage/%u", index);
	else
		snprintf(name, STATE_NAME_MAX + 1, "storage/ide/%u",
			 index - DEFINITION_CONTROLLERS_MAX);
}

struct json_object *disk_controllers_inspect(const struct disk_controllers *controllers)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++) {
		const struct disk_controller *controller = &controllers->all[i];

		if (controller->storage)
			json_append(
				&list,
				json_make("controller", json_object_new_int64(controller->number),
					  "first_lun", json_object_new_int64(controller->lun),
					  "storage", storage_inspect(controller->storage), NULL));
	}
	return list;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic devices of a machine. */
#include "vmwp/devices.h"

#include "common/image.h"
#include "vsp/storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct devices {
	struct vmbus *bus;
	const struct definition *definition;
	struct storage_controller *controllers[DEFINITION_CONTROLLERS_MAX]; /* NULL: not offered */
};

/* The last byte is the controller's number: a guest finds its controllers again. */
static struct guid devices_controller_instance(unsigned controller)
{
	return GUID(0x6d1f3a0c, 0x52b7, 0x4c8e, 0x9a, 0x41, 0x7e, 0x05, 0xd3, 0xb8, 0x26,
		    (uint8_t)controller);
}

/* Offers the controller, unless it is there. Return: 0, -errno. */
static int devices_need_controller(struct devices *devices, unsigned controller)
{
	const struct storage_options options = {
		.machine = devices->definition->uuid,
		.instance = devices_controller_instance(controller),
		.sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC,
	};

	if (devices->controllers[controller])
		return 0;
	return storage_controller_new(devices->bus, &options, &devices->controllers[controller]);
}

/* Makes a disk of a descriptor, which it takes over. Return: 0; DEVICES_E_REFUSED; -errno. */
static int devices_open_disk(struct devices *devices, const struct definition_disk *definition,
			     int fd, struct disk **ret_disk, struct failure *failure)
{
	const struct image_options options = { .read_only = definition->read_only,
					       .sector_size = definition->sector_size };
	struct image image;
	int r;

	r = image_examine(fd, &options, &image);
	if (r) {
		close(fd);
		failure_set(failure, 0, "The image of disk %u:%u cannot be used: %s.",
			    definition->controller, definition->lun, image_error_text(r));
		return DEVICES_E_REFUSED;
	}
	return disk_file_new(vmbus_loop(devices->bus), &image, definition->sector_size, ret_disk);
}

/* What a STORAGE_E_ code is here, with a sentence for it. */
static int devices_translate(int code, unsigned controller, unsigned lun, struct failure *failure)
{
	static const struct {
		int code;
		const char *text;
	} table[] = {
		[STORAGE_E_TAKEN] = { DEVICES_E_TAKEN, "there is one already" },
		[STORAGE_E_ABSENT] = { DEVICES_E_ABSENT, "there is none" },
		[STORAGE_E_KIND] = { DEVICES_E_KIND, "not a DVD drive" },
		[STORAGE_E_PREVENTED] = { DEVICES_E_LOCKED,
					  "the guest has locked the tray, and was asked to let "
					  "go; try again, or force it" },
		[STORAGE_E_SERIAL] = { DEVICES_E_REFUSED, "the serial number is too long" },
	};

	if (code <= 0)
		return code;
	failure_set(failure, 0, "Disk %u:%u: %s.", controller, lun, table[code].text);
	return table[code].code;
}

int devices_attach(struct devices *devices, const struct definition_disk *definition, int fd,
		   struct failure *failure)
{
	const struct storage_unit unit = { .dvd = definition->drive == DEFINITION_DRIVE_DVD,
					   .serial = definition->serial };
	struct disk *disk = NULL;
	int r = 0;

	if (fd < 0 && !unit.dvd) {
		failure_set(failure, 0, "There is no image for disk %u:%u.", definition->controller,
			    definition->lun);
		return DEVICES_E_REFUSED;
	}
	if (fd >= 0)
		r = devices_open_disk(devices, definition, fd, &disk, failure);
	if (r)
		return r;
	r = devices_need_controller(devices, definition->controller);
	if (r >= 0)
		r = storage_attach(devices->controllers[definition->controller], definition->lun,
				   &unit, disk);
	if (r && disk)
		disk_retire(disk, NULL, NULL);
	return devices_translate(r, definition->controller, definition->lun, failure);
}

static struct storage_controller *devices_find(struct devices *devices, unsigned controller)
{
	return controller < ARRAY_SIZE(devices->controllers) ? devices->controllers[controller]
							     : NULL;
}

int devices_detach(struct devices *devices, unsigned controller, unsigned lun,
		   struct failure *failure)
{
	struct storage_controller *storage = devices_find(devices, controller);
	int r = storage ? storage_detach(storage, lun, NULL, NULL) : STORAGE_E_ABSENT;

	return devices_translate(r, controller, lun, failure);
}

int devices_insert(struct devices *devices, unsigned controller, unsigned lun, int fd,
		   struct failure *failure)
{
	const struct definition_disk definition = { .controller = controller,
						    .lun = lun,
						    .read_only = true,
						    .sector_size = DEFINITION_DVD_SECTOR_SIZE };
	struct storage_controller *storage = devices_find(devices, controller);
	struct disk *disk;
	int r;

	r = devices_open_disk(devices, &definition, fd, &disk, failure);
	if (r)
		return r;
	r = storage ? storage_change_medium(storage, lun, disk, false, NULL, NULL)
		    : STORAGE_E_ABSENT;
	if (r)
		disk_retire(disk, NULL, NULL);
	return devices_translate(r, controller, lun, failure);
}

int devices_eject(struct devices *devices, unsigned controller, unsigned lun, bool force,
		  struct failure *failure)
{
	struct storage_controller *storage = devices_find(devices, controller);
	int r = storage ? storage_change_medium(storage, lun, NULL, force, NULL, NULL)
			: STORAGE_E_ABSENT;

	return devices_translate(r, controller, lun, failure);
}

/* A guest without disks has a controller all the same: disks can be added later. */
static int devices_add_storage(struct devices *devices, struct resources *resources,
			       struct failure *failure)
{
	int r = devices_need_controller(devices, 0);

	for (size_t i = 0; r >= 0 && i < devices->definition->disk_count; i++) {
		const struct definition_disk *disk = &devices->definition->disks[i];
		char name[RESOURCES_NAME_MAX];

		resources_disk_name(disk->controller, disk->lun, name);
		r = devices_attach(devices, disk, resources_take(resources, name), failure);
		if (r > 0)
			r = -EINVAL;
	}
	return r;
}

int devices_new(struct vmbus *bus, const struct definition *definition, struct resources *resources,
		struct devices **ret_devices, struct failure *failure)
{
	CLEANUP(devices_freep) struct devices *devices = calloc(1, sizeof(*devices));
	int r;

	if (!devices)
		return -ENOMEM;
	devices->bus = bus;
	devices->definition = definition;
	r = devices_add_storage(devices, resources, failure);
	if (r < 0)
		return failure_set(failure, r, "The disks cannot be attached: %s.", strerror(-r));
	*ret_devices = TAKE_PTR(devices);
	return 0;
}

void devices_free(struct devices *devices)
{
	if (!devices)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(devices->controllers); i++)
		storage_controller_free(devices->controllers[i]);
	free(devices);
}

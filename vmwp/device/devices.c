/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic devices of a machine. */
#include "vmwp/device/devices.h"

#include "common/base/log.h"
#include "common/image/image.h"
#include "vsp/ic/ic.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct devices_controller {
	struct devices *devices;
	unsigned number;
	struct storage_controller *storage; /* NULL: not offered */
};

struct devices {
	struct vmbus *bus;
	const struct definition *definition;
	const struct devices_callbacks *callbacks;
	void *data;
	struct ic_shutdown *shutdown;   /* NULL: not offered */
	struct ic_heartbeat *heartbeat; /* likewise */
	struct adapters *adapters;
	struct disk_healths *disks;
	struct devices_controller controllers[DEFINITION_CONTROLLERS_MAX];
};

/* The last byte is the controller's number: a guest finds its controllers again. */
static struct guid devices_controller_instance(unsigned controller)
{
	return GUID(0x6d1f3a0c, 0x52b7, 0x4c8e, 0x9a, 0x41, 0x7e, 0x05, 0xd3, 0xb8, 0x26,
		    (uint8_t)controller);
}

static void devices_ejected(void *data, unsigned lun)
{
	struct devices_controller *controller = data;
	struct devices *devices = controller->devices;

	devices->callbacks->ejected(devices->data, controller->number, lun);
}

/* Offers the controller, unless it is there. Return: 0, -errno. */
static int devices_need_controller(struct devices *devices, unsigned number)
{
	static const char *const names[DEFINITION_CONTROLLERS_MAX] = {
		"SCSI controller 0", "SCSI controller 1", "SCSI controller 2", "SCSI controller 3"
	};
	struct devices_controller *controller = &devices->controllers[number];
	const struct storage_options options = {
		.name = names[number],
		.machine = devices->definition->uuid,
		.instance = devices_controller_instance(number),
		.sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC,
		.ejected = devices_ejected,
		.data = controller,
	};

	if (controller->storage)
		return 0;
	controller->devices = devices;
	controller->number = number;
	return storage_controller_new(devices->bus, &options, &controller->storage);
}

static int devices_refuse_image(const struct definition_disk *definition, const char *why,
				struct failure *failure)
{
	failure_set(failure, 0, "The image of disk %u:%u cannot be used: %s.",
		    definition->controller, definition->lun, why);
	return DEVICES_E_REFUSED;
}

/* The daemon hears of that, and starts another server, or gives it up. */
static void devices_server_lost(void *data, struct disk *disk, const char *why)
{
	struct devices *devices = data;
	struct disk_health *health = disk_health_of(devices->disks, disk);

	log_warning("a disk whose image is not raw waits for another server: %s", why);
	if (health)
		disk_health_server(health, DISK_SERVER_GONE);
}

static int devices_find_served(struct devices *devices, unsigned controller, unsigned lun,
			       struct disk_health **ret_health, struct failure *failure)
{
	*ret_health = disk_health_find(devices->disks, controller, lun);
	if (*ret_health)
		return 0;
	failure_set(failure, 0, "There is no disk %u:%u.", controller, lun);
	return DEVICES_E_ABSENT;
}

int devices_reconnect(struct devices *devices, unsigned controller, unsigned lun, int fd,
		      struct failure *failure)
{
	AUTO_CLOSE int socket = fd;
	struct disk_health *health;
	int r;

	r = devices_find_served(devices, controller, lun, &health, failure);
	if (r)
		return r;
	if (disk_nbd_is_unflushed(disk_health_disk(health)))
		log_warning(
			"disk %u:%u has another server: what the guest wrote before the last one "
			"ended, and had not flushed, may be lost; have the guest check its file "
			"systems",
			controller, lun);
	r = disk_nbd_reconnect(disk_health_disk(health), TAKE_FD(socket));
	if (r) {
		failure_set(failure, 0, "Disk %u:%u cannot use its new server: %s.", controller,
			    lun, nbd_error_text(r));
		return DEVICES_E_REFUSED;
	}
	disk_health_server(health, DISK_SERVER_THERE);
	return 0;
}

int devices_give_up(struct devices *devices, unsigned controller, unsigned lun,
		    struct failure *failure)
{
	struct disk_health *health;
	int r;

	r = devices_find_served(devices, controller, lun, &health, failure);
	if (r)
		return r;
	disk_nbd_give_up(disk_health_disk(health));
	disk_health_server(health, DISK_SERVER_LOST);
	return 0;
}

/*
 * The protocol does not tell what becomes of trimmed blocks. The server gives back clusters of
 * qcow2, which read as zeros then; of VHD, VHDX and VMDK it keeps the data.
 */
static bool devices_unmap_zeroes(const struct definition_disk *definition)
{
	return image_format_find(definition->format) == IMAGE_QCOW2;
}

/* The descriptor is a connection to the image's server. */
static int devices_open_served(struct devices *devices, const struct definition_disk *definition,
			       int fd, struct disk **ret_disk, struct failure *failure)
{
	const struct disk_nbd_options options = { .sector_size = definition->sector_size,
						  .read_only = definition->read_only,
						  .unmap_zeroes = devices_unmap_zeroes(definition),
						  .waits = true,
						  .owner = { .broken = devices_server_lost,
							     .data = devices } };
	int r;

	r = disk_nbd_new(vmbus_loop(devices->bus), fd, &options, ret_disk);
	return r ? devices_refuse_image(definition, nbd_error_text(r), failure) : 0;
}

static int devices_open_image(struct devices *devices, const struct definition_disk *definition,
			      int fd, struct disk **ret_disk, struct failure *failure)
{
	const struct image_options options = { .read_only = definition->read_only,
					       .sector_size = definition->sector_size };
	struct image image;
	int r;

	if (definition->format && image_format_find(definition->format) != IMAGE_RAW)
		return devices_open_served(devices, definition, fd, ret_disk, failure);
	r = image_examine(fd, &options, &image);
	if (r) {
		close(fd);
		return devices_refuse_image(definition, image_error_text(r), failure);
	}
	r = disk_file_new(vmbus_loop(devices->bus), &image, definition->sector_size, ret_disk);
	if (r == 0 && definition->cache == DEFINITION_CACHE_UNSAFE)
		disk_file_drop_flushes(*ret_disk);
	return r;
}

/* Makes a disk of a descriptor, which it takes over. Return: 0; DEVICES_E_REFUSED; -errno. */
static int devices_open_disk(struct devices *devices, const struct definition_disk *definition,
			     int fd, struct disk **ret_disk, struct failure *failure)
{
	const struct disk_limits limits = { .iops = definition->iops,
					    .bandwidth = definition->bandwidth };
	struct disk *disk;
	int r;

	r = devices_open_image(devices, definition, fd, &disk, failure);
	if (r)
		return r;
	r = disk_limit(disk, vmbus_loop(devices->bus), &limits);
	if (r < 0) {
		disk_retire(disk, NULL, NULL);
		return r;
	}
	*ret_disk = disk;
	return 0;
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
		r = storage_attach(devices->controllers[definition->controller].storage,
				   definition->lun, &unit, disk);
	if (r && disk)
		disk_retire(disk, NULL, NULL);
	else if (disk)
		r = disk_health_new(devices->disks, definition, disk);
	return devices_translate(r, definition->controller, definition->lun, failure);
}

static struct storage_controller *devices_find(struct devices *devices, unsigned controller)
{
	return controller < ARRAY_SIZE(devices->controllers)
		       ? devices->controllers[controller].storage
		       : NULL;
}

int devices_detach(struct devices *devices, unsigned controller, unsigned lun,
		   void (*done)(void *data), void *data, struct failure *failure)
{
	struct storage_controller *storage = devices_find(devices, controller);
	int r = storage ? storage_detach(storage, lun, done, data) : STORAGE_E_ABSENT;

	return devices_translate(r, controller, lun, failure);
}

int devices_insert(struct devices *devices, unsigned controller, unsigned lun, int fd,
		   void (*done)(void *data), void *data, struct failure *failure)
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
	r = storage ? storage_change_medium(storage, lun, disk, false, done, data)
		    : STORAGE_E_ABSENT;
	if (r)
		disk_retire(disk, NULL, NULL);
	else
		r = disk_health_new(devices->disks, &definition, disk);
	return devices_translate(r, controller, lun, failure);
}

int devices_eject(struct devices *devices, unsigned controller, unsigned lun, bool force,
		  void (*done)(void *data), void *data, struct failure *failure)
{
	struct storage_controller *storage = devices_find(devices, controller);
	int r = storage ? storage_change_medium(storage, lun, NULL, force, done, data)
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

/* ---- How disks are ---- */

static void devices_disk_changed(void *data, unsigned controller, unsigned lun,
				 struct json_object *report)
{
	struct devices *devices = data;

	devices->callbacks->disk_changed(devices->data, controller, lun, report);
}

static void devices_disk_pause(void *data, const char *why)
{
	struct devices *devices = data;

	devices->callbacks->disk_pause(devices->data, why);
}

static void devices_disk_go_on(void *data)
{
	struct devices *devices = data;

	devices->callbacks->disk_go_on(devices->data);
}

static void devices_disk_stop(void *data, const char *why)
{
	struct devices *devices = data;

	devices->callbacks->disk_stop(devices->data, why);
}

static const struct disk_healths_callbacks devices_disks_callbacks = {
	.changed = devices_disk_changed,
	.pause = devices_disk_pause,
	.go_on = devices_disk_go_on,
	.stop = devices_disk_stop,
};

struct disk_healths *devices_disks(struct devices *devices)
{
	return devices->disks;
}

/* ---- Integration services ---- */

static void devices_heartbeat_changed(void *data, enum ic_heartbeat_status status,
				      enum ic_application_state application)
{
	struct devices *devices = data;

	devices->callbacks->heartbeat(devices->data, ic_heartbeat_status_name(status));
}

static const struct ic_heartbeat_callbacks devices_heartbeat_callbacks = {
	.changed = devices_heartbeat_changed,
};

static int devices_add_services(struct devices *devices)
{
	int r = 0;

	if (devices->definition->services.shutdown)
		r = ic_shutdown_new(devices->bus, &devices->shutdown);
	if (r >= 0 && devices->definition->services.heartbeat)
		r = ic_heartbeat_new(devices->bus, 0, &devices_heartbeat_callbacks, devices,
				     &devices->heartbeat);
	return r;
}

void devices_pause(struct devices *devices)
{
	if (devices->heartbeat)
		ic_heartbeat_pause(devices->heartbeat);
}

void devices_resume(struct devices *devices)
{
	if (devices->heartbeat)
		ic_heartbeat_resume(devices->heartbeat);
	disk_healths_retry(devices->disks);
}

const char *devices_heartbeat(const struct devices *devices)
{
	return ic_heartbeat_status_name(devices->heartbeat ? ic_heartbeat_status(devices->heartbeat)
							   : IC_HEARTBEAT_UNKNOWN);
}

int devices_shut_down(struct devices *devices, enum ic_shutdown_action action, bool force,
		      void (*done)(void *data, int result), void *data)
{
	if (!devices->shutdown)
		return -ENOTCONN;
	return ic_shutdown_request(devices->shutdown, action, force, done, data);
}

/* ---- Network adapters ---- */

static void devices_network_ended(void *data, const char *adapter)
{
	struct devices *devices = data;

	devices->callbacks->network_ended(devices->data, adapter);
}

static void devices_network_connected(void *data, const char *adapter)
{
	struct devices *devices = data;

	devices->callbacks->network_connected(devices->data, adapter);
}

static const struct adapters_callbacks devices_adapters_callbacks = {
	.network_ended = devices_network_ended,
	.connected = devices_network_connected,
};

static int devices_add_adapters(struct devices *devices, struct resources *resources,
				struct failure *failure)
{
	const struct adapters_config config = {
		.bus = devices->bus,
		.definition = devices->definition,
		.resources = resources,
		.callbacks = &devices_adapters_callbacks,
		.data = devices,
	};

	return adapters_new(&config, &devices->adapters, failure);
}

struct adapters *devices_adapters(struct devices *devices)
{
	return devices->adapters;
}

/* ---- All of them ---- */

int devices_new(const struct devices_config *config, struct devices **ret_devices,
		struct failure *failure)
{
	CLEANUP(devices_freep) struct devices *devices = calloc(1, sizeof(*devices));
	int r;

	if (!devices)
		return -ENOMEM;
	devices->bus = config->bus;
	devices->definition = config->definition;
	devices->callbacks = config->callbacks;
	devices->data = config->data;
	r = disk_healths_new(vmbus_loop(devices->bus), &devices_disks_callbacks, devices,
			     &devices->disks);
	if (r < 0)
		return r;
	r = devices_add_storage(devices, config->resources, failure);
	if (r < 0)
		return failure_set(failure, r, "The disks cannot be attached: %s.", strerror(-r));
	r = devices_add_services(devices);
	if (r < 0)
		return failure_set(failure, r, "The integration services cannot be offered: %s.",
				   strerror(-r));
	/* The last: from here on the loop has something of theirs to wait for. */
	r = devices_add_adapters(devices, config->resources, failure);
	if (r < 0)
		return failure_set(failure, r, "The network adapters cannot be offered: %s.",
				   strerror(-r));
	*ret_devices = TAKE_PTR(devices);
	return 0;
}

void devices_storage_counters(const struct devices *devices, struct storage_counters *ret_counters)
{
	*ret_counters = (struct storage_counters){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(devices->controllers); i++) {
		struct storage_counters one;

		if (!devices->controllers[i].storage)
			continue;
		storage_counters(devices->controllers[i].storage, &one);
		ret_counters->commands += one.commands;
		ret_counters->refused += one.refused;
		disk_counters_add(&ret_counters->disks, &one.disks);
	}
}

struct json_object *devices_counters(const struct devices *devices)
{
	struct storage_counters sum;

	devices_storage_counters(devices, &sum);
	return json_make("commands", json_object_new_uint64(sum.commands), "refused",
			 json_object_new_uint64(sum.refused), "bytes_read",
			 json_object_new_uint64(sum.disks.bytes_read), "bytes_written",
			 json_object_new_uint64(sum.disks.bytes_written), "errors",
			 json_object_new_uint64(sum.disks.errors), NULL);
}

void devices_inspect_services(const struct devices *devices, struct json_object **tree)
{
	if (devices->shutdown)
		json_add(tree, "shutdown", ic_shutdown_inspect(devices->shutdown));
	if (devices->heartbeat)
		json_add(tree, "heartbeat", ic_heartbeat_inspect(devices->heartbeat));
}

struct json_object *devices_inspect_storage(const struct devices *devices)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(devices->controllers); i++)
		if (devices->controllers[i].storage)
			json_append(&list,
				    json_make("controller", json_object_new_int64((int64_t)i),
					      "storage",
					      storage_inspect(devices->controllers[i].storage),
					      NULL));
	return list;
}

void devices_free(struct devices *devices)
{
	if (!devices)
		return;
	adapters_free(devices->adapters);
	for (size_t i = 0; i < ARRAY_SIZE(devices->controllers); i++)
		storage_controller_free(devices->controllers[i].storage);
	ic_shutdown_free(devices->shutdown);
	ic_heartbeat_free(devices->heartbeat);
	disk_healths_free(devices->disks);
	free(devices);
}

void devices_discard(struct devices *devices)
{
	if (!devices)
		return;
	adapters_discard(TAKE_PTR(devices->adapters));
	devices_free(devices);
}

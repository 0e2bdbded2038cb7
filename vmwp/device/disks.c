/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The SCSI controllers, disks and DVD drives of a machine. */
#include "vmwp/device/devices.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/state.h"
#include "common/control_contract.h"
#include "vmwp/device/disk_controllers.h"
#include "vmwp/device/disk_open.h"
#include "vmwp/resource/resources.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(DISK_LATENCY_BUCKETS == CONTROL_LATENCY_BUCKETS, "as the daemon reads them");

/* So long the guest stands still for requests under way; then they are taken along. */
#define QUIESCE_LIMIT_NS (5ull * 1000 * 1000 * 1000)

struct disks {
	const struct device_config *config;
	struct disk_healths *healths;
	struct disk_controllers controllers;

	/* disks_quiesce() */
	struct device_quiet quiet;

	unsigned closing; /* disks that disks_close() waits for, and itself */
	void (*closed)(void *data);
	void *closed_data;
};

/* The daemon hears of that, and starts another server, or gives it up. */
static void disks_server_lost(void *data, struct disk *disk, const char *why)
{
	struct disks *disks = data;
	struct disk_health *health = disk_health_of(disks->healths, disk);

	log_warning("a disk whose image is not raw waits for another server: %s", why);
	if (health)
		disk_health_server(health, DISK_SERVER_GONE);
}

static int disks_find_served(struct disks *disks, unsigned controller, unsigned lun,
			     struct disk_health **ret_health, struct failure *failure)
{
	*ret_health = disk_health_find(disks->healths, controller, lun);
	if (*ret_health)
		return 0;
	failure_set(failure, 0, "There is no disk %u:%u.", controller, lun);
	return DISKS_E_ABSENT;
}

static void disks_tell_lost(struct disks *disks, unsigned controller, unsigned lun)
{
	struct storage_controller *storage;
	unsigned unit;

	log_warning(
		"disk %u:%u has another server: what the guest wrote before the last one ended, "
		"and had not flushed, may be lost; its flushes fail until it is reset; have it "
		"check its file systems",
		controller, lun);
	storage = disks_storage(disks, controller, lun, &unit);
	if (storage)
		storage_power_lost(storage, unit);
}

int disks_reconnect(struct disks *disks, unsigned controller, unsigned lun, int fd,
		    struct failure *failure)
{
	AUTO_CLOSE int socket = fd;
	struct disk_health *health;
	int r;

	r = disks_find_served(disks, controller, lun, &health, failure);
	if (r)
		return r;
	if (disk_nbd_is_unflushed(disk_health_disk(health)))
		disks_tell_lost(disks, controller, lun);
	r = disk_nbd_reconnect(disk_health_disk(health), TAKE_FD(socket));
	if (r) {
		failure_set(failure, 0, "Disk %u:%u cannot use its new server: %s.", controller,
			    lun, nbd_error_text(r));
		return DISKS_E_REFUSED;
	}
	disk_health_server(health, DISK_SERVER_THERE);
	return 0;
}

int disks_give_up(struct disks *disks, unsigned controller, unsigned lun, struct failure *failure)
{
	struct disk_health *health;
	int r;

	r = disks_find_served(disks, controller, lun, &health, failure);
	if (r)
		return r;
	disk_nbd_give_up(disk_health_disk(health));
	disk_health_server(health, DISK_SERVER_LOST);
	return 0;
}

static int disks_open(struct disks *disks, const struct definition_disk *definition, int *fds,
		      size_t count, struct disk **ret_disk, struct failure *failure)
{
	const struct disk_nbd_owner owner = { .broken = disks_server_lost, .data = disks };

	return disk_open(disks->config->loop, definition, fds, count, &owner, ret_disk, failure);
}

/* What a STORAGE_E_ code is here, with a sentence for it. */
static int disks_translate(int code, unsigned controller, unsigned lun, struct failure *failure)
{
	static const struct {
		int code;
		const char *text;
	} table[] = {
		[STORAGE_E_TAKEN] = { DISKS_E_TAKEN, "there is one already" },
		[STORAGE_E_ABSENT] = { DISKS_E_ABSENT, "there is none" },
		[STORAGE_E_KIND] = { DISKS_E_KIND, "not a DVD drive" },
		[STORAGE_E_PREVENTED] = { DISKS_E_LOCKED,
					  "the guest has locked the tray, and was asked to let "
					  "go; try again, or force it" },
		[STORAGE_E_SERIAL] = { DISKS_E_REFUSED, "the serial number is too long" },
	};

	if (code <= 0)
		return code;
	failure_set(failure, 0, "Disk %u:%u: %s.", controller, lun, table[code].text);
	return table[code].code;
}

/* Gives the guest a disk, or a drive without a medium. */
static int disks_attach_unit(struct disks *disks, const struct definition_disk *definition,
			     struct disk *disk)
{
	const struct storage_unit unit = { .dvd = definition->drive == DEFINITION_DRIVE_DVD,
					   .serial = definition->serial };
	struct storage_controller *storage;
	unsigned number;
	int r = disk_controllers_need(&disks->controllers, definition);

	if (r >= 0) {
		storage = disks_storage(disks, definition->controller, definition->lun, &number);
		r = storage_attach(storage, number, &unit, disk);
	}
	if (r && disk)
		disk_retire(disk, NULL, NULL);
	else if (disk)
		r = disk_health_new(disks->healths, definition, disk);
	return r;
}

static int disks_begin_with(struct disks *disks, const struct definition_disk *definition, int *fds,
			    size_t count, struct failure *failure)
{
	struct disk *disk = NULL;
	int r = 0;

	if (count == 0 && definition->drive != DEFINITION_DRIVE_DVD) {
		failure_set(failure, 0, "There is no image for disk %u:%u.", definition->controller,
			    definition->lun);
		return DISKS_E_REFUSED;
	}
	if (count > 0)
		r = disks_open(disks, definition, fds, count, &disk, failure);
	for (size_t i = 0; i < count; i++)
		close_fdp(&fds[i]);
	if (r)
		return r;
	r = disks_attach_unit(disks, definition, disk);
	return disks_translate(r, definition->controller, definition->lun, failure);
}

static int disks_refuse_ide(struct disks *disks, unsigned controller, unsigned lun,
			    struct failure *failure)
{
	if (!disk_controllers_is_ide(&disks->controllers, controller, lun))
		return 0;
	failure_set(
		failure, 0,
		"Disk %u:%u is at an IDE channel, where disks and drives come and go only while "
		"the VM is off; LUNs from %d on are not.",
		controller, lun, DEFINITION_IDE_DISKS);
	return DISKS_E_REFUSED;
}

int disks_attach(struct disks *disks, const struct definition_disk *definition, int *fds,
		 size_t count, struct failure *failure)
{
	int r = disks_refuse_ide(disks, definition->controller, definition->lun, failure);

	if (r == 0)
		return disks_begin_with(disks, definition, fds, count, failure);
	for (size_t i = 0; i < count; i++)
		close_fdp(&fds[i]);
	return r;
}

struct storage_controller *disks_storage(struct disks *disks, unsigned controller, unsigned lun,
					 unsigned *ret_unit)
{
	return disk_controllers_find(&disks->controllers, controller, lun, ret_unit);
}

int disks_detach(struct disks *disks, unsigned controller, unsigned lun, void (*done)(void *data),
		 void *data, struct failure *failure)
{
	struct storage_controller *storage;
	unsigned unit;
	int r = disks_refuse_ide(disks, controller, lun, failure);

	if (r)
		return r;
	storage = disks_storage(disks, controller, lun, &unit);
	r = storage ? storage_detach(storage, unit, done, data) : STORAGE_E_ABSENT;
	return disks_translate(r, controller, lun, failure);
}

int disks_insert(struct disks *disks, unsigned controller, unsigned lun, int fd,
		 void (*done)(void *data), void *data, struct failure *failure)
{
	const struct definition_disk definition = { .controller = controller,
						    .lun = lun,
						    .read_only = true,
						    .sector_size = DEFINITION_DVD_SECTOR_SIZE };
	struct storage_controller *storage;
	struct disk *disk;
	unsigned unit;
	int r;

	r = disks_open(disks, &definition, &fd, 1, &disk, failure);
	if (r)
		return r;
	storage = disks_storage(disks, controller, lun, &unit);
	r = storage ? storage_change_medium(storage, unit, disk, false, done, data)
		    : STORAGE_E_ABSENT;
	if (r)
		disk_retire(disk, NULL, NULL);
	else
		r = disk_health_new(disks->healths, &definition, disk);
	return disks_translate(r, controller, lun, failure);
}

int disks_eject(struct disks *disks, unsigned controller, unsigned lun, bool force,
		void (*done)(void *data), void *data, struct failure *failure)
{
	unsigned unit;
	struct storage_controller *storage = disks_storage(disks, controller, lun, &unit);
	int r = storage ? storage_change_medium(storage, unit, NULL, force, done, data)
			: STORAGE_E_ABSENT;

	return disks_translate(r, controller, lun, failure);
}

int disks_measure(struct disks *disks, unsigned controller, unsigned lun, uint64_t *ret_size,
		  struct failure *failure)
{
	unsigned unit;
	struct storage_controller *storage = disks_storage(disks, controller, lun, &unit);
	int r = storage ? storage_measure(storage, unit) : STORAGE_E_ABSENT;

	if (r == STORAGE_E_KIND) {
		failure_set(failure, 0, "Disk %u:%u is not on a raw file.", controller, lun);
		return DISKS_E_KIND;
	}
	if (r == 0)
		*ret_size = storage_disk(storage, unit)->size;
	return disks_translate(r, controller, lun, failure);
}

static void disks_closed(void *data)
{
	struct disks *disks = data;

	if (--disks->closing == 0)
		disks->closed(disks->closed_data);
}

void disks_close(struct disks *disks, void (*closed)(void *data), void *data)
{
	disks->closed = closed;
	disks->closed_data = data;
	disks->closing = 1;
	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++) {
		struct storage_controller *storage = disks->controllers.all[i].storage;

		for (unsigned lun = 0; storage && lun < DEFINITION_LUNS_MAX; lun++) {
			disks->closing++;
			if (storage_detach(storage, lun, disks_closed, disks))
				disks->closing--;
		}
	}
	disks_closed(disks);
}

/* The descriptors of a disk: its image, and the parents of that. Return: how many. */
static size_t disks_take_files(struct resources *resources, const struct definition_disk *disk,
			       int fds[static 1 + RESOURCES_PARENTS_MAX])
{
	char name[RESOURCES_NAME_MAX];
	size_t count = 0;

	resources_disk_name(disk->controller, disk->lun, name);
	while ((fds[count] = resources_take(resources, name)) >= 0 &&
	       ++count <= RESOURCES_PARENTS_MAX)
		resources_parent_name(disk->controller, disk->lun, (unsigned)count, name);
	return count;
}

int disk_know_changes(struct disk *disk, struct loop *loop, unsigned controller, unsigned lun,
		      int map, const struct changes_identity *opened, enum changes_loss *ret_loss)
{
	int r = disk_changes_new(disk, loop, map, opened, ret_loss);

	if (r == 0 && *ret_loss > CHANGES_NEW)
		log_warning("the next backup of disk %u:%u is a full one: %s", controller, lun,
			    changes_loss_text(*ret_loss));
	return r;
}

/* The service has a map of what changes of it, since there was a backup. */
static int disks_know_changes(struct disks *disks, struct resources *resources,
			      const struct definition_disk *disk,
			      const struct changes_identity *opened)
{
	struct disk_health *health = disk_health_find(disks->healths, disk->controller, disk->lun);
	char name[RESOURCES_NAME_MAX];
	enum changes_loss loss;
	int map;

	resources_changes_name(disk->controller, disk->lun, name);
	map = resources_take(resources, name);
	if (map < 0 || !health) {
		close_fdp(&map);
		return 0;
	}
	return disk_know_changes(disk_health_disk(health), disks->config->loop, disk->controller,
				 disk->lun, map, opened, &loss);
}

/* A guest without disks has a controller all the same: disks can be added later. */
static int disks_add(struct disks *disks, struct resources *resources, struct failure *failure)
{
	int fds[1 + RESOURCES_PARENTS_MAX];
	int r = disk_controllers_need(&disks->controllers,
				      &(struct definition_disk){ .lun = DEFINITION_IDE_DISKS });

	for (size_t i = 0; r >= 0 && i < disks->config->definition->disk_count; i++) {
		const struct definition_disk *disk = &disks->config->definition->disks[i];
		size_t count = disks_take_files(resources, disk, fds);
		struct changes_identity opened;

		changes_identify(count > 0 ? fds[0] : -1, &opened);
		r = disks_begin_with(disks, disk, fds, count, failure);
		if (r == 0)
			r = disks_know_changes(disks, resources, disk, &opened);
		if (r > 0)
			r = -EINVAL;
	}
	return r;
}

/* ---- How disks are ---- */

static void disks_tell_changed(void *data, unsigned controller, unsigned lun,
			       struct json_object *report)
{
	struct disks *disks = data;

	disks->config->callbacks->disk_changed(disks->config->data, controller, lun, report);
}

static void disks_tell_pause(void *data, const char *why)
{
	struct disks *disks = data;

	disks->config->callbacks->disk_pause(disks->config->data, why);
}

static void disks_tell_go_on(void *data)
{
	struct disks *disks = data;

	disks->config->callbacks->disk_go_on(disks->config->data);
}

static void disks_tell_stop(void *data, const char *why)
{
	struct disks *disks = data;

	disks->config->callbacks->disk_stop(disks->config->data, why);
}

static const struct disk_healths_callbacks disks_healths_callbacks = {
	.changed = disks_tell_changed,
	.pause = disks_tell_pause,
	.go_on = disks_tell_go_on,
	.stop = disks_tell_stop,
};

struct disk_healths *disks_healths(struct disks *disks)
{
	return disks->healths;
}

static int disks_refuse_lock(unsigned controller, unsigned lun, enum disk_lock what, int error,
			     struct failure *failure)
{
	if (error == -EOPNOTSUPP)
		return failure_set(failure, error,
				   "Disk %u:%u cannot be handed over: its image is not raw.",
				   controller, lun);
	if (error == -EAGAIN && what == DISK_LOCK_FIND)
		return failure_set(failure, error,
				   "The image of disk %u:%u is not the one that the VM has: nobody "
				   "has locked it.",
				   controller, lun);
	if (error == -EAGAIN)
		return failure_set(failure, error,
				   "The image of disk %u:%u is in use by somebody else.",
				   controller, lun);
	return failure_set(failure, error, "The image of disk %u:%u cannot be locked: %s.",
			   controller, lun, strerror(-error));
}

int disks_lock(struct disks *disks, enum disk_lock what, struct failure *failure)
{
	unsigned controller, lun;
	int r = disk_healths_lock(disks->healths, what, &controller, &lun);

	if (r == 0)
		return 0;
	disks_refuse_lock(controller, lun, what, r, failure);
	if (what == DISK_LOCK_TAKE)
		(void)!disk_healths_lock(disks->healths, DISK_LOCK_DROP, &controller, &lun);
	return r;
}

/* ---- All of them ---- */

static int disks_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	struct disks *disks = calloc(1, sizeof(*disks));
	int r;

	if (!disks)
		return -ENOMEM;
	disks->config = config;
	disks->controllers.config = config;
	*ret_device = disks;
	r = disk_healths_new(config->loop, &disks_healths_callbacks, disks, &disks->healths);
	if (r < 0)
		return r;
	r = disks_add(disks, config->resources, failure);
	if (r < 0)
		return failure_set(failure, r, "The disks cannot be attached: %s.", strerror(-r));
	return 0;
}

static void disks_free(void *device)
{
	struct disks *disks = device;

	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++)
		storage_controller_free(disks->controllers.all[i].storage);
	disk_healths_free(disks->healths);
	free(disks);
}

static void disks_resume(void *device)
{
	struct disks *disks = device;

	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++)
		if (disks->controllers.all[i].storage)
			storage_controller_resume(disks->controllers.all[i].storage);
	disk_healths_retry(disks->healths);
}

/* Nobody opens what is not offered. */
static void disks_reset(void *device)
{
	struct disks *disks = device;

	disk_controllers_power_on(&disks->controllers);
}

/* ---- Handing over ---- */

static int disk_hand_over(struct disks *disks, unsigned controller, unsigned lun,
			  struct handover *handover, struct failure *failure)
{
	struct disk_health *health = disk_health_find(disks->healths, controller, lun);
	char name[RESOURCES_NAME_MAX];
	int fd;

	if (!health)
		return 0;
	fd = disk_file_descriptor(disk_health_disk(health));
	if (fd < 0)
		return failure_set(failure, -ENOTSUP,
				   "Disk %u:%u cannot be handed over: only raw images can.",
				   controller, lun);
	resources_disk_name(controller, lun, name);
	return handover_add(handover, name, fd);
}

static int disks_hand_over(void *device, struct handover *handover, struct failure *failure)
{
	struct disks *disks = device;
	int r = 0;

	for (unsigned controller = 0; controller < DEFINITION_CONTROLLERS_MAX; controller++)
		for (unsigned lun = 0; r == 0 && lun < DEFINITION_LUNS_MAX; lun++)
			r = disk_hand_over(disks, controller, lun, handover, failure);
	return r;
}

/* ---- State ---- */

static void disks_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct disks *disks = device;

	device_quiet_begin(&disks->quiet, done, data);
	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++) {
		if (!disks->controllers.all[i].storage)
			continue;
		device_quiet_await(&disks->quiet);
		storage_controller_quiesce(disks->controllers.all[i].storage, QUIESCE_LIMIT_NS,
					   device_quiet_one, &disks->quiet);
	}
	device_quiet_one(&disks->quiet);
}

static int disks_save(void *device, struct state_writer *writer)
{
	struct disks *disks = device;
	char name[STATE_NAME_MAX + 1];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < DISK_CONTROLLERS_MAX; i++) {
		disk_controllers_record_name(i, name);
		if (disks->controllers.all[i].storage)
			r = storage_controller_save(disks->controllers.all[i].storage, name,
						    writer);
	}
	return r;
}

static int disks_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	struct disks *disks = device;
	char name[STATE_NAME_MAX + 1];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < DISK_CONTROLLERS_MAX; i++) {
		disk_controllers_record_name(i, name);
		if (disks->controllers.all[i].storage)
			r = device_restore_result(
				storage_controller_restore(disks->controllers.all[i].storage, name,
							   reader),
				name, failure);
	}
	return r;
}

/* ---- Reports ---- */

static void disks_sum(const struct disks *disks, struct storage_counters *ret_sum)
{
	*ret_sum = (struct storage_counters){ 0 };
	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++) {
		struct storage_counters one;

		if (!disks->controllers.all[i].storage)
			continue;
		storage_counters(disks->controllers.all[i].storage, &one);
		ret_sum->commands += one.commands;
		ret_sum->refused += one.refused;
		disk_counters_add(&ret_sum->disks, &one.disks);
	}
}

static void disks_status(void *device, struct json_object **tree)
{
	struct storage_counters sum = { 0 };

	if (device)
		disks_sum(device, &sum);
	json_add(tree, "storage",
		 json_make("commands", json_object_new_uint64(sum.commands), "refused",
			   json_object_new_uint64(sum.refused), "bytes_read",
			   json_object_new_uint64(sum.disks.bytes_read), "bytes_written",
			   json_object_new_uint64(sum.disks.bytes_written), "errors",
			   json_object_new_uint64(sum.disks.errors), NULL));
}

static void disks_inspect(void *device, struct json_object **tree)
{
	struct disks *disks = device;

	json_add(tree, "storage", disk_controllers_inspect(&disks->controllers));
}

static struct json_object *disks_report_latency(const struct disk_latency *latency)
{
	struct json_object *buckets = json_object_new_array();

	for (size_t i = 0; i < DISK_LATENCY_BUCKETS; i++)
		json_append(&buckets, json_object_new_uint64(latency->buckets[i]));
	return buckets;
}

static void disks_counters(void *device, struct json_object **tree)
{
	struct storage_counters storage;
	const struct disk_counters *disks = &storage.disks;

	disks_sum(device, &storage);
	json_add(tree, "disk",
		 json_make("reads", json_object_new_uint64(disks->reads), "writes",
			   json_object_new_uint64(disks->writes), "flushes",
			   json_object_new_uint64(disks->flushes), "unmaps",
			   json_object_new_uint64(disks->unmaps), "bytes_read",
			   json_object_new_uint64(disks->bytes_read), "bytes_written",
			   json_object_new_uint64(disks->bytes_written), "errors",
			   json_object_new_uint64(disks->errors), "read_latency",
			   disks_report_latency(&disks->read_latency), "read_latency_ns",
			   json_object_new_uint64(disks->read_latency.sum), "write_latency",
			   disks_report_latency(&disks->write_latency), "write_latency_ns",
			   json_object_new_uint64(disks->write_latency.sum), NULL));
}

const struct device_ops disks_ops = {
	.name = "storage",
	.kind = DEVICE_SYNTHETIC,
	.make = disks_make,
	.free = disks_free,
	.resume = disks_resume,
	.reset = disks_reset,
	.quiesce = disks_quiesce,
	.hand_over = disks_hand_over,
	.save = disks_save,
	.restore = disks_restore,
	.status = disks_status,
	.inspect = disks_inspect,
	.counters = disks_counters,
};

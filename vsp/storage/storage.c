/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A storage controller as the worker sees it. */
#include "vsp/storage/storage.h"

#include "vsp/storage/storvsp.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(STORAGE_LUN_MAX == SCSI_UNIT_MAX, "one number space");
_Static_assert(STORAGE_SERIAL_MAX == SCSI_SERIAL_SIZE - 1, "without the NUL");

#define REQUESTS_SIZE (STORVSP_REQUEST_MAX * sizeof(struct storvsp_request))

static void storage_changed(void *data)
{
	storvsp_enumerate(data);
}

static void storage_ejected(void *data, unsigned lun)
{
	struct storage_controller *controller = data;

	if (controller->options.ejected)
		controller->options.ejected(controller->options.data, lun);
}

static const struct scsi_target_callbacks storage_target_callbacks = {
	.changed = storage_changed,
	.ejected = storage_ejected,
};

struct guid storage_ide_instance(uint8_t channel, uint8_t device)
{
	return GUID(channel, device, 0x8899, 0, 0, 0, 0, 0, 0, 0, 0);
}

static uint16_t storage_sub_channel_max(struct vmbus *bus, const struct storage_options *options)
{
	if (options->kind != STORAGE_SCSI)
		return 0;
	if (options->sub_channel_max != STORAGE_SUB_CHANNELS_AUTOMATIC)
		return options->sub_channel_max;
	return (uint16_t)(vmbus_host(bus)->vp_count - 1);
}

int storage_controller_new(struct vmbus *bus, const struct storage_options *options,
			   struct storage_controller **ret_controller)
{
	struct storage_controller *controller;
	int r = -ENOMEM;

	controller = calloc(1, sizeof(*controller));
	if (!controller)
		return -ENOMEM;
	controller->bus = bus;
	controller->loop = vmbus_loop(bus);
	controller->options = *options;
	controller->sub_channel_max = storage_sub_channel_max(bus, options);
	controller->state = STORVSP_CLOSED;
	controller->iteration.run = storvsp_iteration;
	controller->quiesce_timer.operation.complete = storage_quiesce_over;
	list_init(&controller->iteration.link);
	device_channels_init(&controller->channels, bus, &storvsp_answer_ops);
	list_init(&controller->free);
	list_init(&controller->resets);
	controller->requests = mmap(NULL, REQUESTS_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (controller->requests == MAP_FAILED)
		goto error_free;
	r = scsi_target_new(&storage_target_callbacks, controller, &controller->target);
	if (r < 0)
		goto error_unmap;
	if (options->kind != STORAGE_UNOFFERED)
		r = storvsp_channel_new(controller, 0, &controller->primary);
	if (r < 0)
		goto error_target;
	*ret_controller = controller;
	return 0;

error_target:
	scsi_target_free(controller->target);
error_unmap:
	munmap(controller->requests, REQUESTS_SIZE);
error_free:
	free(controller);
	return r;
}

void storage_controller_free(struct storage_controller *controller)
{
	if (!controller)
		return;
	loop_assert_thread(controller->loop);
	assert(controller->channels.in_flight == 0);
	for (unsigned lun = 0; lun < STORAGE_LUN_MAX; lun++)
		(void)!scsi_target_detach(controller->target, lun, NULL, NULL);
	loop_deferred_cancel(&controller->iteration);
	if (controller->primary)
		vmbus_channel_free(controller->primary->channel);
	free(controller->primary);
	scsi_target_free(controller->target);
	munmap(controller->requests, REQUESTS_SIZE);
	free(controller);
}

/* Return: 0, STORAGE_E_SERIAL. */
static int storage_identify(const struct storage_controller *controller, unsigned lun,
			    const char *serial, struct scsi_identity *ret_identity)
{
	struct scsi_identity identity = { .machine = controller->options.machine };

	if (!serial) {
		scsi_identity_derive(&identity, &controller->options.instance, lun);
		*ret_identity = identity;
		return 0;
	}
	if (!*serial || strlen(serial) > STORAGE_SERIAL_MAX)
		return STORAGE_E_SERIAL;
	for (const char *at = serial; *at; at++)
		if (!isascii(*at) || !isprint(*at))
			return STORAGE_E_SERIAL;
	strcpy(identity.serial, serial);
	*ret_identity = identity;
	return 0;
}

static int storage_error(int r)
{
	static const int errors[] = {
		[SCSI_E_TAKEN] = STORAGE_E_TAKEN,
		[SCSI_E_ABSENT] = STORAGE_E_ABSENT,
		[SCSI_E_KIND] = STORAGE_E_KIND,
		[SCSI_E_PREVENTED] = STORAGE_E_PREVENTED,
	};

	return r < 0 ? r : errors[r];
}

int storage_attach(struct storage_controller *controller, unsigned lun,
		   const struct storage_unit *unit, struct disk *disk)
{
	struct scsi_identity identity;
	int r;

	r = storage_identify(controller, lun, unit->serial, &identity);
	if (r)
		return r;
	return storage_error(scsi_target_attach(controller->target, lun,
						unit->dvd ? SCSI_DEVICE_CDROM : SCSI_DEVICE_DISK,
						&identity, disk));
}

int storage_detach(struct storage_controller *controller, unsigned lun, void (*done)(void *data),
		   void *data)
{
	if (lun < STORAGE_LUN_MAX)
		(void)storvsp_abort(controller, NULL, (int)lun);
	return storage_error(scsi_target_detach(controller->target, lun, done, data));
}

int storage_change_medium(struct storage_controller *controller, unsigned lun, struct disk *disk,
			  bool force, void (*done)(void *data), void *data)
{
	return storage_error(
		scsi_target_change_medium(controller->target, lun, disk, force, done, data));
}

void storage_power_on(struct storage_controller *controller)
{
	scsi_target_power_on(controller->target);
}

void storage_power_lost(struct storage_controller *controller, unsigned lun)
{
	scsi_target_reset(controller->target, (int)lun);
}

int storage_measure(struct storage_controller *controller, unsigned lun)
{
	return storage_error(scsi_target_measure(controller->target, lun));
}

void storage_replace_disk(struct storage_controller *controller, unsigned lun, struct disk *disk)
{
	scsi_target_replace_disk(controller->target, lun, disk);
}

const struct disk *storage_disk(const struct storage_controller *controller, unsigned lun)
{
	return scsi_target_disk(controller->target, lun);
}

void storage_counters(const struct storage_controller *controller,
		      struct storage_counters *ret_counters)
{
	struct storage_counters counters = {
		.commands = controller->commands,
		.refused = controller->refused,
		.in_flight = controller->channels.in_flight,
		.sub_channels = device_channels_count_subs(&controller->channels),
	};

	scsi_target_counters(controller->target, &counters.disks);
	*ret_counters = counters;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks and DVD drives behind IDE channels. */
#include "vmwp/device/devices.h"

#include "common/base/state.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/device/master_table.h"
#include "vmwp/machine/machine.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS       2u
#define PIECE_SECTORS  128u /* of a request, in the buffer at a time */
#define PIECE_SIZE     (PIECE_SECTORS * IDE_SECTOR)
#define IDE_CONTROLLER 0u
#define SENSE_GONE     0x052500u /* an illegal request: there is no such unit */

struct ide_port {
	struct ide_disks *owner;
	unsigned channel;
	bool busy;
	bool abandoned; /* it is to be made again */
	struct ide_request request;
	struct disk *disk;
	struct master_cursor cursor;
	uint32_t done, piece; /* sectors */
	struct disk_request io;
	struct iovec iov;
	struct storage_packet *packet; /* for the commands of drives */
	uint8_t *buffer;               /* PIECE_SIZE bytes */
};

struct ide_disks {
	const struct device_config *config;
	struct buffer_pool *buffers;
	struct ide_port ports[CHANNELS];
	bool quiesced;
	bool waits; /* for `quiet` */
	struct device_quiet quiet;
};

static void port_look(struct ide_port *port);

static struct chipset *port_chipset(const struct ide_port *port)
{
	return machine_chipset(port->owner->config->machine);
}

static unsigned port_lun(const struct ide_port *port, unsigned device)
{
	return port->channel * IDE_DEVICES + device;
}

/* ---- Guest memory ---- */

/* Return: whether the buffer's piece was moved. */
static bool port_move(struct ide_port *port, bool to_guest)
{
	struct power_cycle *power_cycle = machine_power_cycle(port->owner->config->machine);

	return power_cycle &&
	       master_cursor_move(&port->cursor,
				  vid_partition_memory(power_cycle_partition(power_cycle)),
				  port->buffer, port->piece * IDE_SECTOR, to_guest);
}

/* ---- A request ---- */

static void port_end(struct ide_port *port, bool failed)
{
	port->busy = false;
	chipset_ide_complete(port_chipset(port), port->channel, port->request.serial, failed,
			     port->buffer);
}

static void port_give_back(struct ide_port *port)
{
	port->busy = false;
	chipset_ide_give_back(port_chipset(port), port->channel, port->request.serial);
}

static void port_step(struct ide_port *port)
{
	static const enum disk_operation operations[] = {
		[IDE_READ] = DISK_READ,
		[IDE_WRITE] = DISK_WRITE,
		[IDE_FLUSH] = DISK_FLUSH,
	};
	const struct ide_request *request = &port->request;

	port->piece = MIN(request->count - port->done, PIECE_SECTORS);
	if (request->operation == IDE_WRITE && request->dma && !port_move(port, false)) {
		port_end(port, true);
		return;
	}
	port->iov = (struct iovec){ port->buffer, port->piece * IDE_SECTOR };
	port->io.operation = operations[request->operation];
	port->io.offset =
		request->operation == IDE_FLUSH ? 0 : (request->sector + port->done) * IDE_SECTOR;
	port->io.size = port->piece * IDE_SECTOR;
	port->io.iov = &port->iov;
	port->io.iov_count = 1;
	disk_submit(port->disk, &port->io);
}

static void port_piece_done(struct ide_port *port, int result)
{
	const struct ide_request *request = &port->request;

	if (!chipset_ide_is_current(port_chipset(port), port->channel, request->serial)) {
		port->busy = false;
		return;
	}
	if (result != 0 && port->abandoned) {
		port_give_back(port);
		return;
	}
	if (result != 0 ||
	    (request->operation == IDE_READ && request->dma && !port_move(port, true))) {
		port_end(port, true);
		return;
	}
	port->done += port->piece;
	if (port->done == request->count)
		port_end(port, false);
	else if (port->abandoned)
		port_give_back(port);
	else
		port_step(port);
}

static void port_go_on(struct ide_port *port)
{
	struct ide_disks *disks = port->owner;

	port_look(port);
	if (!port->busy && disks->waits)
		device_quiet_one(&disks->quiet);
}

static void port_completed(struct disk_request *io, int result)
{
	struct ide_port *port = container_of(io, struct ide_port, io);

	port_piece_done(port, result);
	port_go_on(port);
}

/* ---- A drive's packet ---- */

static void port_packet_done(void *data)
{
	struct ide_port *port = data;
	struct ide_outcome outcome = { .sense = storage_packet_sense(port->packet) };

	port->busy = false;
	if (outcome.sense == 0)
		outcome.size = storage_packet_transferred(port->packet);
	if (outcome.sense != 0 && port->abandoned)
		chipset_ide_give_back(port_chipset(port), port->channel, port->request.serial);
	else
		chipset_ide_complete_packet(port_chipset(port), port->channel, port->request.serial,
					    &outcome, port->buffer);
	port_go_on(port);
}

static void port_begin_packet(struct ide_port *port)
{
	const struct ide_outcome gone = { .sense = SENSE_GONE };
	struct disks *disks = devices_get(port->owner->config->devices, DEVICE_STORAGE);
	unsigned unit, lun = port_lun(port, port->request.device);
	struct storage_controller *storage = disks_storage(disks, IDE_CONTROLLER, lun, &unit);

	if (storage) {
		storage_packet_execute(port->packet, storage, unit, port->request.packet,
				       port->buffer, IDE_BUFFER_SIZE);
		return;
	}
	port->busy = false;
	chipset_ide_complete_packet(port_chipset(port), port->channel, port->request.serial, &gone,
				    port->buffer);
}

/* ---- The next request ---- */

static struct disk *port_find_disk(const struct ide_port *port, unsigned device)
{
	struct disks *disks = devices_get(port->owner->config->devices, DEVICE_STORAGE);
	struct disk_health *health =
		disk_health_find(disks_healths(disks), IDE_CONTROLLER, port_lun(port, device));

	return health ? disk_health_disk(health) : NULL;
}

/* The disk may be another than the guest has been told of, or gone. */
static bool port_can(const struct ide_port *port)
{
	const struct ide_request *request = &port->request;
	const struct disk *disk = port->disk;
	uint64_t sectors = disk ? disk->size / IDE_SECTOR : 0;

	return disk && !disk->retiring && disk->sector_size == IDE_SECTOR &&
	       request->sector <= sectors && request->count <= sectors - request->sector &&
	       !(request->operation == IDE_WRITE && disk->read_only);
}

static void port_begin(struct ide_port *port)
{
	port->busy = true;
	port->abandoned = false;
	if (port->request.operation == IDE_PACKET) {
		port_begin_packet(port);
		return;
	}
	port->done = 0;
	port->cursor = master_cursor_at(port->request.table);
	port->disk = port_find_disk(port, port->request.device);
	if (port_can(port))
		port_step(port);
	else
		port_end(port, true);
}

static void port_look(struct ide_port *port)
{
	while (!port->busy && !port->owner->quiesced &&
	       chipset_ide_take(port_chipset(port), port->channel, &port->request, port->buffer))
		port_begin(port);
}

static void ide_disks_look(void *data)
{
	struct ide_disks *disks = data;

	for (unsigned i = 0; i < CHANNELS; i++)
		port_look(&disks->ports[i]);
}

/* ---- The row ---- */

static void ide_disks_show(struct ide_disks *disks, const struct definition_disk *definition)
{
	struct ide_port *port = &disks->ports[definition->lun / IDE_DEVICES];
	unsigned device = definition->lun % IDE_DEVICES;
	const struct disk *disk = port_find_disk(port, device);
	struct ide_disk shown = { .dvd = definition->drive == DEFINITION_DRIVE_DVD };

	if (!shown.dvd && (!disk || disk->sector_size != IDE_SECTOR))
		return;
	if (!shown.dvd)
		shown.sectors = disk->size / IDE_SECTOR;
	snprintf(shown.serial, sizeof(shown.serial), "%s",
		 definition->serial ? definition->serial : "");
	chipset_ide_set_disk(port_chipset(port), port->channel, device, &shown);
}

static int ide_disks_make_ports(struct ide_disks *disks)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct ide_port *port = &disks->ports[i];
		void *buffer;
		int r;

		if (posix_memalign(&buffer, HV_PAGE_SIZE, PIECE_SIZE) != 0)
			return -ENOMEM;
		memset(buffer, 0, PIECE_SIZE);
		port->buffer = buffer;
		port->owner = disks;
		port->channel = i;
		port->io.complete = port_completed;
		port->io.buffers = disks->buffers;
		r = storage_packet_new(port_packet_done, port, &port->packet);
		if (r < 0)
			return r;
	}
	return 0;
}

static int ide_disks_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	const struct definition *definition = config->definition;
	struct ide_disks *disks;
	int r;

	if (definition->generation != 1)
		return 0;
	disks = calloc(1, sizeof(*disks));
	if (!disks)
		return -ENOMEM;
	disks->config = config;
	*ret_device = disks;
	r = buffer_pool_new(CHANNELS, &disks->buffers);
	if (r == 0)
		r = ide_disks_make_ports(disks);
	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];

		if (disk->controller == IDE_CONTROLLER && disk->lun < CHANNELS * IDE_DEVICES)
			ide_disks_show(disks, disk);
	}
	if (r == 0)
		machine_on_disk_request(config->machine, ide_disks_look, disks);
	return r;
}

static void ide_disks_free(void *device)
{
	struct ide_disks *disks = device;

	machine_on_disk_request(disks->config->machine, NULL, NULL);
	for (unsigned i = 0; i < CHANNELS; i++) {
		storage_packet_free(disks->ports[i].packet);
		free(disks->ports[i].buffer);
	}
	buffer_pool_free(disks->buffers);
	free(disks);
}

static void ide_disks_resume(void *device)
{
	struct ide_disks *disks = device;

	disks->quiesced = false;
	disks->waits = false;
	ide_disks_look(disks);
}

/*
 * What the host cannot carry out now is the guest's to have carried out where it goes on, and so is
 * what has more than one piece: the guest waits for all of it, and may see the first twice.
 */
static void ide_disks_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct ide_disks *disks = device;

	disks->quiesced = true;
	device_quiet_begin(&disks->quiet, done, data);
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct ide_port *port = &disks->ports[i];

		if (!port->busy)
			continue;
		port->abandoned = true;
		disk_abandon(&port->io);
		storage_packet_abandon(port->packet);
		if (port->busy)
			device_quiet_await(&disks->quiet);
	}
	disks->waits = true;
	device_quiet_one(&disks->quiet);
}

/* Requests are the chipset's, and what is under way has ended. */
static int ide_disks_save(void *device, struct state_writer *writer)
{
	return 0;
}

static int ide_disks_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	return 0;
}

const struct device_ops ide_disks_ops = {
	.name = "ide",
	.kind = DEVICE_OF_MACHINE,
	.make = ide_disks_make,
	.free = ide_disks_free,
	.resume = ide_disks_resume,
	.quiesce = ide_disks_quiesce,
	.save = ide_disks_save,
	.restore = ide_disks_restore,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk on a synthetic SCSI controller.
 */
#include "guest-vsc/disk_client.h"
#include "guest-vsc/memory.h"

#define VPD_SERIAL         0x80
#define MODE_WRITE_PROTECT 0x80 /* in the device-specific parameter */

static uint8_t reply[512] __attribute__((aligned(4096)));

struct storvsc_request disk_client_command(const struct disk_client *disk, uint8_t opcode,
					   uint8_t cdb_length)
{
	return (struct storvsc_request){
		.lun = disk->lun,
		.cdb = { opcode },
		.cdb_length = cdb_length,
		.direction = STORVSP_DIRECTION_NONE,
	};
}

static struct storvsc_request transfer(const struct disk_client *disk, uint8_t opcode,
				       enum storvsp_direction direction, uint64_t sector,
				       void *buffer, uint32_t size)
{
	struct storvsc_request request = disk_client_command(disk, opcode, 16);

	request.direction = direction;
	request.buffer = buffer;
	request.size = size;
	scsi_put_64(request.cdb + 2, sector);
	scsi_put_32(request.cdb + 10, size / disk->sector_size);
	return request;
}

struct storvsc_request disk_client_read(const struct disk_client *disk, uint64_t sector,
					void *buffer, uint32_t size)
{
	return transfer(disk, SCSI_READ_16, STORVSP_DIRECTION_IN, sector, buffer, size);
}

struct storvsc_request disk_client_write(const struct disk_client *disk, uint64_t sector,
					 const void *buffer, uint32_t size)
{
	return transfer(disk, SCSI_WRITE_16, STORVSP_DIRECTION_OUT, sector, (void *)buffer, size);
}

struct storvsc_request disk_client_flush(const struct disk_client *disk)
{
	return disk_client_command(disk, SCSI_SYNCHRONIZE_CACHE_10, 10);
}

/* Executes a command that reads into `reply`. Return: 0, a code, or -1 if it failed. */
static int query(struct disk_client *disk, struct storvsc_request *request, uint32_t size)
{
	int r;

	memset(reply, 0, sizeof(reply));
	request->direction = STORVSP_DIRECTION_IN;
	request->buffer = reply;
	request->size = size;
	r = storvsc_client_execute(disk->storage, request);
	if (r)
		return r;
	return storvsc_request_succeeded(request) ? 0 : -1;
}

static int inquire(struct disk_client *disk)
{
	struct storvsc_request request = disk_client_command(disk, SCSI_INQUIRY, 6);
	int r;

	request.cdb[4] = 36;
	r = query(disk, &request, 36);
	return r ? r : reply[0] == SCSI_DEVICE_DISK ? 0 : -1;
}

static int inquire_serial(struct disk_client *disk)
{
	struct storvsc_request request = disk_client_command(disk, SCSI_INQUIRY, 6);
	int r;

	request.cdb[1] = 1;
	request.cdb[2] = VPD_SERIAL;
	request.cdb[4] = 4 + sizeof(disk->serial) - 1;
	r = query(disk, &request, request.cdb[4]);
	if (!r)
		memcpy(disk->serial, reply + 4, MIN(reply[3], sizeof(disk->serial) - 1));
	return r;
}

static int read_capacity(struct disk_client *disk)
{
	struct storvsc_request request = disk_client_command(disk, SCSI_SERVICE_ACTION_IN_16, 16);
	int r;

	request.cdb[1] = SCSI_READ_CAPACITY_16;
	scsi_put_32(request.cdb + 10, 32);
	r = query(disk, &request, 32);
	if (r)
		return r;
	disk->sectors = scsi_get_64(reply) + 1;
	disk->sector_size = scsi_get_32(reply + 8);
	/* Sizes are divided by it. */
	return disk->sectors && disk->sector_size ? 0 : -1;
}

static int sense_mode(struct disk_client *disk)
{
	struct storvsc_request request = disk_client_command(disk, SCSI_MODE_SENSE_6, 6);
	int r;

	request.cdb[2] = 0x3f; /* all pages */
	request.cdb[4] = 192;
	r = query(disk, &request, 192);
	disk->read_only = reply[2] & MODE_WRITE_PROTECT;
	return r;
}

int disk_client_open(struct disk_client *disk, struct storvsc_client *storage, uint8_t lun)
{
	int r;

	memset(disk, 0, sizeof(*disk));
	disk->storage = storage;
	disk->lun = lun;
	r = inquire(disk);
	if (!r)
		r = inquire_serial(disk);
	if (!r)
		r = read_capacity(disk);
	if (!r)
		r = sense_mode(disk);
	return r;
}

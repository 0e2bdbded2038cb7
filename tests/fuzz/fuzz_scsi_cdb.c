/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes SCSI commands on a disk, a DVD drive and numbers with nothing behind them.
 *
 * Input: records of a verb byte and what it takes. Every command must complete, and move no more
 * than its buffer holds; the sanitizers watch the rest.
 */
#include "common/base/loop.h"
#include "tests/fake/disk_memory.h"
#include "vsp/storage/scsi.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DISK_SIZE (1u << 20)
#define TURNS_MAX 100000

static struct loop *loop;
static bool completed;

static void require(bool condition)
{
	if (!condition)
		abort();
}

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static void changed(void *data)
{
}

static void ejected(void *data, unsigned lun)
{
}

static void complete(struct scsi_command *command)
{
	completed = true;
}

static struct disk *new_disk(uint32_t sector_size)
{
	struct disk *disk;
	int r = disk_memory_new(loop, DISK_SIZE, sector_size, &disk);

	require(r == 0);
	return disk;
}

static void attach(struct scsi_target *target, unsigned lun, uint8_t type)
{
	static const struct scsi_identity identity = { .serial = "FUZZ" };
	struct disk *disk = new_disk(type == SCSI_DEVICE_CDROM ? 2048 : 512);

	if (scsi_target_attach(target, lun, type, &identity, disk))
		disk_retire(disk, NULL, NULL);
}

static void change_medium(struct scsi_target *target, bool insert, bool force)
{
	struct disk *disk = insert ? new_disk(2048) : NULL;

	if (scsi_target_change_medium(target, 1, disk, force, NULL, NULL) && disk)
		disk_retire(disk, NULL, NULL);
}

static void execute(struct scsi_target *target, struct input *input)
{
	uint32_t size = (uint32_t)take(input) << (take(input) & 0x0b);
	uint8_t where = take(input);
	struct scsi_command command = {
		.path = where & 0x40 ? 1 : 0,
		.target = where & 0x20 ? 1 : 0,
		.lun = where & 3,
		.cdb_length = take(input) % (SCSI_CDB_SIZE + 1),
		.direction = take(input) % 3,
		.complete = complete,
	};
	struct iovec iov[2];
	uint8_t *data;
	unsigned turns;

	if (command.direction == SCSI_DATA_NONE)
		size = 0;
	/* Exactly as big as claimed, so that the sanitizer sees one byte too many. */
	data = malloc(size + !size);
	require(data);
	for (uint32_t i = 0; i < size; i++)
		data[i] = i < 64 ? take(input) : 0;
	for (unsigned i = 0; i < SCSI_CDB_SIZE; i++)
		command.cdb[i] = take(input);
	iov[0] = (struct iovec){ data, size / 2 };
	iov[1] = (struct iovec){ data + size / 2, size - size / 2 };
	command.iov = iov;
	command.iov_count = size ? 2 : 0;
	command.transfer_length = size;
	completed = false;
	scsi_target_execute(target, &command);
	for (turns = 0; !completed && turns < TURNS_MAX; turns++)
		(void)!loop_run_once(loop, 0);
	require(completed);
	require(command.transferred <= size || command.status != SCSI_GOOD);
	free(data);
}

static void step(struct scsi_target *target, struct input *input)
{
	uint8_t verb = take(input);

	switch (verb) {
	case 0xf0:
		change_medium(target, true, false);
		break;
	case 0xf1:
		change_medium(target, false, take(input) & 1);
		break;
	case 0xf2:
		scsi_target_reset(target, (int8_t)take(input));
		break;
	case 0xf3:
		scsi_target_power_on(target);
		break;
	case 0xf4:
		(void)!scsi_target_detach(target, take(input), NULL, NULL);
		break;
	case 0xf5:
		attach(target, 0, SCSI_DEVICE_DISK);
		break;
	case 0xf6:
		attach(target, 1, SCSI_DEVICE_CDROM);
		break;
	default:
		execute(target, input);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct scsi_target_callbacks callbacks = { changed, ejected };
	struct input input = { bytes, bytes + size };
	struct scsi_target *target;
	int r = loop ? 0 : loop_new(64, &loop);

	require(r == 0);
	r = scsi_target_new(&callbacks, NULL, &target);
	require(r == 0);
	attach(target, 0, SCSI_DEVICE_DISK);
	attach(target, 1, SCSI_DEVICE_CDROM);
	while (input.at < input.end)
		step(target, &input);
	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++)
		(void)!scsi_target_detach(target, lun, NULL, NULL);
	scsi_target_free(target);
	return 0;
}

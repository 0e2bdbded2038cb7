/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests of SCSI units share: a target without a controller, and commands in one call.
 */
#pragma once

#include "common/base/loop.h"
#include "tests/fake/disk_fault.h"
#include "tests/fake/disk_memory.h"
#include "tests/unit/unit.h"
#include "vsp/iov.h"
#include "vsp/storage/scsi.h"

#include <stdlib.h>
#include <string.h>

#define DATA_SIZE (1u << 20)

struct fixture {
	struct loop *loop;
	struct scsi_target *target;
	struct disk *disk; /* with faults, on memory */
	uint8_t *bytes;    /* of the disk */
	unsigned changed, ejected;
	struct scsi_command command; /* the last one */
	struct iovec iov[16];
	bool completed;
	uint8_t path, scsi_target, lun; /* where commands go */
	uint8_t data[DATA_SIZE];        /* the guest's buffer */
};

static inline void fixture_changed(void *data)
{
	((struct fixture *)data)->changed++;
}

static inline void fixture_ejected(void *data, unsigned lun)
{
	((struct fixture *)data)->ejected++;
}

static inline struct disk *fixture_disk(struct fixture *f, uint64_t size, uint32_t sector_size)
{
	struct disk *memory;

	assert_int_equal(disk_memory_new(f->loop, size, sector_size, &memory), 0);
	f->bytes = disk_memory_bytes(memory);
	return disk_fault_new(f->loop, memory);
}

static inline struct fixture *fixture_new(void)
{
	static const struct scsi_target_callbacks callbacks = { fixture_changed, fixture_ejected };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new(256, &f->loop), 0);
	assert_int_equal(scsi_target_new(&callbacks, f, &f->target), 0);
	return f;
}

static inline void fixture_run(struct fixture *f)
{
	assert_int_equal(loop_run_once(f->loop, 0), 0);
}

static inline void fixture_free(struct fixture *f)
{
	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++)
		(void)!scsi_target_detach(f->target, lun, NULL, NULL);
	scsi_target_free(f->target);
	loop_free(f->loop);
	free(f);
}

static inline void fixture_complete(struct scsi_command *command)
{
	container_of(command, struct fixture, command)->completed = true;
}

/* Starts a command on f->data, in three pieces so that vectors are exercised. */
static inline void fixture_start(struct fixture *f, enum scsi_direction direction, uint32_t size,
				 const void *cdb, uint8_t cdb_length)
{
	uint32_t third = size / 3 & ~511u;

	f->completed = false;
	f->iov[0] = (struct iovec){ f->data, third };
	f->iov[1] = (struct iovec){ f->data + third, third };
	f->iov[2] = (struct iovec){ f->data + 2 * third, size - 2 * third };
	f->command = (struct scsi_command){
		.path = f->path,
		.target = f->scsi_target,
		.lun = f->lun,
		.cdb_length = cdb_length,
		.direction = direction,
		.transfer_length = size,
		.iov = f->iov,
		.iov_count = 3,
		.complete = fixture_complete,
	};
	memcpy(f->command.cdb, cdb, cdb_length);
	scsi_target_execute(f->target, &f->command);
}

/* Runs a command to its end. Return: its status. */
static inline uint8_t fixture_execute(struct fixture *f, enum scsi_direction direction,
				      uint32_t size, const void *cdb, uint8_t cdb_length)
{
	fixture_start(f, direction, size, cdb, cdb_length);
	for (int i = 0; i < 100 && !f->completed; i++)
		fixture_run(f);
	assert_true(f->completed);
	return f->command.status;
}

#define CDB(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

#define expect_good(f, direction, size, cdb, moved)                                    \
	do {                                                                           \
		assert_int_equal(fixture_execute(f, direction, size, cdb), SCSI_GOOD); \
		assert_int_equal((f)->command.transferred, moved);                     \
	} while (0)

#define expect_sense(f, direction, size, cdb, expected)                                           \
	do {                                                                                      \
		assert_int_equal(fixture_execute(f, direction, size, cdb), SCSI_CHECK_CONDITION); \
		assert_int_equal((f)->command.sense[0] & 0x7f, 0x70);                             \
		assert_int_equal(SCSI_SENSE((f)->command.sense[2], (f)->command.sense[12],        \
					    (f)->command.sense[13]),                              \
				 expected);                                                       \
	} while (0)

static inline void fixture_fill(struct fixture *f, uint8_t seed, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		f->data[i] = (uint8_t)(seed + i * 7 + i / 512);
}

static inline int fixture_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* A disk of so many bytes, with sectors of 512, as unit 0. */
static inline int fixture_setup_disk(void **state, uint64_t size)
{
	static const struct scsi_identity identity = { .serial = "SERIAL-0" };
	struct fixture *f = fixture_new();

	f->disk = fixture_disk(f, size, 512);
	assert_int_equal(scsi_target_attach(f->target, 0, SCSI_DEVICE_DISK, &identity, f->disk), 0);
	*state = f;
	return 0;
}

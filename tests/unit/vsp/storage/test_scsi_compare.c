/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* COMPARE AND WRITE: what it compares and writes, and that nobody else writes meanwhile. */
#include "tests/unit/vsp/storage/scsi_fixture.h"

#include <errno.h>

#define DISK_SIZE (4u << 20)
#define BLOCKS    (DISK_SIZE / 512)
#define COMMANDS  6

static int setup(void **state)
{
	return fixture_setup_disk(state, DISK_SIZE);
}

#define COMPARE(flags, lba, blocks) \
	CDB(0x89, flags, 0, 0, 0, 0, 0, 0, (lba) >> 8, (lba)&0xff, 0, 0, 0, blocks, 0, 0)

static void test_compare_and_write(void **state)
{
	struct fixture *f = *state;
	const struct disk_fault_seen *writes = disk_fault_seen(f->disk, DISK_WRITE);

	for (uint32_t blocks = 1; blocks <= 128; blocks++) {
		const uint32_t size = blocks * 512;

		fixture_fill(f, (uint8_t)blocks, 2 * size);
		memcpy(f->bytes + 512, f->data, size);
		expect_good(f, SCSI_DATA_OUT, 2 * size, COMPARE(0, 1, (uint8_t)blocks), 2 * size);
		assert_memory_equal(f->bytes + 512, f->data + size, size);
		assert_false(writes->durable);
		/* Once more: what is there now is something else. The first difference is told. */
		memcpy(f->data, f->bytes + 512, size);
		f->data[size - 27] ^= 1;
		expect_sense(f, SCSI_DATA_OUT, 2 * size, COMPARE(0, 1, (uint8_t)blocks),
			     SCSI_SENSE_MISCOMPARE);
		assert_int_equal(scsi_get_32(f->command.sense + 3), size - 27);
		assert_int_equal(writes->count, blocks);
	}
	memcpy(f->data, f->bytes, 512);
	expect_good(f, SCSI_DATA_OUT, 1024, COMPARE(0x08, 0, 1), 1024);
	assert_true(writes->durable);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	expect_sense(f, SCSI_DATA_OUT, 1024, COMPARE(0x20, 0, 1), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 2 * 129 * 512, COMPARE(0, 0, 129), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 1024, COMPARE(0, BLOCKS, 1), SCSI_SENSE_LBA_RANGE);
	expect_sense(f, SCSI_DATA_OUT, 512, COMPARE(0, 0, 1), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_OUT, 2048, COMPARE(0, 0, 1), SCSI_SENSE_INVALID_FIELD);
	/* 256 blocks do not fit the field: nothing is compared, and that is no success. */
	expect_sense(f, SCSI_DATA_OUT, 2 * 256 * 512, COMPARE(0, 0, 0), SCSI_SENSE_INVALID_FIELD);
	expect_good(f, SCSI_DATA_NONE, 0, COMPARE(0, 0, 0), 0);
	assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count, 0);
	f->disk->read_only = true;
	expect_sense(f, SCSI_DATA_OUT, 1024, COMPARE(0, 0, 1), SCSI_SENSE_WRITE_PROTECTED);
}

static void test_errors_of_the_host(void **state)
{
	struct fixture *f = *state;

	memcpy(f->data, f->bytes, 512);
	disk_fault_fail(f->disk, DISK_READ, -EIO, 1);
	expect_sense(f, SCSI_DATA_OUT, 1024, COMPARE(0, 0, 1), SCSI_SENSE_READ_ERROR);
	disk_fault_fail(f->disk, DISK_WRITE, -EIO, 1);
	expect_sense(f, SCSI_DATA_OUT, 1024, COMPARE(0, 0, 1), SCSI_SENSE_WRITE_ERROR);
	expect_good(f, SCSI_DATA_OUT, 1024, COMPARE(0, 0, 1), 1024);
}

/* ---- Several commands together ---- */

struct together {
	struct scsi_command command;
	struct iovec iov;
	uint8_t data[1024];
	unsigned ended; /* as which, from 1 on */
};

static unsigned ended;

static void together_complete(struct scsi_command *command)
{
	container_of(command, struct together, command)->ended = ++ended;
}

static void together_start(struct fixture *f, struct together *one, uint32_t size, const void *cdb,
			   uint8_t cdb_length)
{
	one->iov = (struct iovec){ one->data, size };
	one->command = (struct scsi_command){
		.cdb_length = cdb_length,
		.direction = SCSI_DATA_OUT,
		.transfer_length = size,
		.iov = &one->iov,
		.iov_count = 1,
		.complete = together_complete,
	};
	memcpy(one->command.cdb, cdb, cdb_length);
	scsi_target_execute(f->target, &one->command);
}

#define WRITE_FIRST CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0)

static void settle(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		fixture_run(f);
}

/* Of four that swap 0 for their own number, one does, whatever is written between them. */
static void test_one_wins(void **state)
{
	static struct together all[COMMANDS];
	struct fixture *f = *state;
	unsigned good = 0;

	ended = 0;
	memset(all, 0, sizeof(all));
	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < 4; i++) {
		memset(all[i].data + 512, (int)i + 1, 512);
		together_start(f, &all[i], 1024, COMPARE(0, 0, 1));
	}
	memset(all[4].data, 9, 512);
	together_start(f, &all[4], 512, WRITE_FIRST);
	settle(f);
	/* The first reads; all others wait for its end, reads of others do not. */
	assert_int_equal(disk_fault_held(f->disk), 1);
	disk_fault_release(f->disk);
	settle(f);
	for (unsigned i = 0; i < 4; i++)
		good += all[i].command.status == SCSI_GOOD;
	assert_int_equal(good, 1);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(all[i].ended, i + 1);
	assert_int_equal(f->bytes[0], 9);
}

/* It begins when the writes that came before have ended. */
static void test_waits_for_writes(void **state)
{
	static struct together all[COMMANDS];
	struct fixture *f = *state;

	ended = 0;
	memset(all, 0, sizeof(all));
	disk_fault_hold(f->disk);
	memset(all[0].data, 7, 512);
	together_start(f, &all[0], 512, WRITE_FIRST);
	memset(all[1].data, 7, 512);
	memset(all[1].data + 512, 8, 512);
	together_start(f, &all[1], 1024, COMPARE(0, 0, 1));
	settle(f);
	assert_int_equal(disk_fault_held(f->disk), 1);
	assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count, 0);
	disk_fault_release(f->disk);
	settle(f);
	assert_int_equal(all[1].command.status, SCSI_GOOD);
	assert_int_equal(f->bytes[0], 8);
}

/* Those that wait can be aborted, and those behind them go on. */
static void test_abort(void **state)
{
	static struct together all[COMMANDS];
	struct fixture *f = *state;

	ended = 0;
	memset(all, 0, sizeof(all));
	disk_fault_hold(f->disk);
	together_start(f, &all[0], 1024, COMPARE(0, 0, 1));
	together_start(f, &all[1], 1024, COMPARE(0, 0, 1));
	memset(all[2].data, 5, 512);
	together_start(f, &all[2], 512, WRITE_FIRST);
	settle(f);
	scsi_command_abort(&all[1].command);
	assert_int_equal(all[1].ended, 1);
	assert_int_equal(all[1].command.status, SCSI_CHECK_CONDITION);
	/* The one under way ends with its next step. */
	scsi_command_abort(&all[0].command);
	assert_int_equal(all[0].ended, 0);
	disk_fault_release(f->disk);
	settle(f);
	assert_int_equal(all[0].ended, 2);
	assert_int_equal(all[0].command.status, SCSI_CHECK_CONDITION);
	assert_int_equal(all[2].command.status, SCSI_GOOD);
	assert_int_equal(f->bytes[0], 5);
}

/* The unit goes while some wait: all of them end. */
static void test_detach(void **state)
{
	static struct together all[COMMANDS];
	struct fixture *f = *state;

	ended = 0;
	memset(all, 0, sizeof(all));
	disk_fault_hold(f->disk);
	for (unsigned i = 0; i < COMMANDS; i++)
		together_start(f, &all[i], 1024, COMPARE(0, 0, 1));
	settle(f);
	assert_int_equal(scsi_target_detach(f->target, 0, NULL, NULL), 0);
	disk_fault_release(f->disk);
	settle(f);
	assert_int_equal(ended, COMMANDS);
	for (unsigned i = 1; i < COMMANDS; i++)
		assert_int_equal(all[i].command.status, SCSI_CHECK_CONDITION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_compare_and_write, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_errors_of_the_host, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_one_wins, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_waits_for_writes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_detach, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

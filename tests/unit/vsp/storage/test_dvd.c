/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DVD drives: with a disc and without, inserting and ejecting, and what only drives understand. */
#include "tests/unit/vsp/storage/scsi_fixture.h"

#define DISC_SIZE (2u << 20)
#define BLOCKS    (DISC_SIZE / 2048)

static const struct scsi_identity identity = { .serial = "DVD" };

static int setup_empty(void **state)
{
	struct fixture *f = fixture_new();

	assert_int_equal(scsi_target_attach(f->target, 0, SCSI_DEVICE_CDROM, &identity, NULL), 0);
	*state = f;
	return 0;
}

static void insert(struct fixture *f)
{
	f->disk = fixture_disk(f, DISC_SIZE, 2048);
	f->disk->read_only = true;
	assert_int_equal(scsi_target_change_medium(f->target, 0, f->disk, true, NULL, NULL), 0);
}

static int setup_loaded(void **state)
{
	struct fixture *f;

	setup_empty(state);
	f = *state;
	insert(f);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_MEDIUM_CHANGED);
	return 0;
}

static void test_inquiry(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 36, CDB(0x12, 0, 0, 0, 36, 0), 36);
	assert_int_equal(f->data[0], SCSI_DEVICE_CDROM);
	assert_int_equal(f->data[1], 0x80);
	assert_memory_equal(f->data + 8, "Msft    Virtual DVD-ROM 1.0 ", 28);
	/* A disk's pages need a disk; asking an empty drive for them must not hurt. */
	expect_good(f, SCSI_DATA_IN, 64, CDB(0x12, 1, 0, 0, 64, 0), 7);
	expect_sense(f, SCSI_DATA_IN, 64, CDB(0x12, 1, 0xb0, 0, 64, 0), SCSI_SENSE_INVALID_FIELD);
}

static void test_empty(void **state)
{
	struct fixture *f = *state;

	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_NO_MEDIUM);
	expect_sense(f, SCSI_DATA_IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		     SCSI_SENSE_NO_MEDIUM);
	expect_sense(f, SCSI_DATA_IN, 2048, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		     SCSI_SENSE_NO_MEDIUM);
	expect_sense(f, SCSI_DATA_IN, 12, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0),
		     SCSI_SENSE_NO_MEDIUM);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 8, 0), 8);
	assert_int_equal(scsi_get_16(f->data + 6), 0);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 8);
	assert_int_equal(f->data[5], 0);
	/* Ejecting what is not there is no event. */
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 2, 0), 0);
	assert_int_equal(f->ejected, 0);
	expect_good(f, SCSI_DATA_IN, 64, CDB(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 64, 0), 8 + 12 + 20);
}

static void test_reading(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4096; i++)
		f->bytes[5 * 2048 + i] = (uint8_t)(i * 3);
	expect_good(f, SCSI_DATA_IN, 4096, CDB(0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0), 4096);
	assert_memory_equal(f->data, f->bytes + 5 * 2048, 4096);
	expect_good(f, SCSI_DATA_IN, 4096, CDB(0xa8, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0), 4096);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 8);
	assert_int_equal(scsi_get_32(f->data), BLOCKS - 1);
	assert_int_equal(scsi_get_32(f->data + 4), 2048);
	expect_sense(f, SCSI_DATA_IN, 2048, CDB(0x28, 0, 0, 0, 4, 0, 0, 0, 1, 0),
		     SCSI_SENSE_LBA_RANGE);
	expect_sense(f, SCSI_DATA_OUT, 2048, CDB(0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0),
		     SCSI_SENSE_INVALID_OPCODE);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 5, 0, 0, 2, 0), 0);
}

static void test_table_of_contents(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0), 20);
	assert_memory_equal(f->data, "\x00\x12\x01\x01", 4);
	assert_memory_equal(f->data + 4, "\x00\x14\x01\x00\x00\x00\x00\x00", 8);
	assert_memory_equal(f->data + 12, "\x00\x14\xaa\x00\x00\x00\x04\x00", 8);
	/* Minute, second, frame: two seconds of lead-in. */
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x43, 2, 0, 0, 0, 0, 0, 0, 255, 0), 20);
	assert_memory_equal(f->data + 8, "\x00\x00\x02\x00", 4);
	assert_memory_equal(f->data + 16, "\x00\x00\x0f\x31", 4); /* 1024 + 150 frames */
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 0, 0, 0, 0, 0xaa, 0, 255, 0), 12);
	assert_int_equal(f->data[6], 0xaa);
	/* Sessions, by the new and the old way to ask. */
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 1, 0, 0, 0, 0, 0, 255, 0), 12);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40), 12);
	expect_good(f, SCSI_DATA_IN, 4, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0), 4);
	expect_sense(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 0, 0, 0, 0, 2, 0, 255, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 255, CDB(0x43, 0, 2, 0, 0, 0, 0, 0, 255, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_good(f, SCSI_DATA_IN, 34, CDB(0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0), 34);
	assert_int_equal(scsi_get_16(f->data), 32);
	expect_good(f, SCSI_DATA_IN, 36, CDB(0x52, 1, 0, 0, 0, 1, 0, 0, 36, 0), 36);
	assert_int_equal(f->data[2], 1);
	assert_int_equal(scsi_get_32(f->data + 24), BLOCKS);
	expect_good(f, SCSI_DATA_IN, 36, CDB(0x52, 0, 0, 0, 3, 255, 0, 0, 36, 0), 36);
	expect_sense(f, SCSI_DATA_IN, 36, CDB(0x52, 0, 0, 0, 4, 0, 0, 0, 36, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 36, CDB(0x52, 1, 0, 0, 0, 2, 0, 0, 36, 0),
		     SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 34, CDB(0x51, 1, 0, 0, 0, 0, 0, 0, 34, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	size_t offset, features = 0;

	expect_good(f, SCSI_DATA_IN, 4096, CDB(0x46, 0, 0, 0, 0, 0, 0, 16, 0, 0),
		    f->command.transferred);
	assert_int_equal(scsi_get_32(f->data), f->command.transferred - 4);
	assert_int_equal(scsi_get_16(f->data + 6), 0x10);
	for (offset = 8; offset < f->command.transferred; offset += 4u + f->data[offset + 3])
		features++;
	assert_int_equal(offset, f->command.transferred);
	assert_int_equal(features, 7);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x46, 2, 0, 0x1f, 0, 0, 0, 0, 255, 0), 16);
	assert_int_equal(scsi_get_16(f->data + 8), 0x1f);
	assert_int_equal(f->data[10] & 1, 1);
	expect_good(f, SCSI_DATA_IN, 255, CDB(0x46, 2, 0, 0x20, 0, 0, 0, 0, 255, 0), 8);
	expect_sense(f, SCSI_DATA_IN, 255, CDB(0x46, 3, 0, 0, 0, 0, 0, 0, 255, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static uint8_t poll_event(struct fixture *f)
{
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 8);
	assert_int_equal(scsi_get_16(f->data), 6);
	assert_int_equal(f->data[2], 4);
	return f->data[4];
}

static void test_events(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(poll_event(f), 2); /* of the medium inserted by the setup */
	assert_int_equal(f->data[5], 2);
	assert_int_equal(poll_event(f), 0);
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, false, NULL, NULL), 0);
	/* Without room for it the event is kept. */
	expect_good(f, SCSI_DATA_IN, 4, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4, 0), 4);
	expect_good(f, SCSI_DATA_IN, 8, CDB(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8, 0), 4);
	assert_int_equal(f->data[2], 0x80);
	assert_int_equal(poll_event(f), 3);
	assert_int_equal(f->data[5], 0);
	assert_int_equal(poll_event(f), 0);
	expect_sense(f, SCSI_DATA_IN, 8, CDB(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8, 0),
		     SCSI_SENSE_INVALID_FIELD);
}

static void test_guest_ejects(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1e, 0, 0, 0, 1, 0), 0);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 2, 0), SCSI_SENSE_REMOVAL_PREVENTED);
	assert_int_equal(f->ejected, 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1e, 0, 0, 0, 0, 0), 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 3, 0), 0); /* load */
	assert_int_equal(f->ejected, 0);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1b, 0, 0, 0, 2, 0), 0);
	assert_int_equal(f->ejected, 1);
	assert_null(scsi_target_disk(f->target, 0));
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_NO_MEDIUM);
	insert(f);
	expect_sense(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), SCSI_SENSE_MEDIUM_CHANGED);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0, 0, 0, 0, 0, 0), 0);
}

static void count_done(void *data)
{
	(*(unsigned *)data)++;
}

static void test_host_ejects(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	poll_event(f);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1e, 0, 0, 0, 1, 0), 0);
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, false, count_done, &done),
			 SCSI_E_PREVENTED);
	assert_int_equal(done, 0);
	assert_int_equal(poll_event(f), 1); /* please let go */
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, true, count_done, &done), 0);
	assert_int_equal(done, 1);
	/* A locked empty drive takes a medium. */
	f->disk = fixture_disk(f, DISC_SIZE, 2048);
	assert_int_equal(scsi_target_change_medium(f->target, 0, f->disk, false, NULL, NULL), 0);
	/* The lock goes with a reset. */
	scsi_target_reset(f->target, -1);
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, false, NULL, NULL), 0);
}

/* The disc leaves while it is being read: the read ends, and then the disc is closed. */
static void test_eject_under_a_read(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	disk_fault_hold(f->disk);
	fixture_start(f, SCSI_DATA_IN, 2048, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, true, count_done, &done), 0);
	assert_int_equal(done, 0);
	disk_fault_release(f->disk);
	while (!f->completed)
		fixture_run(f);
	assert_int_equal(f->command.status, SCSI_GOOD);
	assert_int_equal(done, 1);
	assert_int_equal(scsi_target_change_medium(f->target, 0, NULL, true, count_done, &done), 0);
	assert_int_equal(done, 2);
}

/* The same under a command of several steps, which must not go on with another disc. */
static void test_exchange_under_a_verify(void **state)
{
	struct fixture *f = *state;
	struct disk *old = f->disk;

	disk_fault_hold(old);
	fixture_start(f, SCSI_DATA_NONE, 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 1, 0, 0));
	insert(f);
	disk_fault_release(old);
	while (!f->completed)
		fixture_run(f);
	assert_int_equal(f->command.status, SCSI_CHECK_CONDITION);
	assert_int_equal(f->command.sense[12], 0x3a);
	assert_int_equal(disk_fault_seen(f->disk, DISK_READ)->count, 0);
}

static void test_capabilities(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 128, CDB(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128, 0), 28);
	assert_int_equal(f->data[8], 0x2a);
	assert_int_equal(f->data[10] & 0x08, 0x08);
	assert_int_equal(f->data[14], 0x29);
	expect_good(f, SCSI_DATA_NONE, 0, CDB(0x1e, 0, 0, 0, 1, 0), 0);
	expect_good(f, SCSI_DATA_IN, 128, CDB(0x1a, 0, 0x2a, 0, 128, 0), 24);
	assert_int_equal(f->data[10], 0x2b);
	expect_sense(f, SCSI_DATA_IN, 128, CDB(0x1a, 0, 0x08, 0, 128, 0), SCSI_SENSE_INVALID_FIELD);
}

/* Every opcode with every small CDB, on a drive with a disc and without: it ends. */
static void test_every_opcode_ends(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned opcode = 0; opcode < 256; opcode++) {
			for (unsigned fill = 0; fill < 256; fill += 15) {
				uint8_t cdb[16];

				memset(cdb, (int)fill, sizeof(cdb));
				cdb[0] = (uint8_t)opcode;
				fixture_execute(f, SCSI_DATA_IN, 4096, cdb, 16);
				fixture_execute(f, SCSI_DATA_OUT, 100, cdb, 16);
				fixture_execute(f, SCSI_DATA_NONE, 0, cdb, 16);
			}
		}
		insert(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inquiry, setup_empty, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup_empty, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_reading, setup_loaded, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_table_of_contents, setup_loaded,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup_loaded, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_events, setup_loaded, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_guest_ejects, setup_loaded, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_host_ejects, setup_loaded, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_eject_under_a_read, setup_loaded,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_exchange_under_a_verify, setup_loaded,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_capabilities, setup_empty, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_every_opcode_ends, setup_empty,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

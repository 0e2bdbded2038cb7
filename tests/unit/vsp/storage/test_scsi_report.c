/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk says that it can do, and that it says so truly. */
#include "tests/unit/vsp/storage/scsi_fixture.h"

#define DISK_SIZE (1u << 20)
#define BLOCKS    (DISK_SIZE / 512)

static int setup(void **state)
{
	return fixture_setup_disk(state, DISK_SIZE);
}

/* ---- REPORT SUPPORTED OPERATION CODES ---- */

#define REPORT(options, opcode, action) \
	CDB(0xa3, 0x0c, options, opcode, (action) >> 8, (action)&0xff, 0, 0, 4, 0, 0, 0)

/* Whether a command with this code is known to the unit, told by trying it. */
static bool answers(struct fixture *f, uint8_t opcode, uint8_t action)
{
	uint8_t cdb[16] = { opcode, action };

	if (fixture_execute(f, SCSI_DATA_NONE, 0, cdb, sizeof(cdb)) == SCSI_GOOD)
		return true;
	return SCSI_SENSE(f->command.sense[2], f->command.sense[12], f->command.sense[13]) !=
	       SCSI_SENSE_INVALID_OPCODE;
}

/* All codes that are answered are in the report, and no others. */
static void test_report_is_true(void **state)
{
	struct fixture *f = *state;
	bool reported[256] = { false };
	uint32_t size;

	expect_good(f, SCSI_DATA_IN, 1024, REPORT(0, 0, 0), 4 + 28 * 8);
	size = scsi_get_32(f->data);
	assert_int_equal(size, 28 * 8);
	for (uint32_t at = 4; at < 4 + size; at += 8) {
		const uint8_t *descriptor = f->data + at;

		assert_false(reported[descriptor[0]]);
		reported[descriptor[0]] = true;
		assert_int_equal(descriptor[5],
				 descriptor[0] == 0x9e || descriptor[0] == 0xa3 ? 1 : 0);
		assert_int_equal(scsi_get_16(descriptor + 2), descriptor[0] == 0x9e   ? 0x10
							      : descriptor[0] == 0xa3 ? 0x0c
										      : 0);
	}
	for (unsigned opcode = 0; opcode < 256; opcode++)
		assert_int_equal(answers(f, (uint8_t)opcode, 0), reported[opcode]);
}

static void test_report_one(void **state)
{
	struct fixture *f = *state;

	expect_good(f, SCSI_DATA_IN, 1024, REPORT(1, 0x28, 0), 14);
	assert_memory_equal(f->data, "\x00\x03\x00\x0a\x28\x18\xff\xff\xff\xff\x00\xff\xff\x00",
			    14);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(2, 0x9e, 0x10), 20);
	assert_memory_equal(f->data, "\x00\x03\x00\x10\x9e\x10", 6);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(3, 0x28, 0), 14);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(3, 0xa3, 0x0c), 16);
	/* With time-outs, which nobody knows. */
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(0x81, 0x28, 0), 14 + 12);
	assert_int_equal(f->data[1], 0x83);
	assert_memory_equal(f->data + 14, "\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(0x80, 0, 0), 4 + 28 * 20);
	assert_int_equal(f->data[4 + 5], 0x02);

	/* What there is not, and what is asked for in the wrong way. */
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(1, 0x7f, 0), 4);
	assert_memory_equal(f->data, "\x00\x01\x00\x00", 4);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(2, 0x9e, 0x12), 4);
	expect_good(f, SCSI_DATA_IN, 1024, REPORT(3, 0x9e, 0x110), 4);
	expect_sense(f, SCSI_DATA_IN, 1024, REPORT(1, 0x9e, 0), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 1024, REPORT(2, 0x28, 0), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 1024, REPORT(4, 0x28, 0), SCSI_SENSE_INVALID_FIELD);
	expect_sense(f, SCSI_DATA_IN, 1024, CDB(0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0),
		     SCSI_SENSE_INVALID_FIELD);
	/* Bounded by allocation length and buffer. */
	expect_good(f, SCSI_DATA_IN, 1024, CDB(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0), 6);
	expect_good(f, SCSI_DATA_IN, 9, REPORT(0, 0, 0), 9);
}

/* ---- What unmapped blocks read as ---- */

static void test_unmap_zeroes(void **state)
{
	static const struct {
		bool unmap, zeroes;
		uint8_t capacity, page;
	} expected[] = {
		{ false, false, 0x00, 0x00 },
		{ false, true, 0x00, 0x00 },
		{ true, false, 0x80, 0xe0 },
		{ true, true, 0xc0, 0xe4 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		f->disk->unmap = expected[i].unmap;
		f->disk->unmap_zeroes = expected[i].zeroes;
		expect_good(f, SCSI_DATA_IN, 32,
			    CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), 32);
		assert_int_equal(f->data[14], expected[i].capacity);
		expect_good(f, SCSI_DATA_IN, 255, CDB(0x12, 1, 0xb2, 0, 255, 0), 8);
		assert_int_equal(f->data[5], expected[i].page);
		expect_good(f, SCSI_DATA_IN, 1024, REPORT(1, 0x42, 0), expected[i].unmap ? 14 : 4);
	}
}

/* ---- MODE SELECT ---- */

static void put_descriptor(struct fixture *f, uint32_t blocks, uint32_t length)
{
	memset(f->data, 0, 12);
	f->data[3] = 8;
	scsi_put_32(f->data + 4, blocks);
	scsi_put_32(f->data + 8, length);
}

/* A disk keeps the blocks that it has, and does not say that it took others. */
static void test_block_descriptor(void **state)
{
	static const struct {
		uint32_t blocks, length;
		bool good;
	} tries[] = {
		{ 0, 512, true },           { BLOCKS, 512, true },  { UINT32_MAX, 512, true },
		{ 0, 4096, false },         { 0, 0, false },        { BLOCKS, 520, false },
		{ BLOCKS - 1, 512, false }, { 0, 0xffffff, false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		put_descriptor(f, tries[i].blocks, tries[i].length);
		if (tries[i].good)
			expect_good(f, SCSI_DATA_OUT, 12, CDB(0x15, 0x10, 0, 0, 12, 0), 12);
		else
			expect_sense(f, SCSI_DATA_OUT, 12, CDB(0x15, 0x10, 0, 0, 12, 0),
				     SCSI_SENSE_INVALID_PARAMETER);
	}
	/* The same in the longer form. */
	memset(f->data, 0, 16);
	f->data[7] = 8;
	scsi_put_32(f->data + 12, 4096);
	expect_sense(f, SCSI_DATA_OUT, 16, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 16, 0),
		     SCSI_SENSE_INVALID_PARAMETER);
	scsi_put_32(f->data + 12, 512);
	expect_good(f, SCSI_DATA_OUT, 16, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 16, 0), 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_report_is_true, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_report_one, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unmap_zeroes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_block_descriptor, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

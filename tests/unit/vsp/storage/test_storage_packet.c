/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands for a DVD drive that come on another way than VMBus. */
#include "tests/fake/disk_memory.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/storage/storage.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK    2048u
#define BLOCKS   64u
#define NO_UNIT  0x052500u
#define NO_DISK  0x023a00u
#define NEW_DISK 0x062800u

struct fixture {
	struct fake *fake;
	struct storage_controller *controller;
	struct storage_packet *packet;
	uint8_t *medium;
	uint8_t buffer[4 * BLOCK];
	unsigned done;
};

static void count_done(void *data)
{
	((struct fixture *)data)->done++;
}

static struct disk *make_medium(struct fixture *f)
{
	struct disk *disk;

	assert_int_equal(disk_memory_new(f->fake->loop, BLOCKS * BLOCK, BLOCK, &disk), 0);
	f->medium = disk_memory_bytes(disk);
	for (unsigned i = 0; i < BLOCKS * BLOCK; i++)
		f->medium[i] = (uint8_t)(i * 7 + i / BLOCK);
	return disk;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct storage_options options = { .instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) };

	assert_non_null(f);
	f->fake = fake_new(1, 32 << 20);
	assert_int_equal(storage_controller_new(f->fake->bus, &options, &f->controller), 0);
	assert_int_equal(storage_attach(f->controller, 3, &(struct storage_unit){ .dvd = true },
					make_medium(f)),
			 0);
	assert_int_equal(storage_packet_new(count_done, f, &f->packet), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	storage_controller_free(f->controller);
	storage_packet_free(f->packet);
	fake_free(f->fake);
	free(f);
	return 0;
}

/* Return: its sense. */
static uint32_t execute(struct fixture *f, unsigned lun, const char *cdb, size_t size)
{
	uint8_t bytes[STORAGE_PACKET_SIZE] = { 0 };
	unsigned before = f->done;

	memcpy(bytes, cdb, size);
	storage_packet_execute(f->packet, f->controller, lun, bytes, f->buffer, sizeof(f->buffer));
	for (unsigned i = 0; i < 100 && f->done == before; i++)
		assert_int_equal(loop_run_once(f->fake->loop, 1000000), 0);
	assert_int_equal(f->done, before + 1);
	return storage_packet_sense(f->packet);
}

static void blocks_are_read(void **state)
{
	struct fixture *f = *state;

	while (execute(f, 3, "\0", 1) >> 16 == 6)
		continue;
	assert_int_equal(execute(f, 3, "\x25", 1), 0);
	assert_int_equal(storage_packet_transferred(f->packet), 8);
	assert_memory_equal(f->buffer, "\0\0\0\x3f\0\0\x08\0", 8);
	assert_int_equal(execute(f, 3, "\x28\0\0\0\0\x05\0\0\x04", 9), 0);
	assert_int_equal(storage_packet_transferred(f->packet), 4 * BLOCK);
	assert_memory_equal(f->buffer, f->medium + 5 * BLOCK, 4 * BLOCK);
}

static void what_cannot_be_done(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(execute(f, 4, "\0", 1), NO_UNIT);
	while (execute(f, 3, "\0", 1) >> 16 == 6)
		continue;
	assert_int_equal(execute(f, 3, "\x28\0\0\0\0\x40\0\0\x01", 9) >> 16, 5);
	assert_int_equal(execute(f, 3, "\x2a\0\0\0\0\0\0\0\x01", 9) >> 16, 5); /* WRITE(10) */
}

static void media_change(void **state)
{
	struct fixture *f = *state;

	while (execute(f, 3, "\0", 1) >> 16 == 6)
		continue;
	assert_int_equal(storage_change_medium(f->controller, 3, NULL, false, NULL, NULL), 0);
	while (execute(f, 3, "\0", 1) >> 16 == 6)
		continue;
	assert_int_equal(execute(f, 3, "\0", 1), NO_DISK);
	assert_int_equal(storage_change_medium(f->controller, 3, make_medium(f), false, NULL, NULL),
			 0);
	assert_int_equal(execute(f, 3, "\0", 1), NEW_DISK);
	assert_int_equal(execute(f, 3, "\0", 1), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(blocks_are_read),
		TEST(what_cannot_be_done),
		TEST(media_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

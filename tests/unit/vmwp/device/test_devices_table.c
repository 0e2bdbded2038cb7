/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walks over a table of devices: which rows are asked, in which order, and what is said of them. */
#include "common/base/state.h"
#include "tests/unit/unit.h"
#include "vmwp/device/devices_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A table whose rows write down what they are asked for ---- */

struct row {
	unsigned id;
	struct device_ops ops;
};

static struct {
	struct row rows[_DEVICE_COUNT];
	const struct device_ops *table[_DEVICE_COUNT];
	char names[_DEVICE_COUNT][8]; /* "row-0" */
	unsigned made;                /* in the row's own order: the next id */
	char log[512];                /* "save 0, " */
	int result;                   /* of the operations of row `fails` */
	unsigned fails;
	struct devices *devices;
	struct state_writer writer;
	struct failure failure;

	/* Of rows that do not fall quiet at once. */
	void (*quiet_done)(void *data);
	void *quiet_data;
} fixture;

static void write_down(const char *what, unsigned id)
{
	size_t used = strlen(fixture.log);

	snprintf(fixture.log + used, sizeof(fixture.log) - used, "%s %u, ", what, id);
}

static int result_of(const struct row *row)
{
	return row->id == fixture.fails ? fixture.result : 0;
}

static int row_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	*ret_device = &fixture.rows[fixture.made++];
	return 0;
}

static int row_is_not_there(struct device_config *config, void **ret_device,
			    struct failure *failure)
{
	fixture.made++;
	*ret_device = NULL;
	return 0;
}

static int row_cannot_be_made(struct device_config *config, void **ret_device,
			      struct failure *failure)
{
	return -EMFILE;
}

static void row_free(void *device)
{
	write_down("free", ((struct row *)device)->id);
}

static void row_discard(void *device)
{
	write_down("discard", ((struct row *)device)->id);
}

static void row_quiesce_later(void *device, void (*done)(void *data), void *data)
{
	fixture.quiet_done = done;
	fixture.quiet_data = data;
}

static int row_save(void *device, struct state_writer *writer)
{
	const struct row *row = device;
	uint64_t state = row->id;

	write_down("save", row->id);
	if (result_of(row) < 0)
		return result_of(row);
	state_begin(writer, row->ops.name, 1);
	state_put(writer, &state, sizeof(state));
	state_end(writer);
	return 0;
}

static int row_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const struct row *row = device;
	struct state_record record;
	uint64_t state;

	write_down("restore", row->id);
	assert_int_equal(state_find(reader, row->ops.name, 1, &record), 0);
	assert_int_equal(state_get(&record, &state, sizeof(state)), 0);
	assert_int_equal(state, row->id);
	return result_of(row);
}

static int row_restore_nothing(void *device, struct state_reader *reader, struct failure *failure)
{
	return 0;
}

static int row_restored(void *device, struct failure *failure)
{
	const struct row *row = device;

	write_down("restored", row->id);
	if (result_of(row) < 0)
		failure_set(failure, result_of(row), "Row %u misses something.", row->id);
	return result_of(row);
}

/* A table of which only the first three rows stand for a device. */
static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	fixture.fails = _DEVICE_COUNT;
	for (unsigned id = 0; id < _DEVICE_COUNT; id++) {
		snprintf(fixture.names[id], sizeof(fixture.names[id]), "row-%u", id);
		fixture.rows[id].id = id;
		fixture.rows[id].ops = (struct device_ops){
			.name = fixture.names[id],
			.make = id < 3 ? row_make : row_is_not_there,
			.save = row_save,
			.restore = row_restore,
		};
		fixture.table[id] = &fixture.rows[id].ops;
	}
	state_writer_init(&fixture.writer);
	return 0;
}

static int teardown(void **state)
{
	devices_free(fixture.devices);
	state_writer_deinit(&fixture.writer);
	return 0;
}

static int make(void)
{
	static const struct device_config config;

	return devices_new_of(fixture.table, &config, &fixture.devices, &fixture.failure);
}

static int save(void)
{
	return devices_save(fixture.devices, &fixture.writer, &fixture.failure);
}

static int restore(void)
{
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, fixture.writer.bytes, fixture.writer.size), 0);
	return devices_restore(fixture.devices, &reader, &fixture.failure);
}

/* ---- Making and freeing ---- */

static void test_rows_are_freed_in_the_opposite_order(void **state)
{
	for (unsigned id = 0; id < 3; id++)
		fixture.rows[id].ops.free = row_free;
	assert_int_equal(make(), 0);
	devices_free(TAKE_PTR(fixture.devices));
	assert_string_equal(fixture.log, "free 2, free 1, free 0, ");
}

static void test_what_was_made_before_a_failure_is_discarded(void **state)
{
	for (unsigned id = 0; id < 3; id++)
		fixture.rows[id].ops.discard = row_discard;
	fixture.rows[2].ops.make = row_cannot_be_made;
	assert_int_equal(make(), -EMFILE);
	assert_null(fixture.devices);
	assert_string_equal(fixture.log, "discard 1, discard 0, ");
	assert_string_equal(fixture.failure.message,
			    "The device 'row-2' cannot be made: Too many open files.");
}

/* ---- Quiescing ---- */

static void set_true(void *data)
{
	*(bool *)data = true;
}

static void test_the_last_one_that_falls_quiet_is_waited_for(void **state)
{
	bool done = false;

	fixture.rows[1].ops.quiesce = row_quiesce_later;
	assert_int_equal(make(), 0);
	devices_quiesce(fixture.devices, set_true, &done);
	assert_false(done);
	fixture.quiet_done(fixture.quiet_data);
	assert_true(done);
}

/* ---- State ---- */

static void test_state_is_in_the_order_of_the_rows(void **state)
{
	const struct state_header *header;

	fixture.rows[0].ops.restored = fixture.rows[2].ops.restored = row_restored;
	assert_int_equal(make(), 0);
	assert_int_equal(save(), 0);
	assert_int_equal(state_writer_error(&fixture.writer), 0);
	assert_string_equal(fixture.log, "save 0, save 1, save 2, ");
	header = (const void *)fixture.writer.bytes;
	for (unsigned id = 0; id < 3; id++) {
		assert_int_equal(header->name_size, strlen(fixture.names[id]));
		assert_memory_equal(header + 1, fixture.names[id], header->name_size);
		header += 3; /* itself, the name and the payload, 8 bytes each */
	}
	assert_ptr_equal(header, fixture.writer.bytes + fixture.writer.size);

	fixture.log[0] = '\0';
	assert_int_equal(restore(), 0);
	assert_string_equal(fixture.log,
			    "restore 0, restore 1, restore 2, restored 0, restored 2, ");
	assert_string_equal(fixture.failure.message, "");
}

/* Nobody is asked for anything then; a row that stands for no device is no hindrance. */
static void test_all_that_cannot_be_saved_are_named(void **state)
{
	static const char names[] = "The state of these devices cannot be saved: row-0, row-2.";

	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (id != 1) {
			fixture.rows[id].ops.save = NULL;
			fixture.rows[id].ops.restore = NULL;
		}
	assert_int_equal(make(), 0);
	assert_int_equal(save(), -ENOTSUP);
	assert_string_equal(fixture.failure.message, names);
	fixture.failure.message[0] = '\0';
	assert_int_equal(restore(), -ENOTSUP);
	assert_string_equal(fixture.failure.message, names);
	assert_string_equal(fixture.log, "");
	assert_int_equal(fixture.writer.size, 0);
}

/* However many they are, and as long as names of devices get. */
static void test_no_name_is_cut_off(void **state)
{
	static char longest[_DEVICE_COUNT][16];

	for (unsigned id = 0; id < _DEVICE_COUNT; id++) {
		snprintf(longest[id], sizeof(longest[id]), "%s-%06u", "device", id);
		fixture.rows[id].ops = (struct device_ops){
			.name = longest[id],
			.make = row_make,
		};
	}
	assert_int_equal(make(), 0);
	assert_int_equal(save(), -ENOTSUP);
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		assert_non_null(strstr(fixture.failure.message, longest[id]));
	assert_int_equal(fixture.failure.message[strlen(fixture.failure.message) - 1], '.');
}

static void test_nothing_is_saved_after_a_failure(void **state)
{
	fixture.fails = 1;
	fixture.result = -EBUSY;
	assert_int_equal(make(), 0);
	assert_int_equal(save(), -EBUSY);
	assert_string_equal(fixture.log, "save 0, save 1, ");
	assert_string_equal(
		fixture.failure.message,
		"The state of the device 'row-1' cannot be saved: Device or resource busy.");
}

static void test_nothing_is_restored_after_a_failure(void **state)
{
	fixture.rows[0].ops.restored = row_restored;
	assert_int_equal(make(), 0);
	assert_int_equal(save(), 0);
	fixture.log[0] = '\0';
	fixture.fails = 1;
	fixture.result = -EINVAL;
	assert_int_equal(restore(), -EINVAL);
	assert_string_equal(fixture.log, "restore 0, restore 1, ");
	assert_string_equal(fixture.failure.message,
			    "The state of the device 'row-1' cannot be restored: "
			    "Invalid argument.");
}

/* Each has its state, and yet something is missing. */
static void test_the_last_check_fails(void **state)
{
	fixture.rows[0].ops.restored = fixture.rows[1].ops.restored = row_restored;
	assert_int_equal(make(), 0);
	assert_int_equal(save(), 0);
	fixture.log[0] = '\0';
	fixture.fails = 0;
	fixture.result = -EINVAL;
	for (unsigned id = 0; id < 3; id++)
		fixture.rows[id].ops.restore = row_restore_nothing;
	assert_int_equal(restore(), -EINVAL);
	assert_string_equal(fixture.log, "restored 0, ");
	assert_string_equal(fixture.failure.message, "Row 0 misses something.");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_are_freed_in_the_opposite_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_was_made_before_a_failure_is_discarded,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_one_that_falls_quiet_is_waited_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_is_in_the_order_of_the_rows, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_all_that_cannot_be_saved_are_named, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_name_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_saved_after_a_failure, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_restored_after_a_failure, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_last_check_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

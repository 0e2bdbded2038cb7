/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of devices as records: written, read, and refused where it is damaged. */
#include "common/base/state.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct state_writer writer;
	struct state_reader reader;
	struct state_record record;
};

/* "a", version 1: 5 bytes; "a record", version 3: two pieces; "empty", version 1. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const uint64_t number = UINT64_C(0x1122334455667788);

	state_writer_init(&f->writer);
	state_begin(&f->writer, "a", 1);
	state_put(&f->writer, "hello", 5);
	state_end(&f->writer);
	state_begin(&f->writer, "a record", 3);
	state_put(&f->writer, &number, sizeof(number));
	state_put(&f->writer, "xyz", 3);
	state_end(&f->writer);
	state_begin(&f->writer, "empty", 1);
	state_end(&f->writer);
	assert_int_equal(state_writer_error(&f->writer), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	state_writer_deinit(&f->writer);
	free(f);
	return 0;
}

static void records_are_found_by_their_names(void **state)
{
	struct fixture *f = *state;
	uint64_t number;
	char text[8];

	assert_int_equal(state_reader_init(&f->reader, f->writer.bytes, f->writer.size), 0);
	assert_int_equal(state_find(&f->reader, "a record", 3, &f->record), 0);
	assert_int_equal(f->record.version, 3);
	assert_int_equal(f->record.left, 11);
	assert_int_equal(state_get(&f->record, &number, sizeof(number)), 0);
	assert_true(number == UINT64_C(0x1122334455667788));
	assert_int_equal(state_get(&f->record, text, 4), STATE_E_INVALID);
	assert_memory_equal(state_take(&f->record, 3), "xyz", 3);
	assert_null(state_take(&f->record, 1));
	number = 0;
	assert_int_equal(state_open(&f->reader, "a record", 3, &number, sizeof(number), &f->record),
			 0);
	assert_true(number == UINT64_C(0x1122334455667788));
	assert_int_equal(f->record.left, 3);
	assert_int_equal(state_open(&f->reader, "a record", 2, &number, sizeof(number), &f->record),
			 STATE_E_VERSION);
	assert_int_equal(state_open(&f->reader, "empty", 1, &number, sizeof(number), &f->record),
			 STATE_E_INVALID);
	assert_int_equal(state_find(&f->reader, "a", 1, &f->record), 0);
	assert_int_equal(f->record.left, 5);
	assert_int_equal(state_find(&f->reader, "empty", 1, &f->record), 0);
	assert_int_equal(f->record.left, 0);
	assert_int_equal(state_find(&f->reader, "another", 1, &f->record), STATE_E_ABSENT);
	assert_int_equal(state_find(&f->reader, "a rec", 1, &f->record), STATE_E_ABSENT);
	assert_int_equal(state_find(&f->reader, "a record", 2, &f->record), STATE_E_VERSION);
}

static void nothing_is_a_state_too(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(state_reader_init(&f->reader, NULL, 0), 0);
	assert_int_equal(state_find(&f->reader, "a", 1, &f->record), STATE_E_ABSENT);
}

/* What is cut anywhere but between two records is refused; what is read then stays in the bytes. */
static void damaged_states_are_refused(void **state)
{
	struct fixture *f = *state;
	unsigned whole = 0;

	for (size_t size = 0; size <= f->writer.size; size++) {
		uint8_t *copy = malloc(size ? size : 1);

		memcpy(copy, f->writer.bytes, size);
		whole += state_reader_init(&f->reader, copy, size) == 0;
		free(copy);
	}
	assert_int_equal(whole, 4);
	for (size_t at = 0; at < f->writer.size; at++) {
		uint8_t *copy = malloc(f->writer.size);

		memcpy(copy, f->writer.bytes, f->writer.size);
		copy[at] ^= 0xff;
		if (state_reader_init(&f->reader, copy, f->writer.size) == 0 &&
		    state_find(&f->reader, "a record", 3, &f->record) == 0)
			while (state_take(&f->record, 1))
				;
		free(copy);
	}
}

static void a_version_of_none_is_refused(void **state)
{
	struct fixture *f = *state;

	f->writer.bytes[4] = 0;
	assert_int_equal(state_reader_init(&f->reader, f->writer.bytes, f->writer.size), 0);
	assert_int_equal(state_find(&f->reader, "a", 1, &f->record), STATE_E_VERSION);
}

static void too_much_is_told_in_the_end(void **state)
{
	struct fixture *f = *state;
	const size_t size = 16 << 20;
	uint8_t *bytes = calloc(1, size);

	state_begin(&f->writer, "large", 1);
	for (size_t i = 0; i < STATE_SIZE_MAX / size; i++)
		state_put(&f->writer, bytes, size);
	state_end(&f->writer);
	assert_int_equal(state_writer_error(&f->writer), -EFBIG);
	free(bytes);
}

static void first_refusal_is_kept(void **state)
{
	struct state_refusal refusal = { .text = "" };

	assert_int_equal(state_refuse(&refusal, "'%s' %s", "vp-0", "is missing"), -EINVAL);
	assert_int_equal(state_refuse(&refusal, "something else"), -EINVAL);
	assert_string_equal(refusal.text, "'vp-0' is missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_are_found_by_their_names, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_a_state_too, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_states_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_version_of_none_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much_is_told_in_the_end, setup, teardown),
		cmocka_unit_test(first_refusal_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

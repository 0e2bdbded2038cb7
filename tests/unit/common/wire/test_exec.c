/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames between vmctl and the agent of a guest. */
#include "common/wire/exec.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct exec_reader reader;

static int setup(void **state)
{
	memset(&reader, 0, sizeof(reader));
	return 0;
}

static void put(const void *bytes, size_t size)
{
	size_t room;
	uint8_t *at = exec_reader_room(&reader, &room);

	assert_true(room >= size);
	memcpy(at, bytes, size);
	exec_reader_fill(&reader, size);
}

static void test_bytes_that_come_one_by_one(void **state)
{
	static const uint8_t bytes[] = { EXEC_SIZE, 0, 4, 0, 24, 0, 80, 0, EXEC_RUN, 0, 0, 0 };
	struct exec_frame frame;
	struct exec_size size;

	for (size_t i = 0; i < 7; i++) {
		put(bytes + i, 1);
		assert_int_equal(exec_reader_next(&reader, &frame), EXEC_E_EMPTY);
	}
	put(bytes + 7, sizeof(bytes) - 7);
	assert_int_equal(exec_reader_next(&reader, &frame), 0);
	assert_int_equal(frame.type, EXEC_SIZE);
	assert_true(exec_frame_get(&frame, &size, sizeof(size)));
	assert_int_equal(size.rows, 24);
	assert_int_equal(size.columns, 80);
	assert_false(exec_frame_get(&frame, &size, 1));
	assert_int_equal(exec_reader_next(&reader, &frame), 0);
	assert_int_equal(frame.type, EXEC_RUN);
	assert_int_equal(frame.size, 0);
	assert_int_equal(exec_reader_next(&reader, &frame), EXEC_E_EMPTY);
}

static void test_the_largest(void **state)
{
	static uint8_t bytes[sizeof(struct exec_header) + EXEC_PAYLOAD_MAX] = {
		EXEC_INPUT, 0, EXEC_PAYLOAD_MAX & 0xff, EXEC_PAYLOAD_MAX >> 8
	};
	struct exec_frame frame;

	for (unsigned i = 0; i < 5; i++) {
		put(bytes, 100);
		assert_int_equal(exec_reader_next(&reader, &frame), EXEC_E_EMPTY);
		put(bytes + 100, sizeof(bytes) - 100);
		assert_int_equal(exec_reader_next(&reader, &frame), 0);
		assert_int_equal(frame.size, EXEC_PAYLOAD_MAX);
	}
}

static void test_what_is_no_frame(void **state)
{
	static const uint8_t headers[][4] = {
		{ EXEC_INPUT, 1, 0, 0 },
		{ EXEC_INPUT, 0, 1, EXEC_PAYLOAD_MAX >> 8 },
		{ EXEC_INPUT, 0, 0xff, 0xff },
	};
	struct exec_frame frame;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		setup(state);
		put(headers[i], sizeof(headers[i]));
		assert_int_equal(exec_reader_next(&reader, &frame), EXEC_E_INVALID);
		assert_int_equal(exec_reader_next(&reader, &frame), EXEC_E_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bytes_that_come_one_by_one, setup),
		cmocka_unit_test_setup(test_the_largest, setup),
		cmocka_unit_test_setup(test_what_is_no_frame, setup),
	};

	return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of tiles. */
#include "tests/unit/unit.h"
#include "vmms/screen/tiles.h"

static unsigned count_tiles(struct tiles tiles)
{
	unsigned row, first, count, all = 0;

	while (tiles_take_run(&tiles, &row, &first, &count))
		all += count;
	return all;
}

static void a_rectangle_touches_tiles(void **state)
{
	static const struct {
		uint32_t x1, y1, x2, y2;
		unsigned count;
	} rows[] = {
		{ 0, 0, 1, 1, 1 },
		{ 63, 63, 64, 64, 1 },
		{ 63, 63, 65, 65, 4 },
		{ 64, 0, 128, 64, 1 },
		{ 0, 0, 4096, 4096, 64 * 64 },
		{ 0, 0, UINT32_MAX, UINT32_MAX, 64 * 64 },
		{ 4095, 4095, 4096, 4096, 1 },
		{ 4096, 0, 5000, 5000, 0 },
		{ 0, 4096, 5000, 5000, 0 },
		{ UINT32_MAX, UINT32_MAX, 0, 0, 0 },
		{ 5, 5, 5, 6, 0 },
		{ 5, 6, 6, 6, 0 },
		{ 100, 0, 50, 64, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tiles tiles = { 0 };

		tiles_add(&tiles, rows[i].x1, rows[i].y1, rows[i].x2, rows[i].y2);
		assert_int_equal(count_tiles(tiles), rows[i].count);
		assert_int_equal(tiles_is_empty(&tiles), rows[i].count == 0);
	}
}

static void runs_are_counted_and_taken(void **state)
{
	struct tiles tiles = { 0 };
	unsigned row, first, count;

	tiles_add(&tiles, 0, 0, 64, 64);
	tiles_add(&tiles, 128, 0, 4096, 64);
	tiles_add(&tiles, 0, 640, 4096, 700);
	assert_int_equal(tiles_count_runs(&tiles), 3);
	assert_true(tiles_take_run(&tiles, &row, &first, &count));
	assert_true(row == 0 && first == 0 && count == 1);
	assert_int_equal(tiles_count_runs(&tiles), 2);
	assert_true(tiles_take_run(&tiles, &row, &first, &count));
	assert_true(row == 0 && first == 2 && count == 62);
	assert_true(tiles_take_run(&tiles, &row, &first, &count));
	assert_true(row == 10 && first == 0 && count == 64);
	assert_false(tiles_take_run(&tiles, &row, &first, &count));
	assert_int_equal(tiles_count_runs(&tiles), 0);
}

static void what_lies_beyond_is_cut_off(void **state)
{
	struct tiles tiles = { 0 }, more = { 0 };

	tiles_add(&tiles, 0, 0, 4096, 4096);
	tiles_cut(&tiles, 65, 128);
	assert_int_equal(count_tiles(tiles), 4);
	tiles_add(&more, 0, 0, 200, 10);
	tiles_add_all(&tiles, &more);
	assert_int_equal(count_tiles(tiles), 6);
	tiles_cut(&tiles, 0, 0);
	assert_true(tiles_is_empty(&tiles));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rectangle_touches_tiles),
		cmocka_unit_test(runs_are_counted_and_taken),
		cmocka_unit_test(what_lies_beyond_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

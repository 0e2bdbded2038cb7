/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What moves of a VM: which pages are to be sent, and records and what is refused of them. */
#include "vmwp/state/move_pages.h"
#include "vmwp/state/move_stream.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define PAGE       MOVE_PAGE_SIZE
#define LOW_PAGES  70u /* more than a word of the bitmap, and no multiple */
#define HIGH_GPA   (1u << 20)
#define HIGH_PAGES 3u

static struct vid_memory *make_memory(void)
{
	struct vid_memory *memory;

	assert_int_equal(vid_memory_new(&memory), 0);
	assert_int_equal(vid_memory_add(memory,
					(struct vid_memory_region){ GPA(0), LOW_PAGES * PAGE },
					VID_MEMORY_SMALL, false),
			 0);
	assert_int_equal(
		vid_memory_add(memory,
			       (struct vid_memory_region){ GPA(HIGH_GPA), HIGH_PAGES * PAGE },
			       VID_MEMORY_SMALL, false),
		0);
	return memory;
}

static void expect(struct move_pages *pages, uint64_t gpa, uint32_t count, uint32_t taken)
{
	uint64_t found;

	assert_int_equal(move_pages_next(pages, MOVE_PAGES_MAX, &found), count);
	assert_int_equal(found, gpa);
	move_pages_take(pages, taken);
}

static void expect_none(struct move_pages *pages)
{
	uint64_t gpa;

	assert_int_equal(move_pages_next(pages, MOVE_PAGES_MAX, &gpa), 0);
	assert_int_equal(move_pages_left(pages), 0);
}

static void all_pages_are_sent_once(void **state)
{
	struct vid_memory *memory = make_memory();
	struct move_pages *pages;
	uint64_t gpa;

	assert_int_equal(move_pages_new(memory, &pages), 0);
	assert_int_equal(move_pages_left(pages), LOW_PAGES + HIGH_PAGES);
	assert_int_equal(move_pages_next(pages, 2, &gpa), 2);
	expect(pages, 0, LOW_PAGES, 66);
	expect(pages, 66ul * PAGE, 4, 4);
	assert_int_equal(move_pages_left(pages), HIGH_PAGES);
	expect(pages, HIGH_GPA, HIGH_PAGES, HIGH_PAGES);
	expect_none(pages);
	move_pages_free(pages);
	vid_memory_free(memory);
}

static void changed_pages_are_sent_again(void **state)
{
	struct vid_memory *memory = make_memory();
	struct move_pages *pages;

	assert_int_equal(move_pages_new(memory, &pages), 0);
	assert_int_equal(vid_memory_track_dirty(memory, true), 0);
	expect(pages, 0, LOW_PAGES, 10);
	vid_memory_mark_written(memory, GPA(4 * PAGE + 100), PAGE); /* two pages, that were sent */
	vid_memory_mark_written(memory, GPA(20 * PAGE), 1);         /* one that is to be sent */
	assert_int_equal(move_pages_fetch(pages), 0);
	assert_int_equal(move_pages_left(pages), LOW_PAGES + HIGH_PAGES - 10 + 2);
	expect(pages, 4ul * PAGE, 2, 2);
	expect(pages, 10ul * PAGE, LOW_PAGES - 10, LOW_PAGES - 10);
	expect(pages, HIGH_GPA, HIGH_PAGES, HIGH_PAGES);
	expect_none(pages);
	vid_memory_mark_written(memory, GPA(HIGH_GPA + 2 * PAGE), PAGE);
	vid_memory_mark_written(memory, GPA(69ul * PAGE), PAGE);
	assert_int_equal(move_pages_fetch(pages), 0);
	expect(pages, 69ul * PAGE, 1, 1);
	expect(pages, HIGH_GPA + 2 * PAGE, 1, 1);
	expect_none(pages);
	move_pages_free(pages);
	vid_memory_free(memory);
}

static void memory_that_grows_is_noticed(void **state)
{
	struct vid_memory *memory = make_memory();
	struct move_pages *pages;

	assert_int_equal(move_pages_new(memory, &pages), 0);
	assert_true(move_pages_fit(pages));
	assert_int_equal(vid_memory_add(memory,
					(struct vid_memory_region){ GPA(2 * HIGH_GPA), PAGE },
					VID_MEMORY_SMALL, false),
			 0);
	assert_false(move_pages_fit(pages));
	move_pages_free(pages);
	vid_memory_free(memory);
}

static void records_are_checked(void **state)
{
	static const struct {
		struct move_header header;
		bool good;
	} cases[] = {
		{ { .type = MOVE_BEGIN, .size = 64 }, true },
		{ { .type = MOVE_BEGIN, .size = (1u << 20) + 1 }, false },
		{ { .type = MOVE_PAGES, .size = 2 * PAGE, .page_count = 2, .gpa = PAGE }, true },
		{ { .type = MOVE_PAGES, .size = 2 * PAGE, .page_count = 1 }, false },
		{ { .type = MOVE_PAGES, .size = PAGE, .page_count = 1, .gpa = 1 }, false },
		{ { .type = MOVE_PAGES, .size = 0, .page_count = 0 }, false },
		{ { .type = MOVE_PAGES,
		    .size = (MOVE_PAGES_MAX + 1) * PAGE,
		    .page_count = MOVE_PAGES_MAX + 1 },
		  false },
		{ { .type = MOVE_ZEROS, .page_count = UINT32_MAX }, true },
		{ { .type = MOVE_ZEROS, .page_count = 1, .size = 1 }, false },
		{ { .type = MOVE_STATE, .size = STATE_SIZE_MAX, .flags = MOVE_FLAG_RUNS }, true },
		{ { .type = MOVE_STATE, .size = 8, .flags = 2 }, false },
		{ { .type = MOVE_STATE, .size = 8, .page_count = 1 }, false },
		{ { .type = MOVE_GO }, true },
		{ { .type = MOVE_GO, .size = 1 }, false },
		{ { .type = MOVE_GO, .flags = MOVE_FLAG_RUNS }, false },
		{ { .type = MOVE_REFUSED, .size = MOVE_TEXT_MAX }, true },
		{ { .type = MOVE_REFUSED, .size = MOVE_TEXT_MAX + 1 }, false },
		{ { .type = _MOVE_NONE }, false },
		{ { .type = _MOVE_TYPE_COUNT }, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct move_header header = cases[i].header;
		struct state_refusal refusal = { .text = "" };
		int r;

		header.magic = MOVE_MAGIC;
		header.version = MOVE_VERSION;
		r = move_header_check(&header, &refusal);
		if ((r == 0) != cases[i].good)
			fail_msg("case %zu: %d (%s)", i, r, refusal.text);
		header.version++;
		assert_int_equal(move_header_check(&header, &refusal), -EINVAL);
	}
}

static void checksums_cover_all(void **state)
{
	struct state_refusal refusal = { .text = "" };
	struct move_header header = { .gpa = PAGE, .page_count = 1 };
	uint8_t page[PAGE] = { 1, 2, 3 };

	move_header_fill(&header, MOVE_PAGES, page, sizeof(page));
	assert_int_equal(move_header_check(&header, &refusal), 0);
	assert_int_equal(move_header_check_bytes(&header, page, &refusal), 0);
	header.gpa = 2ul * PAGE;
	assert_int_equal(move_header_check_bytes(&header, page, &refusal), -EINVAL);
	header.gpa = PAGE;
	page[PAGE - 1] = 1;
	assert_int_equal(move_header_check_bytes(&header, page, &refusal), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pages_are_sent_once),
		cmocka_unit_test(changed_pages_are_sent_again),
		cmocka_unit_test(memory_that_grows_is_noticed),
		cmocka_unit_test(records_are_checked),
		cmocka_unit_test(checksums_cover_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a job is, in a line. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/job.h"

#include <string.h>

static void test_progress(void **state)
{
	static const struct {
		uint64_t done, total;
		unsigned seconds;
		const char *text;
	} cases[] = {
		{ 0, 0, 7, "7 s" },
		{ 0, 10, 7, "[                              ]   0%  0 B of 10 B" },
		{ 5, 10, 7, "[###############               ]  50%  5 B of 10 B" },
		{ 10, 10, 7, "[##############################] 100%  10 B of 10 B" },
		/* What a guest makes of it is no reason to draw beyond the line. */
		{ 11, 10, 7, "[##############################] 100%  10 B of 10 B" },
		{ 1 << 20, 1 << 30, 7,
		  "[                              ]   0%  1024 KiB of 1024 MiB" },
		{ UINT64_MAX, UINT64_MAX, 7,
		  "[##############################] 100%  16777215 TiB of 16777215 TiB" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[JOB_LINE_SIZE];

		job_format_progress(cases[i].done, cases[i].total, cases[i].seconds, text);
		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_progress) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

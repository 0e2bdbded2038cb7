/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said of a guest that has not found VMBus. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vm/guest_life.h"

#include <stdbool.h>
#include <string.h>

static void test_quiet(void **state)
{
	char text[GUEST_LIFE_TEXT];

	guest_life_describe("console=ttyS0", 59999999, text);
	assert_string_equal(text, "");
	guest_life_describe("console=ttyS0", 60000000, text);
	assert_non_null(strstr(text, "no sign of life: it has run for 60 seconds"));
	guest_life_describe(NULL, 61000000, text);
	assert_non_null(strstr(text, "61 seconds"));
	guest_life_describe(NULL, UINT64_MAX, text);
	assert_non_null(strstr(text, "'vmctl console --log'"));
}

static void test_without_acpi(void **state)
{
	static const struct {
		const char *line;
		bool told;
	} cases[] = {
		{ "acpi=off", true },
		{ "console=ttyS0  acpi=off root=/dev/sda", true },
		{ "hint.acpi.0.disabled=1", true },
		{ "acpi=offline", false },
		{ "noacpi=off", false },
		{ "pci=noacpi", false },
		{ " ", false },
		{ "", false },
	};
	char text[GUEST_LIFE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		guest_life_describe(cases[i].line, 0, text);
		assert_int_equal(strstr(text, "without ACPI") != NULL, cases[i].told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_without_acpi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The form of vmms.conf, and limits as they are written there. */
#include "tests/unit/unit.h"
#include "vmms/base/settings_file.h"
#include "vmms/units/quota.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char heard[1024];

static int found(void *data, const char *name, const char *value, unsigned line)
{
	size_t used = strlen(heard);

	snprintf(heard + used, sizeof(heard) - used, "%u:%s:%s;", line, name, value);
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static int parse(const char *text, size_t size, unsigned *ret_line)
{
	char buffer[256];

	assert_true(size < sizeof(buffer));
	memcpy(buffer, text, size);
	buffer[size] = '\0';
	heard[0] = '\0';
	return settings_file_parse(buffer, size, found, NULL, ret_line);
}

static void test_good(void **state)
{
	static const struct {
		const char *text, *expected;
	} good[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "# a = b\n\t#\n", "" },
		{ "a=b", "1:a:b;" },
		{ "a = b\n\n  user-vms =  3 \t\r\n", "1:a:b;3:user-vms:3;" },
		{ "a =\n", "1:a:;" },
		{ "a = b = c # d\n", "1:a:b = c # d;" },
	};
	unsigned line = 0;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse(good[i].text, strlen(good[i].text), &line), 0);
		assert_string_equal(heard, good[i].expected);
	}
	assert_int_equal(line, 0);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		unsigned line;
	} bad[] = {
		{ "a", 1, 1 },         { "[section]\n", 10, 1 }, { "a=b\n= c\n", 8, 2 },
		{ "a b = c\n", 8, 1 }, { "A=b\n", 4, 1 },        { "a=b\nc=\0d\ne=f\n", 13, 2 },
		{ "\0", 1, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned line = 0;

		assert_int_equal(parse(bad[i].text, bad[i].size, &line), -EINVAL);
		assert_int_equal(line, bad[i].line);
	}
}

static void test_the_first_that_is_refused(void **state)
{
	unsigned line = 0;

	assert_int_equal(parse("a=b\nstop=1\nc\n", 13, &line), 7);
	assert_string_equal(heard, "1:a:b;2:stop:1;");
}

static void test_limits(void **state)
{
	uint64_t limit = 1;

	assert_int_equal(quota_parse(QUOTA_VMS, "none", &limit), 0);
	assert_int_equal(limit, 0);
	assert_int_equal(quota_parse(QUOTA_MEMORY, "16G", &limit), 0);
	assert_int_equal(limit, UINT64_C(16) << 30);
	assert_int_equal(quota_parse(QUOTA_PROCESSORS, "16", &limit), 0);
	assert_int_equal(limit, 16);
	assert_int_equal(quota_parse(QUOTA_PROCESSORS, "16G", &limit), -EINVAL);
	assert_int_equal(quota_parse(QUOTA_DISKS, "0", &limit), -EINVAL);
	assert_int_equal(quota_parse(QUOTA_MEMORY, "0", &limit), -EINVAL);
	assert_int_equal(quota_parse(QUOTA_RUNNING, "", &limit), -EINVAL);
	assert_int_equal(quota_parse(QUOTA_RUNNING, "-1", &limit), -EINVAL);
	assert_int_equal(limit, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_the_first_that_is_refused),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

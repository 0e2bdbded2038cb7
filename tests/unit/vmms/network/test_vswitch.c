/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By what a daemon knows its own bridges again. */
#include "tests/unit/unit.h"
#include "vmms/network/vswitch.h"

#include <string.h>

#define UUID "f8615163-df3e-46c5-913f-f2d2f965ed0e"

static void test_there_and_back(void **state)
{
	struct vswitch_alias alias = { .interface = "eth0" }, again;
	char text[VSWITCH_ALIAS_SIZE];

	assert_int_equal(guid_parse(UUID, &alias.uuid), 0);
	vswitch_alias_format(&alias, "/var/lib/vmms", text);
	assert_string_equal(text, "vmms:switch:" UUID ":eth0:/var/lib/vmms");
	assert_true(vswitch_alias_parse(text, "/var/lib/vmms", &again));
	assert_true(guid_equal(&alias.uuid, &again.uuid));
	assert_string_equal(again.interface, "eth0");
	assert_false(vswitch_alias_parse(text, "/var/lib/other", &again));
}

static void test_long_directories(void **state)
{
	struct vswitch_alias alias = { .interface = "" }, again;
	char text[VSWITCH_ALIAS_SIZE], directory[1000];

	memset(directory, 'd', sizeof(directory) - 1);
	directory[sizeof(directory) - 1] = '\0';
	vswitch_alias_format(&alias, directory, text);
	assert_int_equal(strlen(text), NETWORK_ALIAS_MAX);
	assert_true(vswitch_alias_parse(text, directory, &again));
	directory[sizeof(directory) - 2] = 'e';
	assert_false(vswitch_alias_parse(text, directory, &again));
}

static void test_what_others_wrote(void **state)
{
	static const char *const texts[] = {
		"",
		"vmms:switch:",
		"vmms:switch:" UUID,
		"vmms:switch:" UUID ":",
		"vmms:switch:" UUID "::",
		"vmms:switch:" UUID ":eth0",
		"vmms:switch:" UUID ":a-name-that-is-too-long:/s",
		"vmms:switch:f8615163-df3e-46c5-913f-f2d2f965ed0x::/s",
		"vmms:" UUID ":nic0",
		"my bridge",
	};
	struct vswitch_alias alias;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_false(vswitch_alias_parse(texts[i], "/s", &alias));
	assert_true(vswitch_alias_parse("vmms:switch:" UUID "::/s", "/s", &alias));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_long_directories),
		cmocka_unit_test(test_what_others_wrote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KEY=VALUE put into a definition: every kind of value and place, and what is refused. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/setting.h"

#include <stdio.h>
#include <string.h>

static const char definition[] =
	"{\"name\": \"a\", \"notes\": \"\", \"memory\": {\"size\": \"512M\", \"shared\": false}, "
	"\"tags\": [], \"disks\": [{\"lun\": 0}, {\"lun\": 1}], \"processors\": {\"count\": 1}}";

static int apply(const char *setting, char *result, size_t size)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	int r;

	assert_int_equal(json_parse(definition, strlen(definition), &tree, &error), 0);
	r = setting_apply(tree, setting);
	snprintf(result, size, "%s",
		 json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
	return r;
}

static void test_settings(void **state)
{
	static const struct {
		const char *setting, *holds;
	} cases[] = {
		{ "notes=two words", "\"notes\":\"two words\"" },
		{ "notes=7", "\"notes\":\"7\"" },
		{ "notes=\"x\"", "\"notes\":\"\\\"x\\\"\"" },
		{ "notes=a=b", "\"notes\":\"a=b\"" },
		{ "memory.size=2G", "\"size\":\"2G\"" },
		{ "memory.shared=true", "\"shared\":true" },
		{ "processors.count=4", "\"count\":4" },
		{ "processors.threads=2", "\"threads\":2" },
		{ "tags=a,b", "\"tags\":[\"a\",\"b\"]" },
		{ "tags=a", "\"tags\":[\"a\"]" },
		{ "tags=[\"a\", \"b\"]", "\"tags\":[\"a\",\"b\"]" },
		{ "disks[1].cache=buffered", "{\"lun\":1,\"cache\":\"buffered\"}" },
		{ "disks[1].lun=5", "{\"lun\":5}" },
		{ "disks[0]={\"lun\": 7}", "[{\"lun\":7},{\"lun\":1}]" },
		{ "disks[0]=", "\"disks\":[{\"lun\":1}]" },
		{ "disks=", "\"tags\":[],\"processors\"" },
		{ "automatic_start.action=start", "\"automatic_start\":{\"action\":\"start\"}" },
		{ "boot.initrd=/x", "\"boot\":{\"initrd\":\"/x\"}" },
		/* What would be two members is no JSON. */
		{ "new=1, \"more\": 2", "\"new\":\"1, \\\"more\\\": 2\"" },
		{ "new=null", "\"new\":\"null\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char result[512];

		assert_int_equal(apply(cases[i].setting, result, sizeof(result)), 0);
		if (!strstr(result, cases[i].holds))
			fail_msg("%s: %s", cases[i].setting, result);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *setting;
		int r;
	} cases[] = {
		{ "", SETTING_E_FORM },
		{ "notes", SETTING_E_FORM },
		{ "=x", SETTING_E_FORM },
		{ ".notes=x", SETTING_E_FORM },
		{ "[0]=x", SETTING_E_FORM },
		{ "memory.=x", SETTING_E_FORM },
		{ "memory..size=x", SETTING_E_FORM },
		{ "disks[=x", SETTING_E_FORM },
		{ "disks[]=x", SETTING_E_FORM },
		{ "disks[-1]=x", SETTING_E_FORM },
		{ "disks[99999999999999999999999999]=x", SETTING_E_FORM },
		{ "disks[0]x=x", SETTING_E_FORM },
		{ "disks[2]=x", SETTING_E_PLACE },
		{ "disks[2].lun=x", SETTING_E_PLACE },
		{ "disks.lun=x", SETTING_E_PLACE },
		{ "memory[0]=x", SETTING_E_PLACE },
		{ "name.x=x", SETTING_E_PLACE },
		{ "a23456789012345678901234567890123456789012345678901234567890123456789=x",
		  SETTING_E_FORM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char result[512];
		int r = apply(cases[i].setting, result, sizeof(result));

		if (r != cases[i].r)
			fail_msg("%s: %d, %s", cases[i].setting, r, result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks as they are written on the command line. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/disk_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_accepts(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "/a", "{\"path\":\"/a\"}" },
		{ "/a b=c,ro", "{\"path\":\"/a b=c\",\"read_only\":true}" },
		{ "/a,serial=x y,cache=buffered,sector-size=4096,controller=3,lun=63",
		  "{\"path\":\"/a\",\"serial\":\"x y\",\"cache\":\"buffered\",\"sector_size\":4096,"
		  "\"controller\":3,\"lun\":63}" },
		{ "/a,format=vhdx", "{\"path\":\"/a\",\"format\":\"vhdx\"}" },
		{ "/a,serial=", "{\"path\":\"/a\",\"serial\":\"\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *disk = NULL;
		char *word = NULL;

		assert_int_equal(disk_text_parse(cases[i].text, &disk, &word), 0);
		assert_string_equal(
			json_object_to_json_string_ext(
				disk, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			cases[i].json);
	}
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text, *word;
	} cases[] = {
		{ "/a,", "" },
		{ "/a,rw", "rw" },
		{ "/a,rox", "rox" },
		{ "/a,lun", "lun" },
		{ "/a,lun=", "lun=" },
		{ "/a,lun=-1", "lun=-1" },
		{ "/a,ro,lun=x", "lun=x" },
		{ "/a,lun=1 ", "lun=1 " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *disk = NULL;
		AUTO_FREE char *word = NULL;

		assert_int_equal(disk_text_parse(cases[i].text, &disk, &word), -EINVAL);
		assert_string_equal(word, cases[i].word);
		assert_null(disk);
	}
}

static void test_paths_become_absolute(void **state)
{
	AUTO_FREE char *folder = getcwd(NULL, 0);
	AUTO_FREE char *absolute = absolute_path("/x/../y");
	AUTO_FREE char *relative = absolute_path("x");

	assert_string_equal(absolute, "/x/../y");
	assert_memory_equal(relative, folder, strlen(folder));
	assert_string_equal(relative + strlen(folder), "/x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_paths_become_absolute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

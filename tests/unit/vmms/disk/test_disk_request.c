/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be done with the file of a disk, as a caller asks for it. */
#include "tests/unit/unit.h"
#include "vmms/disk/disk_request.h"

#include <string.h>

static struct disk_request *parse(const char *text)
{
	struct disk_request *request = NULL;
	struct failure failure = { 0 };

	assert_int_equal(disk_request_parse(text, &request, &failure), 0);
	return request;
}

static void test_create(void **state)
{
	struct disk_request *request =
		parse("{\"operation\": \"create\", \"path\": \"/a\", \"size\": \"10G\", "
		      "\"format\": \"raw\", \"fixed\": true}");

	assert_int_equal(request->operation, DISK_CREATE);
	assert_string_equal(request->path, "/a");
	assert_string_equal(request->format, "raw");
	assert_int_equal(request->size, UINT64_C(10) << 30);
	assert_true(request->fixed);
	assert_null(request->target);
	disk_request_free(request);
}

static void test_convert(void **state)
{
	struct disk_request *request = parse(
		"{\"operation\": \"convert\", \"path\": \"/a\", \"target\": \"/b\", "
		"\"target_format\": \"vhdx\", \"block_size\": 1048576, \"sector_size\": 4096}");

	assert_int_equal(request->operation, DISK_CONVERT);
	assert_string_equal(request->target, "/b");
	assert_int_equal(request->block_size, 1 << 20);
	assert_int_equal(request->sector_size, 4096);
	disk_request_free(request);
}

static void test_a_parent(void **state)
{
	struct disk_request *request =
		parse("{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"/b\"}");

	assert_string_equal(request->parent, "/b");
	assert_int_equal(request->size, 0);
	disk_request_free(request);
}

/* Says why, and leaves nothing. */
static void test_what_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{\"operation\": \"boil\", \"path\": \"/a\"}",
		"{\"operation\": \"info\"}",
		"{\"operation\": \"info\", \"path\": \"a/b\"}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"format\": \"iso\"}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"size\": 512}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"target\": \"/b\"}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"fixed\": true}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"shrink\": true}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"repair\": true}",
		"{\"operation\": \"create\", \"path\": \"/a\"}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"size\": 1}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"size\": 512, \"block_size\": "
		"3145728}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"size\": 512, \"sector_size\": "
		"520}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"size\": 512, \"target_format\": "
		"\"raw\"}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"b\"}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"/b\", \"size\": 512}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"/b\", \"fixed\": "
		"true}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"/b\", "
		"\"sector_size\": 512}",
		"{\"operation\": \"create\", \"path\": \"/a\", \"parent\": \"/b\", \"format\": "
		"\"raw\"}",
		"{\"operation\": \"info\", \"path\": \"/a\", \"parent\": \"/b\"}",
		"{\"operation\": \"convert\", \"path\": \"/a\"}",
		"{\"operation\": \"resize\", \"path\": \"/a\"}",
		"{\"operation\": \"map\", \"path\": \"/a\", \"offset\": -1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct disk_request *request = NULL;
		struct failure failure = { 0 };

		assert_true(disk_request_parse(texts[i], &request, &failure) < 0);
		assert_null(request);
		assert_string_equal(failure.name, DBUS_ERROR_INVALID_ARGUMENT);
		assert_true(failure.message[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_convert),
		cmocka_unit_test(test_a_parent),
		cmocka_unit_test(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GUIDs: the wire order of the groups, strict parsing. */
#include "common/base/cc.h"
#include "common/base/guid.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static const char scsi_text[] = "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f";
static const uint8_t scsi_wire[16] = { 0xd9, 0x63, 0x61, 0xba, 0xa1, 0x04, 0x29, 0x4d,
				       0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f };

static void test_parse_gives_wire_order(void **state)
{
	struct guid guid;

	assert_int_equal(guid_parse(scsi_text, &guid), 0);
	assert_memory_equal(guid.bytes, scsi_wire, sizeof(scsi_wire));
}

static void test_macro_agrees_with_parse(void **state)
{
	struct guid guid =
		GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f);

	assert_memory_equal(guid.bytes, scsi_wire, sizeof(scsi_wire));
}

static void test_format_is_the_inverse(void **state)
{
	char text[GUID_TEXT_SIZE];
	struct guid guid;

	assert_int_equal(guid_parse("BA6163D9-04A1-4D29-B605-72E2FFB1DC7F", &guid), 0);
	guid_format(&guid, text);
	assert_string_equal(text, scsi_text);
}

static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"ba6163d9",
		"{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}",
		"ba6163d904a1-4d29-b605-72e2ffb1dc7f-",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7f0",
		"ga6163d9-04a1-4d29-b605-72e2ffb1dc7f",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7-",
	};
	struct guid guid, before;

	memset(&guid, 0x5a, sizeof(guid));
	before = guid;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(guid_parse(bad[i], &guid), -EINVAL);
		assert_memory_equal(&guid, &before, sizeof(guid));
	}
}

static void test_generate_is_random_version_4(void **state)
{
	char text[GUID_TEXT_SIZE];
	struct guid a, b;

	assert_int_equal(guid_generate(&a), 0);
	assert_int_equal(guid_generate(&b), 0);
	assert_false(guid_equal(&a, &b));
	assert_false(guid_is_null(&a));
	guid_format(&a, text);
	assert_int_equal(text[14], '4');
	assert_non_null(strchr("89ab", text[19]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_gives_wire_order),
		cmocka_unit_test(test_macro_agrees_with_parse),
		cmocka_unit_test(test_format_is_the_inverse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_generate_is_random_version_4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

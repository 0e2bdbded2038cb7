/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C against the values of RFC 3720, appendix B.4, and the usual check value. */
#include "common/base/crc32c.h"
#include "tests/unit/unit.h"

#include <string.h>

static void known_values(void **state)
{
	uint8_t bytes[32];

	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
}

static void parts_are_as_the_whole(void **state)
{
	for (size_t cut = 0; cut <= 9; cut++)
		assert_int_equal(crc32c(crc32c(0, "123456789", cut), &"123456789"[cut], 9 - cut),
				 0xe3069283);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(parts_are_as_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GUIDs: text form, comparison, generation. */
#include "common/base/guid.h"

#include "common/base/cc.h"
#include "common/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Which wire byte each pair of hex digits of the text form stands for. */
static const uint8_t wire_order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

static bool guid_dash_at(size_t position)
{
	return position == 8 || position == 13 || position == 18 || position == 23;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -EINVAL;
}

int guid_parse(const char *text, struct guid *ret_guid)
{
	struct guid guid;
	size_t position = 0;

	if (strnlen(text, GUID_TEXT_SIZE) != GUID_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(wire_order); i++) {
		if (guid_dash_at(position) && text[position++] != '-')
			return -EINVAL;
		int high = hex_digit(text[position++]);
		int low = hex_digit(text[position++]);

		if (high < 0 || low < 0)
			return -EINVAL;
		guid.bytes[wire_order[i]] = (uint8_t)(high << 4 | low);
	}
	*ret_guid = guid;
	return 0;
}

void guid_format(const struct guid *guid, char text[GUID_TEXT_SIZE])
{
	size_t position = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wire_order); i++) {
		if (guid_dash_at(position))
			text[position++] = '-';
		sprintf(text + position, "%02x", guid->bytes[wire_order[i]]);
		position += 2;
	}
}

bool guid_equal(const struct guid *a, const struct guid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool guid_is_null(const struct guid *guid)
{
	static const struct guid null;

	return guid_equal(guid, &null);
}

int guid_generate(struct guid *ret_guid)
{
	struct guid guid;

	if (getrandom(&guid, sizeof(guid), 0) != sizeof(guid))
		return error_origin(-errno);
	guid.bytes[7] = (uint8_t)((guid.bytes[7] & 0x0f) | 0x40); /* version 4 */
	guid.bytes[8] = (uint8_t)((guid.bytes[8] & 0x3f) | 0x80); /* RFC 4122 variant */
	*ret_guid = guid;
	return 0;
}

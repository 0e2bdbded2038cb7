/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UTF-16 to and from UTF-8. */
#include "common/base/utf16.h"

#include "common/base/text.h"

#include <string.h>

static uint16_t unit_at(const uint8_t *text)
{
	return (uint16_t)(text[0] | text[1] << 8);
}

/* The character at text, of which there are at least two bytes. *ret_size: bytes it takes. */
static uint32_t decode_utf16(const uint8_t *text, size_t size, size_t *ret_size)
{
	uint16_t high = unit_at(text), low;

	*ret_size = 2;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || size < 4)
		return '?';
	low = unit_at(text + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return '?';
	*ret_size = 4;
	return 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (low - 0xdc00u);
}

size_t utf16_to_utf8(char *buffer, size_t buffer_size, const uint8_t *text, size_t size)
{
	size_t used = 0, taken, length;
	char form[TEXT_UTF8_MAX];

	for (size_t i = 0; i + 1 < size; i += taken) {
		uint32_t character = decode_utf16(text + i, size - i, &taken);

		if (character == 0)
			break;
		length = text_utf8_encode(form, character);
		if (used + length >= buffer_size)
			break;
		memcpy(buffer + used, form, length);
		used += length;
	}
	buffer[used] = '\0';
	return used;
}

/* Return: units, 1 or 2. */
static size_t encode_utf16(uint16_t form[2], uint32_t character)
{
	if (character < 0x10000) {
		form[0] = (uint16_t)character;
		return 1;
	}
	character -= 0x10000;
	form[0] = (uint16_t)(0xd800 + (character >> 10));
	form[1] = (uint16_t)(0xdc00 + (character & 0x3ff));
	return 2;
}

size_t utf16_from_utf8(uint8_t *buffer, size_t buffer_size, const char *text)
{
	size_t size = strlen(text), used = 0, length;

	if (!text_is_utf8(text, size))
		return 0;
	for (; size > 0; text += length, size -= length) {
		uint16_t form[2];
		size_t count;

		count = encode_utf16(form, (uint32_t)text_utf8_decode(text, size, &length));
		if (used + 2 * count + 2 > buffer_size)
			return 0;
		for (size_t i = 0; i < count; i++) {
			buffer[used++] = (uint8_t)form[i];
			buffer[used++] = (uint8_t)(form[i] >> 8);
		}
	}
	if (used + 2 > buffer_size)
		return 0;
	memset(buffer + used, 0, buffer_size - used);
	return used + 2;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UTF-16 to and from UTF-8. */
#include "common/base/utf16.h"

#include "common/base/text.h"

#include <string.h>

static uint16_t unit_at(const uint8_t *text)
{
	return (uint16_t)(text[0] | text[1] << 8);
}

/* Return: bytes, 1 to 4. */
static size_t encode_utf8(char form[4], uint32_t character)
{
	static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

	for (size_t i = length; i-- > 1; character >>= 6)
		form[i] = (char)(0x80 | (character & 0x3f));
	form[0] = (char)(leads[length] | character);
	return length;
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
	char form[4];

	for (size_t i = 0; i + 1 < size; i += taken) {
		uint32_t character = decode_utf16(text + i, size - i, &taken);

		if (character == 0)
			break;
		length = encode_utf8(form, character);
		if (used + length >= buffer_size)
			break;
		memcpy(buffer + used, form, length);
		used += length;
	}
	buffer[used] = '\0';
	return used;
}

/* Of valid UTF-8, without checks. Return: bytes that it takes. */
static size_t decode_utf8(const char *text, uint32_t *ret_character)
{
	uint8_t lead = (uint8_t)text[0];
	size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t character = length == 1 ? lead : lead & (0x7fu >> length);

	for (size_t i = 1; i < length; i++)
		character = character << 6 | ((uint8_t)text[i] & 0x3f);
	*ret_character = character;
	return length;
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
	size_t used = 0;

	if (!text_is_utf8(text, strlen(text)))
		return 0;
	while (*text != '\0') {
		uint32_t character;
		uint16_t form[2];
		size_t count;

		text += decode_utf8(text, &character);
		count = encode_utf16(form, character);
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

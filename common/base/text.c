/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that others wrote: UTF-8 validity and escaping. */
#include "common/base/text.h"

#include "common/base/cc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_MAX 8 /* at most so many times longer than the text */

int32_t text_utf8_decode(const char *bytes, size_t size, size_t *ret_length)
{
	static const int32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *text = (const uint8_t *)bytes;
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	int32_t character;

	*ret_length = 1;
	if (length == 1)
		return text[0];
	if (text[0] < 0xc0 || text[0] > 0xf4 || length > size)
		return -1;
	character = text[0] & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return -1;
		character = character << 6 | (text[i] & 0x3f);
	}
	if (character < smallest[length] || character > 0x10ffff ||
	    (character >= 0xd800 && character <= 0xdfff))
		return -1;
	*ret_length = length;
	return character;
}

size_t text_utf8_encode(char form[TEXT_UTF8_MAX], uint32_t character)
{
	static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

	for (size_t i = length; i-- > 1; character >>= 6)
		form[i] = (char)(0x80 | (character & 0x3f));
	form[0] = (char)(leads[length] | character);
	return length;
}

size_t text_utf8_prefix(const char *text, size_t size)
{
	size_t length;

	for (size_t i = 0; i < size; i += length) {
		if (text_utf8_decode(text + i, size - i, &length) < 0)
			return i;
	}
	return size;
}

bool text_is_utf8(const char *text, size_t size)
{
	return text_utf8_prefix(text, size) == size;
}

size_t text_repair(char *buffer, size_t buffer_size, const char *text, size_t size)
{
	size_t used = 0, length;

	for (size_t i = 0; i < size; i += length) {
		int32_t character = text_utf8_decode(text + i, size - i, &length);

		if (used + length >= buffer_size)
			break;
		memmove(buffer + used, character > 0 ? text + i : "?", length);
		used += length;
	}
	buffer[used] = '\0';
	return used;
}

bool text_is_control(uint32_t character)
{
	static const struct {
		uint32_t first, last;
	} controls[] = {
		{ 0, 0x1f },        { 0x7f, 0x9f },       { 0x61c, 0x61c },   { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f },   { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
		{ 0xfffe, 0xffff }, { 0xe0000, 0xe0fff },
	};

	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		if (character >= controls[i].first && character <= controls[i].last)
			return true;
	}
	return false;
}

static size_t escape_character(char form[16], const char *text, size_t size, size_t *ret_length)
{
	int32_t character = text_utf8_decode(text, size, ret_length);

	if (character < 0)
		return (size_t)sprintf(form, "\\x%02x", (uint8_t)text[0]);
	if (character == '\\')
		return (size_t)sprintf(form, "\\\\");
	if (character < 0x80 && text_is_control((uint32_t)character))
		return (size_t)sprintf(form, "\\x%02x", (unsigned)character);
	if (text_is_control((uint32_t)character))
		return (size_t)sprintf(form, "\\u%04x", (unsigned)character);
	memcpy(form, text, *ret_length);
	return *ret_length;
}

size_t text_escape(char *buffer, size_t buffer_size, const char *text, size_t size)
{
	size_t used = 0, length;
	char form[16];

	for (size_t i = 0; i < size; i += length) {
		size_t form_size = escape_character(form, text + i, size - i, &length);

		if (used + form_size >= buffer_size)
			break;
		memcpy(buffer + used, form, form_size);
		used += form_size;
	}
	buffer[used] = '\0';
	return used;
}

char *text_escape_new(const char *text, size_t size)
{
	char *escaped = malloc(size * ESCAPE_MAX + 1);

	if (escaped)
		text_escape(escaped, size * ESCAPE_MAX + 1, text, size);
	return escaped;
}

/* Outside of ASCII there are only strings in JSON, and there an escape means its character. */
static size_t escape_json_character(char form[16], const char *text, size_t size,
				    size_t *ret_length)
{
	int32_t character = text_utf8_decode(text, size, ret_length);

	if (character < 0)
		character = 0xfffd;
	if (character < 0x7f || !text_is_control((uint32_t)character)) {
		memcpy(form, text, *ret_length);
		return *ret_length;
	}
	if (character < 0x10000)
		return (size_t)sprintf(form, "\\u%04x", (unsigned)character);
	character -= 0x10000;
	return (size_t)sprintf(form, "\\u%04x\\u%04x", 0xd800 + ((unsigned)character >> 10),
			       0xdc00 + ((unsigned)character & 0x3ff));
}

char *text_escape_json_new(const char *json, size_t size)
{
	char *escaped = malloc(size * ESCAPE_MAX + 1);
	size_t used = 0, length;

	for (size_t i = 0; escaped && i < size; i += length)
		used += escape_json_character(escaped + used, json + i, size - i, &length);
	if (escaped)
		escaped[used] = '\0';
	return escaped;
}

bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

size_t text_columns(const char *text)
{
	size_t columns = 0;

	for (; *text != '\0'; text++)
		columns += (*text & 0xc0) != 0x80;
	return columns;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text formatting.
 */
#include "guest-vsc/text.h"

#include <stdint.h>

#define DIGITS_MAX 20 /* of 2^64 in decimal */

struct output {
	char *buffer;
	size_t size, length; /* size counts the NUL */
};

/* One conversion: what stands between a % and its letter. */
struct conversion {
	bool wide; /* 64 bits */
	char padding;
	unsigned width;
};

size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_starts_with(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return false;
	return true;
}

static void put_character(struct output *output, char character)
{
	if (output->length + 1 < output->size)
		output->buffer[output->length++] = character;
}

static void put_text(struct output *output, const char *text)
{
	while (*text)
		put_character(output, *text++);
}

static void put_number(struct output *output, const struct conversion *conversion, uint64_t value,
		       unsigned base)
{
	char digits[DIGITS_MAX];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (unsigned i = count; i < conversion->width; i++)
		put_character(output, conversion->padding);
	while (count)
		put_character(output, digits[--count]);
}

static void put_signed(struct output *output, const struct conversion *conversion, int64_t value)
{
	if (value < 0)
		put_character(output, '-');
	put_number(output, conversion, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

/* Reads flags, width and length modifier; returns where the conversion's letter is. */
static const char *read_conversion(const char *format, struct conversion *ret_conversion)
{
	*ret_conversion = (struct conversion){ .padding = ' ' };
	if (*format == '0') {
		ret_conversion->padding = '0';
		format++;
	}
	while (*format >= '0' && *format <= '9')
		ret_conversion->width = ret_conversion->width * 10 + (unsigned)(*format++ - '0');
	while (*format == 'l' || *format == 'z') {
		ret_conversion->wide = true;
		format++;
	}
	return format;
}

size_t text_format_list(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct output output = { buffer, size, 0 };
	struct conversion conversion;

	for (; *format; format++) {
		if (*format != '%') {
			put_character(&output, *format);
			continue;
		}
		format = read_conversion(format + 1, &conversion);
		if (*format == 's')
			put_text(&output, va_arg(arguments, const char *));
		else if (*format == 'd')
			put_signed(&output, &conversion,
				   conversion.wide ? va_arg(arguments, int64_t)
						   : va_arg(arguments, int));
		else if (*format == 'u' || *format == 'x')
			put_number(&output, &conversion,
				   conversion.wide ? va_arg(arguments, uint64_t)
						   : va_arg(arguments, unsigned),
				   *format == 'u' ? 10 : 16);
		else if (*format == 'c')
			put_character(&output, (char)va_arg(arguments, int));
		else
			put_character(&output, '%');
	}
	if (size)
		buffer[output.length] = '\0';
	return output.length;
}

size_t text_format(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = text_format_list(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}

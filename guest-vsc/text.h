/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text: the little of <string.h> and <stdio.h> that reports need.
 */
#pragma once

#include "common/base/cc.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

size_t text_length(const char *text);
bool text_starts_with(const char *text, const char *start);

/*
 * Formats like snprintf(3), NUL included and cut where the buffer ends. Knows %s, %c, %%, and
 * %d %u %x, with l or z, with a width and a leading 0. Return: the length of what is in the buffer.
 */
size_t text_format(char *buffer, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
size_t text_format_list(char *buffer, size_t size, const char *format, va_list arguments)
	PRINTF_LIKE(3, 0);

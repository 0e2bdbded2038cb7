/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UTF-16, little-endian, as guests of Hyper-V write text.
 *
 * Units are bytes of a message, two each, at any alignment.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Copies text to buffer as UTF-8 with a NUL, up to the first NUL unit or the end of `size` bytes:
 * '?' stands in for half a surrogate pair, and what does not fit is cut off at a whole character.
 * buffer_size: at least 1. Return: bytes written, without the NUL.
 */
size_t utf16_to_utf8(char *buffer, size_t buffer_size, const uint8_t *text, size_t size);

/*
 * Writes valid UTF-8 as UTF-16 with a NUL unit, and zeroes the rest of the buffer. Return: bytes
 * written, NUL unit included; 0: it does not fit, or is not UTF-8.
 */
size_t utf16_from_utf8(uint8_t *buffer, size_t buffer_size, const char *text) MUST_CHECK;

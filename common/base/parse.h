/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers and sizes as people write them, on command lines and in definitions.
 *
 * All take the whole text: signs, blanks and anything after the number are refused.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define PARSE_SIZE_TEXT 24 /* enough for any size in text, with its NUL */

/* Decimal digits. Return: 0; -EINVAL; -ERANGE outside minimum to maximum. */
int parse_unsigned(const char *text, uint64_t minimum, uint64_t maximum,
		   uint64_t *ret_value) MUST_CHECK;

/*
 * Bytes: digits and an optional K, M, G or T, which are powers of 1024 ("512M", "2GiB" and "4096"
 * are sizes). Return: 0; -EINVAL; -ERANGE if it does not fit 63 bits.
 */
int parse_size(const char *text, uint64_t *ret_bytes) MUST_CHECK;

/*
 * What is meant by a number without a unit that is out of range: 500 of memory is "500M". guess: ""
 * if nothing is. Return: whether something is.
 */
bool parse_size_guess(const char *text, uint64_t minimum, uint64_t maximum,
		      char guess[static PARSE_SIZE_TEXT]);

/* The shortest text that parse_size() reads back as the same: "512M". */
void parse_size_format(uint64_t bytes, char text[PARSE_SIZE_TEXT]);

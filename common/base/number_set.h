/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sets of small numbers, such as those of CPUs, as people and the kernel write them: "0-3,8".
 *
 * A set is a bit for each number below its limit, in the caller's words.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_SET_WORDS(limit) (((limit) + 63) / 64)

/*
 * Numbers and ranges of them, in any order, with commas between. What is refused leaves the words
 * as they were. Return: 0; -EINVAL, of an empty text, too; -ERANGE: a number that is not below the
 * limit.
 */
int number_set_parse(const char *text, uint64_t *words, unsigned limit) MUST_CHECK;

/* In order, ranges as long as can be; "" of an empty set. It is cut if it does not fit. */
void number_set_format(const uint64_t *words, unsigned limit, char *text, size_t size);

static inline bool number_set_has(const uint64_t *words, unsigned number)
{
	return words[number / 64] >> number % 64 & 1;
}

static inline void number_set_add(uint64_t *words, unsigned number)
{
	words[number / 64] |= UINT64_C(1) << number % 64;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk patterns.
 */
#include "tests/guest/pattern.h"

#define GOLDEN 0x9e3779b97f4a7c15ull /* 2^64 over the golden ratio: spreads neighbours apart */

static uint64_t word_at(uint64_t seed, uint64_t offset)
{
	return (offset / 8 + 1) * GOLDEN ^ seed;
}

void pattern_fill(void *buffer, size_t size, uint64_t seed, uint64_t offset)
{
	uint64_t *words = buffer;

	for (size_t i = 0; i < size / 8; i++)
		words[i] = word_at(seed, offset + i * 8);
}

size_t pattern_check(const void *buffer, size_t size, uint64_t seed, uint64_t offset)
{
	const uint64_t *words = buffer;

	for (size_t i = 0; i < size / 8; i++)
		if (words[i] != word_at(seed, offset + i * 8))
			return i * 8;
	return size;
}

uint64_t pattern_random(uint64_t limit)
{
	static uint64_t state = GOLDEN;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % limit;
}

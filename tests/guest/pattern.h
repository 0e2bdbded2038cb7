/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What disks are filled with: every 8 bytes are a function of where they are on the disk and of a
 * seed, so that data in the wrong place are found out. tests/guest/run knows the same function.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* `size` bytes as they belong at `offset` of the disk; both multiples of 8. */
void pattern_fill(void *buffer, size_t size, uint64_t seed, uint64_t offset);

/* Return: where in the buffer the first difference is, or `size`. */
size_t pattern_check(const void *buffer, size_t size, uint64_t seed, uint64_t offset);

/* Pseudo-random numbers, the same in every run. Return: 0 to limit - 1. */
uint64_t pattern_random(uint64_t limit);

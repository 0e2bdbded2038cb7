/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The four functions that a compiler may call even in a freestanding program; C17 7.24.
 */
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

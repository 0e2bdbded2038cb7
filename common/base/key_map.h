/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which key of a US keyboard has a character. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define KEY_MAP_SHIFT 0x2a /* the key that makes the others say more */

/*
 * The scan code, of set 1, of the key; *ret_shift: with that key held down. Return: 0: there is
 * none.
 */
uint8_t key_map_find(char character, bool *ret_shift);

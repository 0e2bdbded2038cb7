/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys by their names, and text by the keys of a US keyboard: scan codes as PressKeys has them
 * (docs/dbus/org.vmms1.VM.md).
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>

#define KEY_CODES_MAX 16 /* of a combination, or of a character: each key goes down and up */

struct key_codes {
	uint32_t codes[KEY_CODES_MAX];
	size_t count;
};

/*
 * "ctrl-alt-del": names with '-' between them, which go down in their order, and up in the opposite
 * one. Return: 0; -EINVAL: there is no such key, or there are too many.
 */
int key_codes_of_combination(const char *combination, struct key_codes *ret_codes) MUST_CHECK;

/* Return: 0; -EINVAL: a US keyboard does not have the character. */
int key_codes_of_character(char character, struct key_codes *ret_codes) MUST_CHECK;

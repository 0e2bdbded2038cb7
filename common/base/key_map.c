/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which key of a US keyboard has a character. */
#include "common/base/key_map.h"

#include "common/base/cc.h"

#include <string.h>

/* The characters of the keys from 0x01 on; 0x7f: keys that have none. */
static const char plain[] = "\x1b"
			    "1234567890-=\b\tqwertyuiop[]\n\x7f"
			    "asdfghjkl;'`\x7f\\zxcvbnm,./\x7f*\x7f ";
static const char shifted[] = "\x7f"
			      "!@#$%^&*()_+\x7f\x7fQWERTYUIOP{}\x7f\x7f"
			      "ASDFGHJKL:\"~\x7f|ZXCVBNM<>?\x7f\x7f\x7f\x7f";
_Static_assert(sizeof(plain) == sizeof(shifted), "the same keys");

static uint8_t key_map_search(const char *keys, char character)
{
	const char *at = character == '\0' || character == '\x7f' ? NULL : strchr(keys, character);

	return at ? (uint8_t)(at - keys + 1) : 0;
}

uint8_t key_map_find(char character, bool *ret_shift)
{
	uint8_t code = key_map_search(plain, character);

	*ret_shift = code == 0;
	return code ? code : key_map_search(shifted, character);
}

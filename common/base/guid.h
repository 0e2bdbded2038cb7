/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GUIDs as they lie on the wire: the first three groups little-endian, the last two as bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GUID_TEXT_SIZE 37 /* "f8615163-df3e-46c5-913f-f2d2f965ed0e" and a NUL */

struct guid {
	uint8_t bytes[16];
};
_Static_assert(sizeof(struct guid) == 16, "wire format");

/* GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e) */
#define GUID(a, b, c, d0, d1, d2, d3, d4, d5, d6, d7)                                            \
	((struct guid){ { (uint8_t)(a), (uint8_t)((a) >> 8), (uint8_t)((a) >> 16),               \
			  (uint8_t)((a) >> 24), (uint8_t)(b), (uint8_t)((b) >> 8), (uint8_t)(c), \
			  (uint8_t)((c) >> 8), d0, d1, d2, d3, d4, d5, d6, d7 } })

/* Accepts exactly the 36-character form, either case. Return: 0, or -EINVAL. */
int guid_parse(const char *text, struct guid *ret_guid);

/* Writes the lower-case form. */
void guid_format(const struct guid *guid, char text[GUID_TEXT_SIZE]);

bool guid_equal(const struct guid *a, const struct guid *b);
bool guid_is_null(const struct guid *guid);

/* A random (version 4) GUID. Return: 0, or a negative errno of getrandom(2). */
int guid_generate(struct guid *ret_guid);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Characters as terminals show them. */
#include "vmms/vmctl/glyph.h"

#include "common/base/cc.h"
#include "common/base/text.h"

struct range {
	uint32_t first, last;
};

/* Marks that are written over the character before them, and what joins or selects characters. */
static const struct range marks[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd },   { 0x0610, 0x061c },
	{ 0x064b, 0x065f }, { 0x06d6, 0x06dc }, { 0x06df, 0x06e4 },   { 0x0e34, 0x0e3a },
	{ 0x0e47, 0x0e4e }, { 0x1160, 0x11ff }, { 0x180b, 0x180f },   { 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0x302a, 0x302d },   { 0x3099, 0x309a },
	{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xe0100, 0xe01ef },
};

static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xa960, 0xa97f },
	{ 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
	{ 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff },
	{ 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

static bool glyph_is_in(const struct range *ranges, size_t count, uint32_t character)
{
	for (size_t i = 0; i < count; i++) {
		if (character >= ranges[i].first && character <= ranges[i].last)
			return true;
	}
	return false;
}

unsigned glyph_width(uint32_t character)
{
	if (text_is_control(character) || glyph_is_in(marks, ARRAY_SIZE(marks), character))
		return 0;
	return glyph_is_in(wide, ARRAY_SIZE(wide), character) ? 2 : 1;
}

uint32_t glyph_line_drawing(uint32_t character)
{
	static const uint32_t drawings[] = {
		' ',    0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0,
		0x00b1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514, 0x253c,
		0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534,
		0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7,
	};

	if (character < '_' || character - '_' >= ARRAY_SIZE(drawings))
		return character;
	return drawings[character - '_'];
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Characters as terminals show them. */
#pragma once

#include <stdint.h>

/*
 * The columns that a character takes: 0 of those that change the one before them or are not seen, 2
 * of East Asian ones and pictures; by blocks of Unicode, which is near enough.
 */
unsigned glyph_width(uint32_t character);

/* What an ASCII character is in the line drawing set of DEC's terminals (ESC ( 0). */
uint32_t glyph_line_drawing(uint32_t character);

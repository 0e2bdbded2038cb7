/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys by their keysyms, for viewers that do not tell which key it was: as on a US keyboard.
 *
 * Source: X11's keysymdef.h.
 */
#include "common/base/key_map.h"
#include "vmms/rfb/rfb.h"

#define E0 0x80

static const struct {
	uint16_t keysym;
	uint8_t code;
} keys[] = {
	{ 0xff08, 0x0e },      /* BackSpace */
	{ 0xff09, 0x0f },      /* Tab */
	{ 0xff0d, 0x1c },      /* Return */
	{ 0xff13, E0 | 0x46 }, /* Pause */
	{ 0xff14, 0x46 },      /* Scroll_Lock */
	{ 0xff15, 0x54 },      /* Sys_Req */
	{ 0xff1b, 0x01 },      /* Escape */
	{ 0xff50, E0 | 0x47 }, /* Home */
	{ 0xff51, E0 | 0x4b }, /* Left */
	{ 0xff52, E0 | 0x48 }, /* Up */
	{ 0xff53, E0 | 0x4d }, /* Right */
	{ 0xff54, E0 | 0x50 }, /* Down */
	{ 0xff55, E0 | 0x49 }, /* Page_Up */
	{ 0xff56, E0 | 0x51 }, /* Page_Down */
	{ 0xff57, E0 | 0x4f }, /* End */
	{ 0xff61, E0 | 0x37 }, /* Print */
	{ 0xff63, E0 | 0x52 }, /* Insert */
	{ 0xff67, E0 | 0x5d }, /* Menu */
	{ 0xff7f, 0x45 },      /* Num_Lock */
	{ 0xff8d, E0 | 0x1c }, /* KP_Enter */
	{ 0xff95, 0x47 },      /* KP_Home, and so on: as the keys lie */
	{ 0xff96, 0x4b },      { 0xff97, 0x48 }, { 0xff98, 0x4d },
	{ 0xff99, 0x50 },      { 0xff9a, 0x49 }, { 0xff9b, 0x51 },
	{ 0xff9c, 0x4f },      { 0xff9d, 0x4c }, { 0xff9e, 0x52 },
	{ 0xff9f, 0x53 },      { 0xffaa, 0x37 }, { 0xffab, 0x4e },
	{ 0xffad, 0x4a },      { 0xffae, 0x53 }, { 0xffaf, E0 | 0x35 },
	{ 0xffb0, 0x52 }, /* KP_0, and so on */
	{ 0xffb1, 0x4f },      { 0xffb2, 0x50 }, { 0xffb3, 0x51 },
	{ 0xffb4, 0x4b },      { 0xffb5, 0x4c }, { 0xffb6, 0x4d },
	{ 0xffb7, 0x47 },      { 0xffb8, 0x48 }, { 0xffb9, 0x49 },
	{ 0xffc8, 0x57 },      /* F11 */
	{ 0xffc9, 0x58 },      /* F12 */
	{ 0xffe1, 0x2a },      /* Shift_L */
	{ 0xffe2, 0x36 },      /* Shift_R */
	{ 0xffe3, 0x1d },      /* Control_L */
	{ 0xffe4, E0 | 0x1d }, /* Control_R */
	{ 0xffe5, 0x3a },      /* Caps_Lock */
	{ 0xffe7, 0x38 },      /* Meta_L */
	{ 0xffe9, 0x38 },      /* Alt_L */
	{ 0xffea, E0 | 0x38 }, /* Alt_R */
	{ 0xffeb, E0 | 0x5b }, /* Super_L */
	{ 0xffec, E0 | 0x5c }, /* Super_R */
	{ 0xfe03, E0 | 0x38 }, /* ISO_Level3_Shift */
	{ 0xffff, E0 | 0x53 }, /* Delete */
};

#define KEYSYM_F1 0xffbeu

uint8_t rfb_scan_code(uint32_t keysym)
{
	bool shift;

	if (keysym >= ' ' && keysym <= '~')
		return key_map_find((char)keysym, &shift);
	if (keysym >= KEYSYM_F1 && keysym < KEYSYM_F1 + 10)
		return (uint8_t)(0x3b + (keysym - KEYSYM_F1));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].keysym == keysym)
			return keys[i].code;
	return 0;
}

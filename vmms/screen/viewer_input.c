/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a viewer types and where it points. */
#include "common/wire/keyboard.h"
#include "vmms/screen/viewer_internal.h"

#define E0             0x80
#define POINTER_MAX    32767
#define BUTTON_WHEEL   0x08 /* of RFB: up; the next one down */
#define BUTTONS_SIMPLE 0x07

static void viewer_send_key(const struct viewer *viewer, uint8_t code, bool down)
{
	int32_t flags =
		(code & E0 ? (int32_t)KEYBOARD_E0 : 0) | (down ? 0 : (int32_t)KEYBOARD_BREAK);

	screen_link_send(viewer->screen, SCREEN_LINK_KEY, code & ~E0, flags, 0, 0);
}

/* A key that is held down comes again and again. */
void viewer_press_key(struct viewer *viewer, uint8_t code, bool down)
{
	uint64_t *keys = &viewer->keys_down[code / 64], bit = UINT64_C(1) << code % 64;

	if (viewer->read_only || (code & ~E0) == 0 || (!down && !(*keys & bit)))
		return;
	*keys = down ? *keys | bit : *keys & ~bit;
	viewer_send_key(viewer, code, down);
}

static int32_t viewer_scale(uint16_t at, uint16_t size)
{
	return size < 2 ? 0 : (int32_t)((uint32_t)MIN(at, size - 1) * POINTER_MAX / (size - 1u));
}

/* RFB has left, middle, right; a mouse has left, right, middle. */
static int32_t viewer_buttons(uint8_t buttons)
{
	return (buttons & 1) | (buttons & 2) << 1 | (buttons & 4) >> 1;
}

/* A wheel that is turned is a button that goes down. */
void viewer_point(struct viewer *viewer, uint8_t buttons, uint16_t x, uint16_t y)
{
	const uint8_t pressed = buttons & ~viewer->buttons;
	const int32_t wheel =
		(pressed & BUTTON_WHEEL ? 1 : 0) - (pressed & BUTTON_WHEEL << 1 ? 1 : 0);

	if (viewer->read_only)
		return;
	if (((buttons ^ viewer->buttons) & BUTTONS_SIMPLE) || wheel != 0 || x != viewer->x ||
	    y != viewer->y)
		screen_link_send(viewer->screen, SCREEN_LINK_MOUSE, viewer_buttons(buttons),
				 viewer_scale(x, viewer->told_width),
				 viewer_scale(y, viewer->told_height), wheel);
	viewer->buttons = buttons;
	viewer->x = x;
	viewer->y = y;
}

void viewer_release_all(struct viewer *viewer)
{
	for (unsigned code = 0; code < 256; code++)
		viewer_press_key(viewer, (uint8_t)code, false);
	if (viewer->buttons & BUTTONS_SIMPLE)
		viewer_point(viewer, 0, viewer->x, viewer->y);
}

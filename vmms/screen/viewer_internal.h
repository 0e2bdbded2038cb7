/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of a viewer share. */
#pragma once

#include "vmms/screen/viewer.h"

#include <stdbool.h>
#include <stdint.h>

/* What it says that it can, by its last list. */
struct viewer_choice {
	bool has_encoding;
	enum rfb_encoding encoding; /* of pixels; the first on the list that is known */
	bool size, extended_size, cursor, alpha_cursor, keys, fence, continuous;
};

struct viewer {
	struct screen *screen;
	int fd;
	bool read_only;
	struct rfb_reader reader;
	uint8_t version; /* 3.x: x */
	uint8_t input[4096];
	size_t input_size;
	struct rfb_output output;

	/* Those of the update that is being sent; and of the next one. */
	struct rfb_format format, wanted_format;
	enum rfb_encoding encoding;
	struct viewer_choice chosen;
	struct rfb_zrle *zrle; /* NULL: not needed yet */

	uint16_t told_width, told_height; /* of the screen */
	struct tiles dirt;                /* that it is to be sent; and those of this update */
	struct tiles sending;
	bool requested, continuous; /* it waits for an update */
	bool size_due, cursor_due, keys_due;
	bool resize_refused; /* which it was not told yet */
	bool fence_told, continuous_told, keys_told;

	uint8_t buttons;
	uint16_t x, y;
	uint64_t keys_down[4]; /* by scan code, with 0x80 for E0 */
};

/* viewer_message.c. Return: false: it is to go. */
bool viewer_take_message(struct viewer *viewer, const struct rfb_message *message) MUST_CHECK;

/* viewer_input.c: what it types and where it points, for the guest. */
void viewer_press_key(struct viewer *viewer, uint8_t code, bool down);
void viewer_point(struct viewer *viewer, uint8_t buttons, uint16_t x, uint16_t y);
void viewer_release_all(struct viewer *viewer);

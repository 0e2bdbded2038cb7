/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The copy of what the guest shows. */
#include "vmms/screen/screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIXEL ((uint32_t)sizeof(uint32_t))

struct rfb_picture screen_picture(const struct screen *screen)
{
	if (!screen->mode.active)
		return (struct rfb_picture){ 0 };
	return (struct rfb_picture){ screen->pixels, screen->mode.width, screen->mode.height };
}

/* A pointer that is not to be seen has no pixels. */
struct rfb_cursor screen_cursor(const struct screen *screen)
{
	return screen->cursor_visible ? screen->cursor : (struct rfb_cursor){ 0 };
}

static bool mode_fits(const struct screen_mode *mode)
{
	return mode->width > 0 && mode->height > 0 && mode->width <= SCREEN_LINK_SIZE_MAX &&
	       mode->height <= SCREEN_LINK_SIZE_MAX && mode->pitch >= mode->width * PIXEL &&
	       mode->offset + (uint64_t)mode->pitch * mode->height <= SCREEN_LINK_VRAM_SIZE;
}

int screen_set_mode(struct screen *screen, const struct screen_mode *mode)
{
	uint32_t *pixels = NULL;

	if (mode->active) {
		if (!screen->vram || !mode_fits(mode))
			return SCREEN_E_STRANGE;
		pixels = calloc((size_t)mode->width * mode->height, PIXEL);
		if (!pixels)
			return -ENOMEM;
	}
	free(screen->pixels);
	screen->pixels = pixels;
	screen->mode = *mode;
	screen->dirt = (struct tiles){ 0 };
	tiles_add(&screen->dirt, 0, 0, mode->active ? mode->width : 0, mode->height);
	return 0;
}

static bool picture_copy_tile(struct screen *screen, uint32_t x, uint32_t y)
{
	const struct screen_mode *mode = &screen->mode;
	const size_t size = MIN((uint32_t)TILE_SIZE, mode->width - x) * PIXEL;
	const uint32_t end = MIN(y + TILE_SIZE, mode->height);
	bool changed = false;

	for (; y < end; y++) {
		const uint8_t *from =
			screen->vram + mode->offset + (size_t)y * mode->pitch + (size_t)x * PIXEL;
		uint32_t *to = screen->pixels + (size_t)y * mode->width + x;

		if (memcmp(to, from, size) == 0)
			continue;
		memcpy(to, from, size);
		changed = true;
	}
	return changed;
}

void screen_refresh(struct screen *screen, struct tiles *changed)
{
	unsigned row, first, count;

	*changed = (struct tiles){ 0 };
	tiles_cut(&screen->dirt, screen->mode.active ? screen->mode.width : 0, screen->mode.height);
	while (tiles_take_run(&screen->dirt, &row, &first, &count))
		for (unsigned column = first; column < first + count; column++)
			if (picture_copy_tile(screen, column * TILE_SIZE, row * TILE_SIZE))
				changed->rows[row] |= UINT64_C(1) << column;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal shows of what a guest wrote: characters, controls and modes. */
#include "vmms/vmctl/guest_screen_internal.h"

#include "vmms/vmctl/glyph.h"

#include <errno.h>
#include <string.h>

#define TAB_WIDTH 8

_Static_assert(GUEST_SCREEN_ROWS_MAX <= CELL_GRID_ROWS_MAX &&
		       GUEST_SCREEN_COLUMNS_MAX <= CELL_GRID_COLUMNS_MAX,
	       "grids hold screens of any size");

/* ---- Moving ---- */

void guest_screen_move_to(struct guest_screen *screen, unsigned x, unsigned y)
{
	screen->cursor.x = MIN(x, guest_screen_grid(screen)->columns - 1);
	screen->cursor.y = MIN(y, guest_screen_grid(screen)->rows - 1);
	screen->cursor.wrapping = false;
}

void guest_screen_go_to(struct guest_screen *screen, unsigned x, unsigned y)
{
	if (screen->cursor.origin)
		y = MIN(screen->top + y, screen->bottom - 1);
	guest_screen_move_to(screen, x, y);
}

void guest_screen_move_up(struct guest_screen *screen, unsigned count)
{
	unsigned y = screen->cursor.y, limit = y >= screen->top ? screen->top : 0;

	guest_screen_move_to(screen, screen->cursor.x, y - MIN(count, y - limit));
}

void guest_screen_move_down(struct guest_screen *screen, unsigned count)
{
	unsigned y = screen->cursor.y;
	unsigned limit =
		y < screen->bottom ? screen->bottom - 1 : guest_screen_grid(screen)->rows - 1;

	guest_screen_move_to(screen, screen->cursor.x, MIN(y + count, limit));
}

void guest_screen_index_down(struct guest_screen *screen)
{
	if (screen->cursor.y == screen->bottom - 1)
		cell_grid_scroll_up(guest_screen_grid(screen), screen->top, screen->bottom, 1);
	else
		guest_screen_move_down(screen, 1);
	screen->cursor.wrapping = false;
}

void guest_screen_index_up(struct guest_screen *screen)
{
	if (screen->cursor.y == screen->top)
		cell_grid_scroll_down(guest_screen_grid(screen), screen->top, screen->bottom, 1);
	else
		guest_screen_move_up(screen, 1);
	screen->cursor.wrapping = false;
}

void guest_screen_tab_forward(struct guest_screen *screen)
{
	unsigned x = screen->cursor.x + 1;

	while (x < guest_screen_grid(screen)->columns && !screen->tabs[x])
		x++;
	guest_screen_move_to(screen, x, screen->cursor.y);
}

void guest_screen_tab_back(struct guest_screen *screen)
{
	unsigned x = screen->cursor.x;

	while (x > 0 && !screen->tabs[--x])
		;
	guest_screen_move_to(screen, x, screen->cursor.y);
}

/* ---- Characters ---- */

void guest_screen_put(struct guest_screen *screen, uint32_t character)
{
	struct cursor *cursor = &screen->cursor;
	unsigned columns = guest_screen_grid(screen)->columns, width;

	if (cursor->drawing[cursor->set])
		character = glyph_line_drawing(character);
	width = glyph_width(character);
	if (width == 0)
		return;
	if (!screen->no_wrap && (cursor->wrapping || cursor->x + width > columns)) {
		cursor->x = 0;
		guest_screen_index_down(screen);
	}
	if (screen->insert)
		cell_grid_insert(guest_screen_grid(screen), cursor->y, cursor->x, width);
	cell_grid_put(guest_screen_grid(screen), cursor->y, cursor->x, character, width);
	cursor->wrapping = !screen->no_wrap && cursor->x + width >= columns;
	cursor->x = MIN(cursor->x + width, columns - 1);
}

static void screen_control(struct guest_screen *screen, uint32_t code)
{
	struct cursor *cursor = &screen->cursor;

	switch (code) {
	case '\b':
		guest_screen_move_to(screen, cursor->x - (cursor->x > 0), cursor->y);
		break;
	case '\t':
		guest_screen_tab_forward(screen);
		break;
	case '\n':
	case '\v':
	case '\f':
		if (screen->newline)
			cursor->x = 0;
		guest_screen_index_down(screen);
		break;
	case '\r':
		guest_screen_move_to(screen, 0, cursor->y);
		break;
	case '\016': /* SO, SI */
	case '\017':
		cursor->set = code == '\016';
		break;
	}
}

/* ---- Modes ---- */

void guest_screen_erase_rows(struct cell_grid *grid, unsigned from, unsigned to)
{
	for (; from < to; from++)
		cell_grid_erase(grid, from, 0, grid->columns);
}

void guest_screen_save_cursor(struct guest_screen *screen)
{
	screen->saved[screen->current] = screen->cursor;
}

void guest_screen_restore_cursor(struct guest_screen *screen)
{
	screen->cursor = screen->saved[screen->current];
}

void guest_screen_reset_modes(struct guest_screen *screen)
{
	screen->top = 0;
	screen->bottom = guest_screen_grid(screen)->rows;
	screen->no_wrap = screen->insert = screen->newline = false;
	screen->cursor.origin = false;
	screen->cursor.drawing[0] = screen->cursor.drawing[1] = false;
	screen->cursor.set = 0;
}

void guest_screen_reset(struct guest_screen *screen)
{
	for (unsigned i = 0; i < ARRAY_SIZE(screen->grids); i++)
		guest_screen_erase_rows(&screen->grids[i], 0, screen->grids[i].rows);
	screen->current = 0;
	screen->cursor = (struct cursor){ 0 };
	memset(screen->saved, 0, sizeof(screen->saved));
	for (unsigned i = 0; i < ARRAY_SIZE(screen->tabs); i++)
		screen->tabs[i] = i > 0 && i % TAB_WIDTH == 0;
	screen->last = 0;
	guest_screen_reset_modes(screen);
}

/* mode: 47; 1047, which leaves the alternate screen clear; 1049, which clears it first, and takes
 * care of the cursor. */
static void screen_set_alternate(struct guest_screen *screen, unsigned mode, bool on)
{
	if (on == (screen->current == 1))
		return;
	if (mode == (on ? 1049u : 1047u))
		guest_screen_erase_rows(&screen->grids[1], 0, screen->grids[1].rows);
	if (on && mode == 1049)
		guest_screen_save_cursor(screen);
	screen->current = on;
	if (!on && mode == 1049)
		guest_screen_restore_cursor(screen);
}

static void screen_set_private_mode(struct guest_screen *screen, unsigned mode, bool on)
{
	switch (mode) {
	case 6:
		screen->cursor.origin = on;
		guest_screen_go_to(screen, 0, 0);
		break;
	case 7:
		screen->no_wrap = !on;
		screen->cursor.wrapping = false;
		break;
	case 47:
	case 1047:
	case 1049:
		screen_set_alternate(screen, mode, on);
		break;
	case 1048:
		if (on)
			guest_screen_save_cursor(screen);
		else
			guest_screen_restore_cursor(screen);
		break;
	}
}

void guest_screen_set_modes(struct guest_screen *screen, const struct escape_token *token)
{
	bool on = token->final == 'h';

	for (unsigned i = 0; i < ARRAY_SIZE(token->parameters); i++) {
		unsigned mode = token->parameters[i];

		if (token->prefix == '?')
			screen_set_private_mode(screen, mode, on);
		else if (mode == 4)
			screen->insert = on;
		else if (mode == 20)
			screen->newline = on;
	}
}

/* ---- The screen ---- */

int guest_screen_new(unsigned columns, unsigned rows, struct guest_screen **ret_screen)
{
	CLEANUP(guest_screen_freep) struct guest_screen *screen = NULL;
	int r = 0;

	if (columns < GUEST_SCREEN_COLUMNS_MIN || columns > GUEST_SCREEN_COLUMNS_MAX ||
	    rows < GUEST_SCREEN_ROWS_MIN || rows > GUEST_SCREEN_ROWS_MAX)
		return -EINVAL;
	screen = calloc(1, sizeof(*screen));
	if (!screen)
		return -ENOMEM;
	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(screen->grids); i++)
		r = cell_grid_init(&screen->grids[i], columns, rows);
	if (r < 0)
		return r;
	guest_screen_reset(screen);
	*ret_screen = TAKE_PTR(screen);
	return 0;
}

void guest_screen_free(struct guest_screen *screen)
{
	if (!screen)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(screen->grids); i++)
		cell_grid_deinit(&screen->grids[i]);
	free(screen);
}

static void screen_take(struct guest_screen *screen, const struct escape_token *token)
{
	switch (token->kind) {
	case ESCAPE_CHARACTER:
		guest_screen_put(screen, token->character);
		screen->last = token->character;
		break;
	case ESCAPE_CONTROL:
		screen_control(screen, token->character);
		break;
	case ESCAPE_SIMPLE:
		guest_screen_take_simple(screen, token);
		break;
	case ESCAPE_CSI:
		guest_screen_take_csi(screen, token);
		break;
	case ESCAPE_NONE:
		break;
	}
}

void guest_screen_write(struct guest_screen *screen, const char *bytes, size_t size)
{
	struct escape_token token;

	for (size_t taken; size > 0; bytes += taken, size -= taken) {
		taken = escape_reader_next(&screen->reader, bytes, size, &token);
		screen_take(screen, &token);
	}
}

void guest_screen_cursor(const struct guest_screen *screen, unsigned *ret_column, unsigned *ret_row)
{
	*ret_column = screen->cursor.x;
	*ret_row = screen->cursor.y;
}

char *guest_screen_row_new(const struct guest_screen *screen, unsigned row)
{
	return cell_grid_text_new(&screen->grids[screen->current], row);
}

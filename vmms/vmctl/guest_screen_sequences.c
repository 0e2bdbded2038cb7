/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal shows of what a guest wrote: what sequences do. */
#include "vmms/vmctl/guest_screen_internal.h"

#include <string.h>

static void sequences_erase_display(struct guest_screen *screen, unsigned what)
{
	const struct cursor *cursor = &screen->cursor;

	if (what == 0)
		guest_screen_erase_rows(guest_screen_grid(screen), cursor->y + 1,
					guest_screen_grid(screen)->rows);
	else if (what == 1)
		guest_screen_erase_rows(guest_screen_grid(screen), 0, cursor->y);
	else if (what == 2)
		guest_screen_erase_rows(guest_screen_grid(screen), 0,
					guest_screen_grid(screen)->rows);
}

static void sequences_erase_line(struct guest_screen *screen, unsigned what)
{
	const struct cursor *cursor = &screen->cursor;

	if (what <= 2)
		cell_grid_erase(guest_screen_grid(screen), cursor->y, what == 0 ? cursor->x : 0,
				what == 1 ? cursor->x + 1 : guest_screen_grid(screen)->columns);
}

static void sequences_set_margins(struct guest_screen *screen, unsigned top, unsigned bottom)
{
	unsigned rows = guest_screen_grid(screen)->rows;

	top = MAX(top, 1u) - 1;
	bottom = bottom == 0 ? rows : MIN(bottom, rows);
	if (top + 1 >= bottom)
		return;
	screen->top = top;
	screen->bottom = bottom;
	guest_screen_go_to(screen, 0, 0);
}

/* Rows are put in, or taken out, where the cursor is. */
static void sequences_move_rows(struct guest_screen *screen, bool in, unsigned count)
{
	struct cursor *cursor = &screen->cursor;

	if (cursor->y < screen->top || cursor->y >= screen->bottom)
		return;
	if (in)
		cell_grid_scroll_down(guest_screen_grid(screen), cursor->y, screen->bottom, count);
	else
		cell_grid_scroll_up(guest_screen_grid(screen), cursor->y, screen->bottom, count);
	guest_screen_move_to(screen, 0, cursor->y);
}

static void sequences_repeat(struct guest_screen *screen, unsigned count)
{
	for (unsigned i = 0;
	     screen->last != 0 && i < MIN(count, guest_screen_grid(screen)->columns); i++)
		guest_screen_put(screen, screen->last);
}

static void sequences_tabs(struct guest_screen *screen, void (*move)(struct guest_screen *screen),
			   unsigned count)
{
	for (unsigned i = 0; i < MIN(count, guest_screen_grid(screen)->columns); i++)
		move(screen);
}

static void sequences_clear_tabs(struct guest_screen *screen, unsigned what)
{
	if (what == 0)
		screen->tabs[screen->cursor.x] = false;
	else if (what == 3)
		memset(screen->tabs, 0, sizeof(screen->tabs));
}

/* Those that move the cursor. Return: false: it is none of them. */
static bool sequences_take_movement(struct guest_screen *screen, const struct escape_token *token)
{
	const struct cursor *cursor = &screen->cursor;
	unsigned first = token->parameters[0], second = token->parameters[1];
	unsigned count = MAX(first, 1u);

	switch (token->final) {
	case 'A':
		guest_screen_move_up(screen, count);
		break;
	case 'B':
	case 'e':
		guest_screen_move_down(screen, count);
		break;
	case 'C':
	case 'a':
		guest_screen_move_to(screen, cursor->x + count, cursor->y);
		break;
	case 'D':
		guest_screen_move_to(screen, cursor->x - MIN(count, cursor->x), cursor->y);
		break;
	case 'E':
		guest_screen_move_down(screen, count);
		guest_screen_move_to(screen, 0, cursor->y);
		break;
	case 'F':
		guest_screen_move_up(screen, count);
		guest_screen_move_to(screen, 0, cursor->y);
		break;
	case 'G':
	case '`':
		guest_screen_move_to(screen, count - 1, cursor->y);
		break;
	case 'd':
		guest_screen_go_to(screen, cursor->x, count - 1);
		break;
	case 'H':
	case 'f':
		guest_screen_go_to(screen, MAX(second, 1u) - 1, count - 1);
		break;
	case 'I':
		sequences_tabs(screen, guest_screen_tab_forward, count);
		break;
	case 'Z':
		sequences_tabs(screen, guest_screen_tab_back, count);
		break;
	default:
		return false;
	}
	return true;
}

/* Those that change cells. Return: false: it is none of them. */
static bool sequences_take_change(struct guest_screen *screen, const struct escape_token *token)
{
	struct cursor *cursor = &screen->cursor;
	unsigned first = token->parameters[0], count = MAX(first, 1u);

	switch (token->final) {
	case 'J':
		sequences_erase_display(screen, first);
		if (first < 2)
			sequences_erase_line(screen, first);
		break;
	case 'K':
		sequences_erase_line(screen, first);
		break;
	case 'X':
		cell_grid_erase(guest_screen_grid(screen), cursor->y, cursor->x, cursor->x + count);
		break;
	case '@':
		cell_grid_insert(guest_screen_grid(screen), cursor->y, cursor->x, count);
		break;
	case 'P':
		cell_grid_delete(guest_screen_grid(screen), cursor->y, cursor->x, count);
		break;
	case 'L':
	case 'M':
		sequences_move_rows(screen, token->final == 'L', count);
		break;
	case 'S':
		cell_grid_scroll_up(guest_screen_grid(screen), screen->top, screen->bottom, count);
		break;
	case 'T':
		cell_grid_scroll_down(guest_screen_grid(screen), screen->top, screen->bottom,
				      count);
		break;
	default:
		return false;
	}
	cursor->wrapping = false;
	return true;
}

static void sequences_take_setting(struct guest_screen *screen, const struct escape_token *token)
{
	switch (token->final) {
	case 'b':
		sequences_repeat(screen, MAX(token->parameters[0], 1u));
		break;
	case 'g':
		sequences_clear_tabs(screen, token->parameters[0]);
		break;
	case 'r':
		sequences_set_margins(screen, token->parameters[0], token->parameters[1]);
		break;
	case 's':
		guest_screen_save_cursor(screen);
		break;
	case 'u':
		guest_screen_restore_cursor(screen);
		break;
	}
}

void guest_screen_take_csi(struct guest_screen *screen, const struct escape_token *token)
{
	if (token->intermediate == '!' && token->final == 'p')
		guest_screen_reset_modes(screen);
	if (token->intermediate != '\0')
		return;
	if ((token->final == 'h' || token->final == 'l') &&
	    (token->prefix == '\0' || token->prefix == '?'))
		guest_screen_set_modes(screen, token);
	else if (token->prefix == '\0' && !sequences_take_movement(screen, token) &&
		 !sequences_take_change(screen, token))
		sequences_take_setting(screen, token);
}

void guest_screen_take_simple(struct guest_screen *screen, const struct escape_token *token)
{
	struct cursor *cursor = &screen->cursor;

	if (token->intermediate == '(' || token->intermediate == ')')
		cursor->drawing[token->intermediate == ')'] = token->final == '0';
	switch (token->intermediate == '\0' ? token->final : '\0') {
	case '7':
		guest_screen_save_cursor(screen);
		break;
	case '8':
		guest_screen_restore_cursor(screen);
		break;
	case 'D':
		guest_screen_index_down(screen);
		break;
	case 'E':
		cursor->x = 0;
		guest_screen_index_down(screen);
		break;
	case 'H':
		screen->tabs[cursor->x] = true;
		break;
	case 'M':
		guest_screen_index_up(screen);
		break;
	case 'c':
		guest_screen_reset(screen);
		break;
	}
}

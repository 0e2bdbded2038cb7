/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a guest_screen, for its own files.
 *
 * The cursor is always on the screen. After the last column of a row has been written it stays
 * there, and `wrapping` says that the next character begins a new row.
 */
#pragma once

#include "vmms/vmctl/cell_grid.h"
#include "vmms/vmctl/escape_reader.h"
#include "vmms/vmctl/guest_screen.h"

#include <stdbool.h>

/* What is saved and restored with the cursor. */
struct cursor {
	unsigned x, y;
	bool wrapping;
	bool origin;     /* rows count from the upper margin, and the cursor stays within margins */
	bool drawing[2]; /* G0 and G1 are the line drawing set */
	unsigned set;    /* which of them is used */
};

struct guest_screen {
	struct cell_grid grids[2]; /* and the alternate one */
	unsigned current;          /* of them */
	struct escape_reader reader;
	struct cursor cursor, saved[2];
	unsigned top, bottom; /* the rows that scroll: from one to before the other */
	bool no_wrap, insert, newline;
	bool tabs[GUEST_SCREEN_COLUMNS_MAX];
	uint32_t last; /* character, for repeating; 0: none */
};

static inline struct cell_grid *guest_screen_grid(struct guest_screen *screen)
{
	return &screen->grids[screen->current];
}

/* Moves the cursor, as far as the screen goes; x and y from 0. */
void guest_screen_move_to(struct guest_screen *screen, unsigned x, unsigned y);

/* The same, with a row that counts from the upper margin where programs want that. */
void guest_screen_go_to(struct guest_screen *screen, unsigned x, unsigned y);

/* By rows; margins stop it, unless it is beyond them. */
void guest_screen_move_up(struct guest_screen *screen, unsigned count);
void guest_screen_move_down(struct guest_screen *screen, unsigned count);

/* By a row; at a margin rows scroll instead. */
void guest_screen_index_down(struct guest_screen *screen);
void guest_screen_index_up(struct guest_screen *screen);

/* To the next tab, or else the edge. */
void guest_screen_tab_forward(struct guest_screen *screen);
void guest_screen_tab_back(struct guest_screen *screen);

void guest_screen_put(struct guest_screen *screen, uint32_t character);
void guest_screen_erase_rows(struct cell_grid *grid, unsigned from, unsigned to);

/* Each grid has a place for one. */
void guest_screen_save_cursor(struct guest_screen *screen);
void guest_screen_restore_cursor(struct guest_screen *screen);

/* All is as it was at first, but for a sequence that is being read; or the modes alone. */
void guest_screen_reset(struct guest_screen *screen);
void guest_screen_reset_modes(struct guest_screen *screen);

/* CSI h and CSI l. */
void guest_screen_set_modes(struct guest_screen *screen, const struct escape_token *token);

/* Sequences of these kinds. */
void guest_screen_take_csi(struct guest_screen *screen, const struct escape_token *token);
void guest_screen_take_simple(struct guest_screen *screen, const struct escape_token *token);

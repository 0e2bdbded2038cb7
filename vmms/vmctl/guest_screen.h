/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a terminal shows of what a guest wrote to its serial console.
 *
 * It does what VT100s and their successors (xterm, Linux's console) have in common and programs
 * use: the cursor and its margins, erasing, scrolling, inserting and deleting, tabs, the alternate
 * screen, line drawing, and lines that are wrapped when the next character comes. Colours, titles
 * and whatever it does not know leave no trace; marks over characters neither.
 *
 * The guest may write anything: rows hold printable characters alone, and a byte costs a bounded
 * amount of work, and no memory.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stddef.h>

#define GUEST_SCREEN_COLUMNS     80 /* unless the user wants others */
#define GUEST_SCREEN_ROWS        25
#define GUEST_SCREEN_COLUMNS_MIN 20
#define GUEST_SCREEN_COLUMNS_MAX 500
#define GUEST_SCREEN_ROWS_MIN    5
#define GUEST_SCREEN_ROWS_MAX    200

struct guest_screen;

/* A blank one. Return: 0; -EINVAL: the size is out of bounds; -ENOMEM. */
int guest_screen_new(unsigned columns, unsigned rows, struct guest_screen **ret_screen) MUST_CHECK;
void guest_screen_free(struct guest_screen *screen);
DEFINE_CLEANUP(struct guest_screen *, guest_screen_free)

/* The guest writes so many bytes more; they may end in the midst of a sequence. */
void guest_screen_write(struct guest_screen *screen, const char *bytes, size_t size);

/* Where the next character goes, from 0. */
void guest_screen_cursor(const struct guest_screen *screen, unsigned *ret_column,
			 unsigned *ret_row);

/* A row of the screen, from 0, without blanks at its end, as UTF-8; freed by the caller. NULL
 * without memory. */
char *guest_screen_row_new(const struct guest_screen *screen, unsigned row);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pictures of `vmctl top`: tables of rates, as lines of text.
 */
#pragma once

#include "vmms/vmctl/rates.h"

#include <stdio.h>

/* Tables, one beneath the other where there is room for all. */
enum screen_view {
	SCREEN_CPU,
	SCREEN_DISK,
	SCREEN_NETWORK,
	SCREEN_EXITS,
	SCREEN_MEMORY,
	_SCREEN_VIEW_COUNT,
};

struct screen {
	FILE *stream;
	unsigned rows, columns;   /* what is beyond them is left out; 0: there is no end */
	enum screen_view view;    /* the table to show if there is no room for all */
	const char *line_end;     /* "\r\n" on a raw terminal */
	const char *bold, *plain; /* sequences around titles, or "" */
};

/* head: the first line. */
void screen_draw(const struct screen *screen, const char *head, const struct rates *rates);

/* "1234", "56.7K", "1.2M"; "1.5G" of bytes, by 1024; "85us", "1.2ms", "3.4s", "-" for none. */
#define SCREEN_CELL 16
void screen_format_count(double count, char text[static SCREEN_CELL]);
void screen_format_bytes(double bytes, char text[static SCREEN_CELL]);
void screen_format_time(double us, char text[static SCREEN_CELL]);

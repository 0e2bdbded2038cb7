/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal on standard input, as a guest's or a picture's: every key goes through, nothing is
 * echoed.
 */
#pragma once

#include <stdbool.h>

/* Standard input and output are a terminal. */
bool terminal_is_there(void);

#define TERMINAL_PROGRESS_VARIABLE "VMCTL_SHOWS_PROGRESS"

/*
 * Standard error is a terminal, on which a line that grows may be shown; or the environment says
 * that it leads to one, on another host.
 */
bool terminal_shows_progress(void);

/*
 * From now on, until terminal_restore() or the end of the process, by whatever signal that can be
 * caught, keys are passed on raw.
 */
void terminal_make_raw(void);

/* The same, on a screen of its own without a cursor, which goes with terminal_restore(). */
void terminal_open_screen(void);
void terminal_restore(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that has not found VMBus, and why that may be.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GUEST_LIFE_QUIET 60 /* seconds that a guest may take to boot */
#define GUEST_LIFE_TEXT  256

/*
 * Writes what is to be said of it, or "". command_line: of its kernel, or NULL. quiet: microseconds
 * that it has run without VMBus.
 */
void guest_life_describe(const char *command_line, uint64_t quiet, char text[GUEST_LIFE_TEXT]);

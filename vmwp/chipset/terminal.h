/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal that a VM's console is shown on by hand: raw, so that the guest gets every key,
 * except one that is ours: Ctrl-A, then x to turn the VM off, or Ctrl-A again to send one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal {
	bool escaped; /* the last key was Ctrl-A */
	bool quit;    /* Ctrl-A x was typed */
};

/* Makes standard input raw if it is a terminal; the exit of the process restores it. */
void terminal_make_raw(void);

/* Takes our keys out of what was typed. Return: bytes left for the guest. */
size_t terminal_filter(struct terminal *terminal, uint8_t *bytes, size_t size);

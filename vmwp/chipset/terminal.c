/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal that a VM's console is shown on by hand. */
#include "vmwp/chipset/terminal.h"

#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 0x01

static struct termios saved;

static void terminal_restore(void)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
}

void terminal_make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	raw = saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0)
		atexit(terminal_restore);
}

size_t terminal_filter(struct terminal *terminal, uint8_t *bytes, size_t size)
{
	size_t left = 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t byte = bytes[i];

		if (!terminal->escaped && byte == CTRL_A) {
			terminal->escaped = true;
			continue;
		}
		if (terminal->escaped && (byte == 'x' || byte == 'X'))
			terminal->quit = true;
		else
			bytes[left++] = byte;
		terminal->escaped = false;
	}
	return left;
}

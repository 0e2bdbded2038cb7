/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The console: carries bytes between the serial port of the chipset and descriptors (a socket of
 * the daemon's, a terminal, a file), on the loop.
 *
 * Output is written in batches, some milliseconds after the first byte. A reader that keeps up
 * loses nothing: the guest waits. One that takes nothing for a while does not hold the guest: the
 * oldest output is forgotten until it reads again.
 *
 * Thread: the loop's, except console_output_ready() and console_input_room().
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"

#include <stddef.h>
#include <stdint.h>

struct chipset;

struct console;

struct console_config {
	struct loop *loop;
	struct chipset *chipset;
	int input_fd, output_fd; /* borrowed; may be the same; -1: no input, output thrown away */

	/*
	 * Looks at the keys of a person before the guest gets them, even if the guest takes none.
	 * Return: bytes that are left. Optional.
	 */
	size_t (*filter)(void *data, uint8_t *bytes, size_t size);
	void *data;
};

int console_new(const struct console_config *config, struct console **ret_console) MUST_CHECK;

/* Where anything of it is under way, the loop has been freed already: it holds buffers till then. */
void console_free(struct console *console);
DEFINE_CLEANUP(struct console *, console_free)

/* What the chipset's callbacks say. Any thread. */
void console_output_ready(struct console *console);
void console_input_room(struct console *console);

/*
 * From now on input and output are those of this descriptor, taken over, in place of another whose
 * end has come. Output that nobody took is written there first. Return: 0, -errno: it is not.
 */
int console_reconnect(struct console *console, int fd) MUST_CHECK;

/* What it is connected to, which it keeps; -1: nothing. */
int console_descriptor(const struct console *console);

/* Calls done once all output is written, or nobody takes it. Once, after the guest has stopped. */
void console_drain(struct console *console, void (*done)(void *data), void *data);

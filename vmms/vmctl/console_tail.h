/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of what a console session has shown, by which it is found in the scroll-back of a stream
 * that is opened anew: what follows there has not been shown.
 */
#pragma once

#include <stddef.h>

#define CONSOLE_TAIL_MAX 256 /* bytes */

struct console_tail {
	char bytes[CONSOLE_TAIL_MAX];
	size_t size;
};

/* These have been shown. */
void console_tail_add(struct console_tail *tail, const char *bytes, size_t size);

/*
 * Where in the scroll-back that begins which has not been shown: behind the last place where the
 * tail is; 0 if it is nowhere.
 */
size_t console_tail_find(const struct console_tail *tail, const char *bytes, size_t size);

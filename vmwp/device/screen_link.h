/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way between a machine's screen, keyboard and mouse, and the process that shows them to viewers
 * (common/screen_link.h). What that process says is believed nothing; what it does not take is kept
 * as one.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"

struct keyboard;
struct loop;
struct mouse;
struct screen_link;
struct video;

struct screen_link_config {
	struct loop *loop;
	struct video *video;
	struct keyboard *keyboard; /* NULL: none */
	struct mouse *mouse;       /* likewise */
	int vram;                  /* a descriptor of the frame buffer, borrowed */

	/* The other side has gone: the link is freed next. */
	void (*ended)(void *data);
	void *data;
};

/*
 * fd: a socket that keeps messages apart, taken over on success. Return: 0; -errno: the other side
 * does not take the first message, or there is no memory.
 */
int screen_link_new(const struct screen_link_config *config, int fd,
		    struct screen_link **ret_link) MUST_CHECK;

/* Nothing comes of it any more; `ended` is called soon. */
void screen_link_end(struct screen_link *link);

/* In `ended`, or when the loop does not run any more. */
void screen_link_free(struct screen_link *link);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker and the process that shows its screen to viewers (vmms/screen/) say to each other,
 * over a socket that keeps messages apart (SOCK_SEQPACKET): a struct screen_link_message each, with
 * pixels behind that of a shape. Both belong to one VM and may be of one version alone: the process
 * is started anew with each daemon, and a worker that knows another version refuses it.
 *
 * The worker says nothing until it is asked to (SCREEN_LINK_READY), and then all that has come
 * about since it was asked the last time, in a bounded number of messages; if nothing has, as soon
 * as something does. So neither waits for the other, and what a guest draws meanwhile becomes one.
 *
 *   screen                         worker
 *                              <-  VRAM, with the descriptor of the frame buffer, at once
 *   READY                      ->
 *                              <-  MODE, SHAPE, POINTER, DIRT: what is new; all of it at first
 *   WATCH, KEY, MOUSE, RESIZE    ->
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define SCREEN_LINK_VERSION   1
#define SCREEN_LINK_VRAM_SIZE (8 << 20)
#define SCREEN_LINK_SIZE_MAX  4096 /* pixels in either direction */
#define SCREEN_LINK_SHAPE_MAX 96   /* pixels in either direction */
#define SCREEN_LINK_DIRT_MAX  16   /* rectangles at once */

enum screen_link_type {
	SCREEN_LINK_VRAM = 1, /* version */
	SCREEN_LINK_MODE,     /* active, offset, width, height, pitch */
	SCREEN_LINK_DIRT,     /* x1, y1, x2, y2; the second point is outside */
	SCREEN_LINK_POINTER,  /* visible, x, y */
	SCREEN_LINK_SHAPE,    /* width, height, hot x, hot y; pixels follow, ARGB */

	SCREEN_LINK_READY = 64,
	SCREEN_LINK_WATCH,  /* 1: somebody looks */
	SCREEN_LINK_KEY,    /* make code, flags of common/wire/keyboard.h */
	SCREEN_LINK_MOUSE,  /* buttons, x, y from 0 to 32767, wheel */
	SCREEN_LINK_RESIZE, /* width, height */
};

struct screen_link_message {
	uint32_t type; /* enum screen_link_type */
	int32_t numbers[6];
};
_Static_assert(sizeof(struct screen_link_message) == 28, "between processes");

#define SCREEN_LINK_SHAPE_SIZE (SCREEN_LINK_SHAPE_MAX * SCREEN_LINK_SHAPE_MAX * 4)

/*
 * What the daemon says to that process: one message for each viewer, with the socket that is the
 * viewer's.
 */
struct screen_viewer_message {
	uint8_t read_only;
};

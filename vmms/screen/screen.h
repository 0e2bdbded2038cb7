/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmms-screen: the process that shows the screen of one VM to its viewers, by RFB.
 *
 * The daemon starts it when the first viewer comes, and hands it each viewer's socket; the worker
 * lends it the frame buffer, which it cannot write, and tells what has changed there
 * (common/screen_link.h). It has nothing else of the host (screen_sandbox.c), believes neither
 * viewers nor worker, waits for none of them, and ends with either the daemon or the worker.
 *
 * What is dirty is copied, and compared on the way, before it is encoded: the guest may draw at any
 * time. It is done when there is a viewer who can take it, so that what changes in between costs
 * nothing.
 *
 * Thread: the process's only one.
 */
#pragma once

#include "common/base/cc.h"
#include "common/screen_link.h"
#include "vmms/rfb/rfb.h"
#include "vmms/screen/tiles.h"

#include <stdbool.h>
#include <stdint.h>

#define SCREEN_VIEWERS_MAX 16

struct viewer;

struct screen_mode {
	bool active; /* else the guest shows nothing */
	uint32_t offset, width, height, pitch;
};

struct screen {
	int control, link;
	const char *name;    /* of the VM */
	const uint8_t *vram; /* NULL: not lent yet; the guest writes it */
	struct screen_mode mode;
	uint32_t *pixels; /* the copy: mode.width * mode.height */

	struct tiles dirt;     /* that the guest has told of, and was not copied */
	bool watched;          /* as the worker was told */
	bool owes_ready;       /* the worker waits to be asked */
	uint64_t next_refresh; /* nanoseconds; not before */

	/* Where the viewers' pointer is to have this shape. */
	struct rfb_cursor cursor;
	uint32_t cursor_pixels[SCREEN_LINK_SHAPE_MAX * SCREEN_LINK_SHAPE_MAX];
	bool cursor_known, cursor_visible;

	struct viewer *viewers[SCREEN_VIEWERS_MAX]; /* NULL: free */
};

enum {
	_SCREEN_E_OK,
	SCREEN_E_ENDED,   /* the other side has gone */
	SCREEN_E_STRANGE, /* it says what makes no sense */
};

/* Serves until one of the two sockets is closed. Return: SCREEN_E_. */
int screen_run(struct screen *screen) MUST_CHECK;

/* ---- The picture (screen_picture.c) ---- */

struct rfb_picture screen_picture(const struct screen *screen);
struct rfb_cursor screen_cursor(const struct screen *screen);

/* Return: 0; SCREEN_E_STRANGE: it does not fit the frame buffer; -ENOMEM. */
int screen_set_mode(struct screen *screen, const struct screen_mode *mode) MUST_CHECK;

/* Copies what is dirty. changed: gets the tiles that are not as they were. */
void screen_refresh(struct screen *screen, struct tiles *changed);

/* ---- The link (screen_link.c) ---- */

/* What the worker says. Return: 0; SCREEN_E_; -errno. */
int screen_link_take(struct screen *screen) MUST_CHECK;

/* If the worker does not take it, it is lost. */
void screen_link_send(const struct screen *screen, enum screen_link_type type, int32_t first,
		      int32_t second, int32_t third, int32_t fourth);

/* ---- Its beginning (screen_sandbox.c) ---- */

/* user: to become; 0: none. Says on standard error what failed. Return: 0; -errno. */
int screen_sandbox_enter(uint32_t user) MUST_CHECK;

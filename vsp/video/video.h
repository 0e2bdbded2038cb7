/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic video: a frame buffer that the guest places in its address space and draws in, and what
 * it says of mode and pointer.
 *
 * The guest is told to leave out what changes as long as nobody looks (video_watch()). What it says is
 * checked: of a mode that does not fit the frame buffer nothing is shown. A guest that breaks the
 * protocol is not talked to any more until it opens the channel anew.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/gpa.h"
#include "common/wire/video.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct video;

#define VIDEO_VRAM_MEGABYTES 8 /* as Hyper-V has it */
#define VIDEO_VRAM_SIZE      (VIDEO_VRAM_MEGABYTES << 20)
#define VIDEO_WIDTH_MIN      640
#define VIDEO_HEIGHT_MIN     480
#define VIDEO_SIZE_MAX       4096 /* pixels in either direction */

enum video_state {
	VIDEO_ABSENT,      /* the guest has no driver, or it is not loaded */
	VIDEO_NEGOTIATING, /* it has not asked for a version that is known */
	VIDEO_READY,
	VIDEO_REFUSED, /* it does not follow the protocol */
};

enum {
	_VIDEO_E_OK,
	VIDEO_E_PLACE, /* the frame buffer cannot be there */
};

struct video_ops {
	/*
	 * The frame buffer is at this guest-physical address from now on, whatever the guest says
	 * it is, and nowhere else. Return: 0; VIDEO_E_PLACE: it stays where it was; -errno.
	 */
	int (*place)(void *data, gpa_t gpa);

	/* It is nowhere: video_reset(). */
	void (*remove)(void *data);
};

struct video_config {
	struct vmbus *bus;
	const struct video_ops *ops; /* borrowed */
	void *data;
	uint8_t *vram; /* VIDEO_VRAM_SIZE bytes, borrowed; the guest writes them */
	struct video_resolution resolution; /* what the guest is advised to begin with */
};

struct video_mode {
	bool active; /* else the others are 0 */
	uint32_t offset, width, height,
		pitch; /* bytes, pixels, pixels, bytes; all within the VRAM */
};

struct video_pointer {
	bool visible;
	int32_t x, y;
	uint32_t width, height, hot_x, hot_y; /* width 0: no shape is known */
};

struct video_report {
	enum video_state state;
	uint32_t version; /* 0: none yet */
	bool placed;
	gpa_t place;
	struct video_mode mode;
	struct video_pointer pointer;
	bool watched;
	uint64_t rectangles; /* that the guest has told of */
	uint64_t refused;    /* messages of which something made no sense */
};

/* Return: 0; -EINVAL: a resolution that is out of bounds; -errno. */
int video_new(const struct video_config *config, struct video **ret_video) MUST_CHECK;

/* After vmbus_reset() is done. */
void video_free(struct video *video);
DEFINE_CLEANUP(struct video *, video_free)

/* Whether a frame of that size fits, and is not too small. */
bool video_resolution_is_valid(uint64_t width, uint64_t height);

/*
 * The machine was reset, or is going to be freed. Until then the frame buffer and the mode stay as a
 * driver that has gone has left them, as those of firmware for the system that comes after it.
 */
void video_reset(struct video *video);

/* Somebody looks from now on, or nobody does. */
void video_watch(struct video *video, bool watched);

/* Who is told of what is new: where that is, video_report() has it. */
struct video_viewer {
	void (*mode)(void *data);
	void (*shape)(void *data);   /* of the pointer */
	void (*pointer)(void *data); /* where it is, and whether it is to be seen */

	/* What has changed, within the mode, and not empty. */
	void (*dirt)(void *data, const struct video_rectangle *rectangle);
};

/* viewer: borrowed; NULL: nobody. */
void video_set_viewer(struct video *video, const struct video_viewer *viewer, void *data);

struct video_report video_report(const struct video *video);
const char *video_state_name(enum video_state state); /* "absent", "negotiating", … */

/* The pointer's pixels, width * height of them, as ARGB. */
const uint32_t *video_pointer_pixels(const struct video *video);

/* ---- State ---- */

struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two nothing is sent. */
void video_quiesce(struct video *video);
void video_resume(struct video *video);

/*
 * The state of one that is quiet, with what is in its frame buffer, as a record of that name; and
 * one that was just made, on a bus that was restored, becomes as that one was, and is quiet; the
 * frame buffer is placed. Return: 0; STATE_E_ of common/base/state.h; -errno.
 */
void video_save(const struct video *video, const char *name, struct state_writer *writer);
int video_restore(struct video *video, const char *name,
		  const struct state_reader *reader) MUST_CHECK;

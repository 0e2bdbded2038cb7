/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of synthetic video share. Thread: the loop's. */
#pragma once

#include "vsp/video/video.h"

#define VIDEO_POINTER_PIXELS (VIDEO_POINTER_SIZE_MAX * VIDEO_POINTER_SIZE_MAX)

struct video {
	struct video_config config;
	struct vmbus_channel *channel;
	enum video_state state;
	uint32_t version; /* that was agreed on */
	bool placed;
	gpa_t place;
	struct video_mode mode;
	struct video_pointer pointer;

	/* A shape that is not complete, and what has come of its pixels. */
	struct video_pointer_shape coming;
	uint32_t coming_bytes;
	uint8_t coming_pixels[VIDEO_POINTER_PIXELS * sizeof(uint32_t)];
	uint32_t pixels[VIDEO_POINTER_PIXELS]; /* of the pointer */

	const struct video_viewer *viewer; /* NULL: none */
	void *viewer_data;
	bool watched;
	bool feature_change_waits; /* to be sent when it can be */
	bool quiet;                /* nothing is sent */
	uint64_t rectangles, refused;
};

/* The driver is as one that has not said anything; what is shown stays. */
void video_enter(struct video *video, enum video_state state);

/* The mode, if it fits; else none. Return: whether it does. */
bool video_set_mode(struct video *video, const struct video_situation *situation);

/* The viewer is told that the mode is another one. */
void video_note_mode(struct video *video);

/* video_message.c: one that came. */
void video_receive(struct video *video, const struct vmbus_packet *packet);

/* If it has to be, and can be. */
void video_send_feature_change(struct video *video);

/* video_resolution.c: what is offered, and the EDID. Return: their number. */
unsigned video_list_resolutions(const struct video_resolution *preferred, unsigned maximum,
				struct video_resolution *ret_list, unsigned *ret_preferred);
void video_make_edid(const struct video_resolution *preferred, uint8_t ret_edid[VIDEO_EDID_SIZE]);

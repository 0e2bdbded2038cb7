/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic video: where the guest's frame buffer is, what is shown of it, and what has changed.
 *
 * In-band packets that want no completion, each with a pipe header and a header of its own. The
 * guest's rings have 256 KiB each.
 *
 *   guest                        host
 *   VERSION_REQUEST          ->
 *                            <-  VERSION_RESPONSE, accepted or not
 *   RESOLUTION_REQUEST       ->                                        from version 3.5 on
 *                            <-  RESOLUTION_RESPONSE
 *   VRAM_LOCATION            ->
 *                            <-  VRAM_LOCATION_ACK, when memory is there
 *   SITUATION_UPDATE         ->  (mode, also whenever it changes)
 *                            <-  SITUATION_UPDATE_ACK
 *                            <-  FEATURE_CHANGE: what the host wants to hear of from now on
 *   POINTER_POSITION, POINTER_SHAPE, DIRT  ->
 *
 * Source: Linux drivers/gpu/drm/hyperv/hyperv_drm_proto.c and drivers/video/fbdev/hyperv_fb.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define VIDEO_TYPE GUID(0xda0a7802, 0xe377, 0x4aac, 0x8e, 0x77, 0x05, 0x58, 0xeb, 0x10, 0x73, 0xf8)
#define VIDEO_INSTANCE \
	GUID(0x5620e0c7, 0x8062, 0x4dce, 0xae, 0xb7, 0x52, 0x0c, 0x7e, 0xf7, 0x61, 0x71)

/* minor << 16 | major */
#define VIDEO_VERSION(minor) (UINT32_C(3) | (uint32_t)(minor) << 16)
#define VIDEO_MINOR_MAX      5

#define VIDEO_PIPE_DATA 1u

struct video_pipe_header {
	uint32_t type; /* VIDEO_PIPE_DATA */
	uint32_t size; /* of what follows */
};
_Static_assert(sizeof(struct video_pipe_header) == 8, "wire format");

enum video_message_type {
	VIDEO_VERSION_REQUEST = 1,
	VIDEO_VERSION_RESPONSE = 2,
	VIDEO_VRAM_LOCATION = 3,
	VIDEO_VRAM_LOCATION_ACK = 4,
	VIDEO_SITUATION_UPDATE = 5,
	VIDEO_SITUATION_UPDATE_ACK = 6,
	VIDEO_POINTER_POSITION = 7,
	VIDEO_POINTER_SHAPE = 8,
	VIDEO_FEATURE_CHANGE = 9,
	VIDEO_DIRT = 10,
	VIDEO_RESOLUTION_REQUEST = 13,
	VIDEO_RESOLUTION_RESPONSE = 14,
};

struct video_header {
	struct video_pipe_header pipe;
	uint32_t type; /* enum video_message_type */
	uint32_t size; /* of this, from `type` on, and what follows */
};
_Static_assert(sizeof(struct video_header) == 16, "wire format");

struct video_version_request {
	uint32_t version; /* VIDEO_VERSION() */
} PACKED;
_Static_assert(sizeof(struct video_version_request) == 4, "wire format");

#define VIDEO_ACCEPTED 2 /* 1 is for guests that did not ask for the newest */

struct video_version_response {
	uint32_t version;
	uint8_t accepted; /* 0, or VIDEO_ACCEPTED */
	uint8_t output_count;
} PACKED;
_Static_assert(sizeof(struct video_version_response) == 6, "wire format");

struct video_vram_location {
	uint64_t context; /* the guest's, given back */
	uint8_t specified;
	uint64_t gpa;
} PACKED;
_Static_assert(sizeof(struct video_vram_location) == 17, "wire format");

/* Of a VRAM location, and of a situation update. */
struct video_ack {
	uint64_t context;
} PACKED;
_Static_assert(sizeof(struct video_ack) == 8, "wire format");

struct video_situation {
	uint8_t active;
	uint32_t offset; /* of the first pixel in VRAM */
	uint8_t depth;   /* bits of a pixel: 32, blue first, the last byte unused */
	uint32_t width, height, pitch;
} PACKED;
_Static_assert(sizeof(struct video_situation) == 18, "wire format");

struct video_situation_update {
	uint64_t context;
	uint8_t output_count; /* 1 */
	struct video_situation output;
} PACKED;
_Static_assert(sizeof(struct video_situation_update) == 27, "wire format");

struct video_pointer_position {
	uint8_t visible, output;
	int32_t x, y;
} PACKED;
_Static_assert(sizeof(struct video_pointer_position) == 10, "wire format");

#define VIDEO_POINTER_LAST     0xff
#define VIDEO_POINTER_SIZE_MAX 96

/* Pixels follow; a shape comes in several parts, of which the last is VIDEO_POINTER_LAST. */
struct video_pointer_shape {
	uint8_t part, argb; /* else: two masks */
	uint32_t width, height, hot_x, hot_y;
} PACKED;
_Static_assert(sizeof(struct video_pointer_shape) == 18, "wire format");

/* What the guest is to tell; it tells its situation and pointer again at once. */
struct video_feature_change {
	uint8_t dirt, pointer_position, pointer_shape, situation;
} PACKED;
_Static_assert(sizeof(struct video_feature_change) == 4, "wire format");

struct video_rectangle {
	int32_t x1, y1, x2, y2; /* the second point is outside */
} PACKED;
_Static_assert(sizeof(struct video_rectangle) == 16, "wire format");

/* Rectangles follow. */
struct video_dirt {
	uint8_t output, count;
} PACKED;
_Static_assert(sizeof(struct video_dirt) == 2, "wire format");

#define VIDEO_EDID_SIZE      128
#define VIDEO_RESOLUTION_MAX 64

struct video_resolution_request {
	uint8_t maximum;
} PACKED;
_Static_assert(sizeof(struct video_resolution_request) == 1, "wire format");

/* Resolutions follow. */
struct video_resolution_response {
	uint8_t edid[VIDEO_EDID_SIZE];
	uint8_t count, preferred, standard;
} PACKED;
_Static_assert(sizeof(struct video_resolution_response) == 131, "wire format");

struct video_resolution {
	uint16_t width, height;
} PACKED;
_Static_assert(sizeof(struct video_resolution) == 4, "wire format");

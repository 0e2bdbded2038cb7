/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Synthetic video: its life, and its channel. */
#include "vsp/video/video_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32

bool video_set_mode(struct video *video, const struct video_situation *situation)
{
	const uint64_t line = (uint64_t)situation->width * (DEPTH / 8);
	const uint64_t end = situation->offset + (uint64_t)situation->pitch * situation->height;

	video->mode = (struct video_mode){ 0 };
	if (!situation->active)
		return true;
	if (situation->depth != DEPTH || situation->width == 0 || situation->height == 0 ||
	    situation->width > VIDEO_SIZE_MAX || situation->height > VIDEO_SIZE_MAX ||
	    situation->pitch < line || end > VIDEO_VRAM_SIZE)
		return false;
	video->mode = (struct video_mode){
		.active = true,
		.offset = situation->offset,
		.width = situation->width,
		.height = situation->height,
		.pitch = situation->pitch,
	};
	return true;
}

void video_enter(struct video *video, enum video_state state)
{
	video->state = state;
	video->version = 0;
	video->pointer = (struct video_pointer){ 0 };
	video->coming_bytes = 0;
	video->feature_change_waits = true;
	if (state == VIDEO_REFUSED)
		video_reset(video);
}

void video_reset(struct video *video)
{
	loop_assert_thread(vmbus_loop(video->config.bus));
	video->mode = (struct video_mode){ 0 };
	video_note_mode(video);
	if (video->placed)
		video->config.ops->remove(video->config.data);
	video->placed = false;
}

void video_watch(struct video *video, bool watched)
{
	loop_assert_thread(vmbus_loop(video->config.bus));
	if (video->watched == watched)
		return;
	video->watched = watched;
	video->feature_change_waits = true;
	video_send_feature_change(video);
}

/* ---- The viewer ---- */

void video_note_mode(struct video *video)
{
	if (video->viewer)
		video->viewer->mode(video->viewer_data);
}

void video_set_viewer(struct video *video, const struct video_viewer *viewer, void *data)
{
	loop_assert_thread(vmbus_loop(video->config.bus));
	video->viewer = viewer;
	video->viewer_data = data;
}

/* ---- The channel ---- */

static int video_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	video_enter(device, VIDEO_NEGOTIATING);
	return 0;
}

static void video_closed(void *device, struct vmbus_channel *channel)
{
	video_enter(device, VIDEO_ABSENT);
	vmbus_channel_closed(channel);
}

static void video_readable(void *device, struct vmbus_channel *channel)
{
	struct vmbus_packet packet;

	while (vmbus_channel_receive(channel, &packet) == 0)
		video_receive(device, &packet);
}

static void video_writable(void *device, struct vmbus_channel *channel)
{
	video_send_feature_change(device);
}

static void video_released(void *device, struct vmbus_channel *channel)
{
	struct video *video = device;

	video->channel = NULL;
}

static const struct vmbus_channel_ops video_channel_ops = {
	.open = video_opened,
	.close = video_closed,
	.readable = video_readable,
	.writable = video_writable,
	.released = video_released,
};

int video_new(const struct video_config *config, struct video **ret_video)
{
	static const struct vmbus_offer offer = {
		.type = VIDEO_TYPE,
		.instance = VIDEO_INSTANCE,
		.flags = VMBUS_OFFER_ENUMERATE,
		.mmio_megabytes = VIDEO_VRAM_MEGABYTES,
		.name = "video",
	};
	CLEANUP(video_freep) struct video *video = NULL;
	int r;

	if (!video_resolution_is_valid(config->resolution.width, config->resolution.height))
		return -EINVAL;
	video = calloc(1, sizeof(*video));
	if (!video)
		return -ENOMEM;
	video->config = *config;
	r = vmbus_channel_offer(config->bus, &offer, &video_channel_ops, video, &video->channel);
	if (r < 0)
		return r;
	*ret_video = TAKE_PTR(video);
	return 0;
}

void video_free(struct video *video)
{
	if (!video)
		return;
	loop_assert_thread(vmbus_loop(video->config.bus));
	assert(video->state == VIDEO_ABSENT);
	vmbus_channel_free(video->channel);
	free(video);
}

struct video_report video_report(const struct video *video)
{
	return (struct video_report){
		.state = video->state,
		.version = video->version,
		.placed = video->placed,
		.place = video->place,
		.mode = video->mode,
		.pointer = video->pointer,
		.watched = video->watched,
		.rectangles = video->rectangles,
		.refused = video->refused,
	};
}

const uint32_t *video_pointer_pixels(const struct video *video)
{
	return video->pixels;
}

const char *video_state_name(enum video_state state)
{
	static const char *const names[] = {
		[VIDEO_ABSENT] = "absent",
		[VIDEO_NEGOTIATING] = "negotiating",
		[VIDEO_READY] = "ready",
		[VIDEO_REFUSED] = "refused",
	};

	return names[state];
}

void video_quiesce(struct video *video)
{
	video->quiet = true;
}

void video_resume(struct video *video)
{
	video->quiet = false;
	video_send_feature_change(video);
}

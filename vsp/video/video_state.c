/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of synthetic video: what the guest has said, and what it has drawn. */
#include "vsp/video/video_internal.h"

#include "common/base/state.h"

#include <errno.h>
#include <string.h>

#define VIDEO_STATE_VERSION 1
#define VRAM_PAGES          (VIDEO_VRAM_SIZE / HV_PAGE_SIZE)

/*
 * The pixels of the pointer follow, of the shape that is coming what has come, and pages of the
 * frame buffer: each its number, a uint64_t, and what is in it. Pages of zeros are left out.
 */
struct video_state_record {
	uint32_t state; /* enum video_state */
	uint32_t version;
	uint64_t place; /* if placed */
	uint32_t placed, visible;
	int32_t x, y;
	uint32_t width, height, hot_x, hot_y; /* of the pointer */
	uint32_t active, offset, mode_width, mode_height, pitch;
	uint32_t pages;
};
_Static_assert(sizeof(struct video_state_record) == 72, "stored format");

struct video_state_page {
	uint64_t number;
	uint8_t bytes[HV_PAGE_SIZE];
};
_Static_assert(sizeof(struct video_state_page) == HV_PAGE_SIZE + 8, "stored format");

static bool page_is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, HV_PAGE_SIZE - 1) == 0;
}

static struct video_state_record video_state(const struct video *video)
{
	struct video_state_record state = {
		.state = video->state,
		.version = video->version,
		.place = video->placed ? video->place.value : 0,
		.placed = video->placed,
		.visible = video->pointer.visible,
		.x = video->pointer.x,
		.y = video->pointer.y,
		.width = video->pointer.width,
		.height = video->pointer.height,
		.hot_x = video->pointer.hot_x,
		.hot_y = video->pointer.hot_y,
		.active = video->mode.active,
		.offset = video->mode.offset,
		.mode_width = video->mode.width,
		.mode_height = video->mode.height,
		.pitch = video->mode.pitch,
	};

	for (uint64_t i = 0; i < VRAM_PAGES; i++)
		state.pages += !page_is_zero(video->config.vram + i * HV_PAGE_SIZE);
	return state;
}

/* A shape of which not all has come is lost: the guest sends another when its pointer changes. */
void video_save(const struct video *video, const char *name, struct state_writer *writer)
{
	const struct video_state_record state = video_state(video);

	state_begin(writer, name, VIDEO_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_put(writer, video->pixels,
		  (size_t)state.width * state.height * sizeof(video->pixels[0]));
	for (uint64_t i = 0; i < VRAM_PAGES; i++) {
		const uint8_t *page = video->config.vram + i * HV_PAGE_SIZE;

		if (page_is_zero(page))
			continue;
		state_put(writer, &i, sizeof(i));
		state_put(writer, page, HV_PAGE_SIZE);
	}
	state_end(writer);
}

static bool pointer_is_valid(const struct video_state_record *state)
{
	if (state->width == 0 || state->height == 0)
		return state->width == 0 && state->height == 0 && state->hot_x == 0 &&
		       state->hot_y == 0;
	return state->width <= VIDEO_POINTER_SIZE_MAX && state->height <= VIDEO_POINTER_SIZE_MAX &&
	       state->hot_x < state->width && state->hot_y < state->height;
}

static bool video_state_is_valid(const struct video *video, const struct video_state_record *state)
{
	bool open = video->channel && vmbus_channel_is_open(video->channel);
	bool ready = state->state == VIDEO_READY, known = state->version == 0;

	for (unsigned minor = 0; minor <= VIDEO_MINOR_MAX; minor++)
		known = known || state->version == VIDEO_VERSION(minor);
	return state->state <= VIDEO_REFUSED && (state->state != VIDEO_ABSENT) == open && known &&
	       (state->version != 0) == ready && state->placed <= 1 && state->visible <= 1 &&
	       state->active <= 1 && pointer_is_valid(state) && state->pages <= VRAM_PAGES;
}

static int video_restore_pages(struct video *video, uint32_t count, struct state_record *record)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct video_state_page *page = state_take(record, sizeof(*page));
		uint64_t number;

		if (!page)
			return STATE_E_INVALID;
		memcpy(&number, &page->number, sizeof(number));
		if (number < next || number >= VRAM_PAGES)
			return STATE_E_INVALID;
		memcpy(video->config.vram + number * HV_PAGE_SIZE, page->bytes, HV_PAGE_SIZE);
		next = number + 1;
	}
	return record->left > 0 ? STATE_E_INVALID : 0;
}

static int video_restore_mode(struct video *video, const struct video_state_record *state)
{
	const struct video_situation situation = {
		.active = (uint8_t)state->active,
		.offset = state->offset,
		.depth = 32,
		.width = state->mode_width,
		.height = state->mode_height,
		.pitch = state->pitch,
	};
	int r;

	if (!video_set_mode(video, &situation))
		return STATE_E_INVALID;
	video->pointer = (struct video_pointer){
		.visible = state->visible,
		.x = state->x,
		.y = state->y,
		.width = state->width,
		.height = state->height,
		.hot_x = state->hot_x,
		.hot_y = state->hot_y,
	};
	if (!state->placed)
		return 0;
	r = video->config.ops->place(video->config.data, GPA(state->place));
	if (r)
		return r > 0 ? STATE_E_INVALID : r;
	video->placed = true;
	video->place = GPA(state->place);
	return 0;
}

int video_restore(struct video *video, const char *name, const struct state_reader *reader)
{
	struct video_state_record state;
	struct state_record record;
	int r;

	r = state_open(reader, name, VIDEO_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (!video_state_is_valid(video, &state) ||
	    state_get(&record, video->pixels,
		      (size_t)state.width * state.height * sizeof(video->pixels[0])))
		return STATE_E_INVALID;
	r = video_restore_pages(video, state.pages, &record);
	if (r)
		return r;
	video->quiet = true;
	r = video_restore_mode(video, &state);
	if (r)
		return r;
	video->state = (enum video_state)state.state;
	video->version = state.version;
	video->feature_change_waits = true;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way between a machine's screen and who shows it. */
#include "vmwp/device/screen_link.h"

#include "common/base/loop.h"
#include "common/screen_link.h"
#include "common/wire/keyboard.h"
#include "common/wire/mouse.h"
#include "vsp/hid/hid.h"
#include "vsp/video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(SCREEN_LINK_VRAM_SIZE / VIDEO_VRAM_MEGABYTES == 1 << 20 &&
		       SCREEN_LINK_SHAPE_MAX == VIDEO_POINTER_SIZE_MAX &&
		       SCREEN_LINK_SIZE_MAX == VIDEO_SIZE_MAX,
	       "as the guest's");

struct screen_link {
	struct screen_link_config config;
	int fd;
	struct loop_operation read;
	struct screen_link_message coming;
	struct loop_deferred deferred;

	bool asked; /* it waits for what is new */
	bool mode_due, shape_due, pointer_due;
	struct video_rectangle dirt[SCREEN_LINK_DIRT_MAX];
	size_t dirt_count;
};

/* ---- What is new ---- */

/* descriptor: -1: none. Return: 0; -errno. */
static int link_send(const struct screen_link *link, const struct screen_link_message *message,
		     const void *bytes, size_t size, int descriptor)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov[] = { { (void *)message, sizeof(*message) }, { (void *)bytes, size } };
	struct msghdr header = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	if (descriptor >= 0) {
		header.msg_control = control.space;
		header.msg_controllen = sizeof(control.space);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &descriptor, sizeof(descriptor));
	}
	return sendmsg(link->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int link_send_mode(const struct screen_link *link, const struct video_report *report)
{
	const struct video_mode *mode = &report->mode;
	const struct screen_link_message message = { SCREEN_LINK_MODE,
						     { mode->active, (int32_t)mode->offset,
						       (int32_t)mode->width, (int32_t)mode->height,
						       (int32_t)mode->pitch } };

	return link_send(link, &message, NULL, 0, -1);
}

static int link_send_shape(const struct screen_link *link, const struct video_report *report)
{
	const struct video_pointer *pointer = &report->pointer;
	const struct screen_link_message message = {
		SCREEN_LINK_SHAPE,
		{ (int32_t)pointer->width, (int32_t)pointer->height, (int32_t)pointer->hot_x,
		  (int32_t)pointer->hot_y }
	};

	return link_send(link, &message, video_pointer_pixels(link->config.video),
			 (size_t)pointer->width * pointer->height * sizeof(uint32_t), -1);
}

static int link_send_pointer(const struct screen_link *link, const struct video_report *report)
{
	const struct video_pointer *pointer = &report->pointer;
	const struct screen_link_message message = { SCREEN_LINK_POINTER,
						     { pointer->visible, pointer->x, pointer->y } };

	return link_send(link, &message, NULL, 0, -1);
}

static int link_send_dirt(struct screen_link *link)
{
	int r = 0;

	while (r == 0 && link->dirt_count > 0) {
		const struct video_rectangle *dirt = &link->dirt[link->dirt_count - 1];
		const struct screen_link_message message = {
			SCREEN_LINK_DIRT, { dirt->x1, dirt->y1, dirt->x2, dirt->y2 }
		};

		r = link_send(link, &message, NULL, 0, -1);
		if (r == 0)
			link->dirt_count--;
	}
	return r;
}

/* What it does not take is due still, and it asks again. */
static void link_tell(struct loop_deferred *deferred)
{
	struct screen_link *link = container_of(deferred, struct screen_link, deferred);
	const struct video_report report = video_report(link->config.video);

	if (!link->asked ||
	    !(link->mode_due || link->shape_due || link->pointer_due || link->dirt_count > 0))
		return;
	link->asked = false;
	if (link->mode_due)
		link->mode_due = link_send_mode(link, &report) < 0;
	if (link->shape_due)
		link->shape_due = link_send_shape(link, &report) < 0;
	if (link->pointer_due)
		link->pointer_due = link_send_pointer(link, &report) < 0;
	(void)link_send_dirt(link);
}

static void link_tell_soon(struct screen_link *link)
{
	if (link->asked)
		loop_defer(link->config.loop, &link->deferred);
}

static void link_on_mode(void *data)
{
	struct screen_link *link = data;

	link->mode_due = true;
	link->dirt_count = 0;
	link_tell_soon(link);
}

static void link_on_shape(void *data)
{
	struct screen_link *link = data;

	link->shape_due = true;
	link_tell_soon(link);
}

static void link_on_pointer(void *data)
{
	struct screen_link *link = data;

	link->pointer_due = true;
	link_tell_soon(link);
}

static void dirt_include(struct video_rectangle *all, const struct video_rectangle *more)
{
	all->x1 = MIN(all->x1, more->x1);
	all->y1 = MIN(all->y1, more->y1);
	all->x2 = MAX(all->x2, more->x2);
	all->y2 = MAX(all->y2, more->y2);
}

/* Where there are too many they become one. */
static void link_on_dirt(void *data, const struct video_rectangle *rectangle)
{
	struct screen_link *link = data;

	if (link->dirt_count == SCREEN_LINK_DIRT_MAX) {
		for (size_t i = 1; i < link->dirt_count; i++)
			dirt_include(&link->dirt[0], &link->dirt[i]);
		link->dirt_count = 1;
		dirt_include(&link->dirt[0], rectangle);
	} else {
		link->dirt[link->dirt_count++] = *rectangle;
	}
	link_tell_soon(link);
}

static const struct video_viewer viewer = {
	.mode = link_on_mode,
	.shape = link_on_shape,
	.pointer = link_on_pointer,
	.dirt = link_on_dirt,
};

/* ---- What it says ---- */

static void link_press_key(const struct screen_link *link, const int32_t *numbers)
{
	const struct keyboard_key key = { .make_code = (uint16_t)numbers[0],
					  .flags = (uint16_t)numbers[1] };
	const uint32_t flags = KEYBOARD_BREAK | KEYBOARD_E0 | KEYBOARD_E1;

	/* A guest that reads none has none of them, and who types sees that. */
	if (link->config.keyboard && (uint32_t)numbers[0] <= 0x7f &&
	    !((uint32_t)numbers[1] & ~flags))
		(void)!keyboard_press(link->config.keyboard, &key, 1);
}

static void link_point(const struct screen_link *link, const int32_t *numbers)
{
	const struct mouse_event event = { .buttons = (uint8_t)numbers[0],
					   .x = (uint16_t)numbers[1],
					   .y = (uint16_t)numbers[2],
					   .wheel = (int16_t)numbers[3] };

	if (link->config.mouse && (uint32_t)numbers[0] <= MOUSE_BUTTONS &&
	    (uint32_t)numbers[1] <= MOUSE_POSITION_MAX &&
	    (uint32_t)numbers[2] <= MOUSE_POSITION_MAX && numbers[3] >= -INT16_MAX &&
	    numbers[3] <= INT16_MAX)
		(void)!mouse_point(link->config.mouse, &event);
}

static void link_dispatch(struct screen_link *link, const struct screen_link_message *message)
{
	switch (message->type) {
	case SCREEN_LINK_READY:
		link->asked = true;
		link_tell_soon(link);
		break;
	case SCREEN_LINK_WATCH:
		video_watch(link->config.video, message->numbers[0] != 0);
		break;
	case SCREEN_LINK_KEY:
		link_press_key(link, message->numbers);
		break;
	case SCREEN_LINK_MOUSE:
		link_point(link, message->numbers);
		break;
	default:
		break;
	}
}

static void link_has_read(struct loop_operation *operation, int result, bool more)
{
	struct screen_link *link = container_of(operation, struct screen_link, read);
	const struct screen_link_message message = link->coming;

	if (result != (int)sizeof(link->coming) || !link->config.video) {
		screen_link_end(link);
		link->config.ended(link->config.data);
		return;
	}
	link_dispatch(link, &message);
	loop_read(link->config.loop, &link->read, link->fd, &link->coming, sizeof(link->coming));
}

/* ---- Its life ---- */

int screen_link_new(const struct screen_link_config *config, int fd, struct screen_link **ret_link)
{
	const struct screen_link_message vram = { SCREEN_LINK_VRAM, { SCREEN_LINK_VERSION } };
	struct screen_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return -ENOMEM;
	*link = (struct screen_link){ .config = *config,
				      .fd = fd,
				      .read = { link_has_read },
				      .deferred = { .run = link_tell },
				      .mode_due = true,
				      .shape_due = true,
				      .pointer_due = true };
	list_init(&link->deferred.link);
	r = link_send(link, &vram, NULL, 0, config->vram);
	if (r < 0) {
		free(link);
		return r;
	}
	video_set_viewer(config->video, &viewer, link);
	loop_read(config->loop, &link->read, fd, &link->coming, sizeof(link->coming));
	*ret_link = link;
	return 0;
}

/* The second time there may be another link in its place. */
void screen_link_end(struct screen_link *link)
{
	if (link->config.video) {
		video_set_viewer(link->config.video, NULL, NULL);
		video_watch(link->config.video, false);
	}
	link->config.video = NULL;
	link->asked = false;
	loop_deferred_cancel(&link->deferred);
	(void)shutdown(link->fd, SHUT_RDWR);
}

void screen_link_free(struct screen_link *link)
{
	if (!link)
		return;
	close(link->fd);
	free(link);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One viewer. */
#include "vmms/screen/viewer.h"

#include "vmms/screen/viewer_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUTPUT_FULL (128 << 10) /* bytes that wait: no more is encoded, and nothing read */

struct viewer *viewer_new(struct screen *screen, int fd, bool read_only)
{
	struct viewer *viewer = calloc(1, sizeof(*viewer));

	if (!viewer) {
		close(fd);
		return NULL;
	}
	viewer->screen = screen;
	viewer->fd = fd;
	viewer->read_only = read_only;
	viewer->format = viewer->wanted_format = rfb_native_format;
	viewer->x = viewer->y = UINT16_MAX; /* wherever it points at first, that is news */
	rfb_put_version(&viewer->output);
	return viewer;
}

void viewer_free(struct viewer *viewer)
{
	if (!viewer)
		return;
	viewer_release_all(viewer);
	rfb_zrle_free(viewer->zrle);
	rfb_output_deinit(&viewer->output);
	close(viewer->fd);
	free(viewer);
}

int viewer_fd(const struct viewer *viewer)
{
	return viewer->fd;
}

short viewer_events(const struct viewer *viewer)
{
	const bool full = viewer->output.size >= OUTPUT_FULL;

	return (short)((full ? 0 : POLLIN) | (viewer->output.size > 0 ? POLLOUT : 0));
}

bool viewer_is_open(const struct viewer *viewer)
{
	return viewer->reader.stage == RFB_STAGE_OPEN;
}

/* ---- What has changed ---- */

void viewer_note_tiles(struct viewer *viewer, const struct tiles *changed)
{
	tiles_add_all(&viewer->dirt, changed);
}

void viewer_note_mode(struct viewer *viewer)
{
	const struct screen_mode *mode = &viewer->screen->mode;
	const bool able = viewer->chosen.size || viewer->chosen.extended_size;

	if (mode->active && able &&
	    (mode->width != viewer->told_width || mode->height != viewer->told_height))
		viewer->size_due = true;
	tiles_add(&viewer->dirt, 0, 0, SCREEN_LINK_SIZE_MAX, SCREEN_LINK_SIZE_MAX);
}

void viewer_note_cursor(struct viewer *viewer)
{
	viewer->cursor_due = viewer->screen->cursor_known &&
			     (viewer->chosen.cursor || viewer->chosen.alpha_cursor);
}

/* ---- Updates ---- */

bool viewer_is_ready(const struct viewer *viewer)
{
	return viewer_is_open(viewer) && (viewer->requested || viewer->continuous) &&
	       viewer->output.size == 0 && tiles_is_empty(&viewer->sending);
}

static void viewer_send_size(struct viewer *viewer)
{
	const struct screen_mode *mode = &viewer->screen->mode;
	struct rfb_rectangle size = { 0 };

	if (mode->active && mode->width <= UINT16_MAX && mode->height <= UINT16_MAX) {
		viewer->told_width = (uint16_t)mode->width;
		viewer->told_height = (uint16_t)mode->height;
	}
	viewer->size_due = false;
	size.width = viewer->told_width;
	size.height = viewer->told_height;
	rfb_put_update(&viewer->output, 1);
	if (viewer->chosen.extended_size)
		rfb_put_extended_size(&viewer->output, RFB_SIZE_CHANGED, RFB_SIZE_OK, size.width,
				      size.height);
	else
		rfb_put_rectangle(&viewer->output, &size, RFB_DESKTOP_SIZE);
}

static void viewer_refuse_size(struct viewer *viewer)
{
	viewer->resize_refused = false;
	rfb_put_update(&viewer->output, 1);
	rfb_put_extended_size(&viewer->output, RFB_SIZE_OF_VIEWER, RFB_SIZE_PROHIBITED,
			      viewer->told_width, viewer->told_height);
}

static void viewer_send_cursor(struct viewer *viewer)
{
	const struct rfb_cursor cursor = screen_cursor(viewer->screen);

	viewer->cursor_due = false;
	if (viewer->chosen.alpha_cursor)
		rfb_put_alpha_cursor(&viewer->output, &cursor);
	else
		rfb_put_cursor(&viewer->output, &viewer->format, &cursor);
}

/* As many rectangles as there is room for; the others when these were sent. */
static void viewer_send_pixels(struct viewer *viewer)
{
	const struct rfb_picture picture = screen_picture(viewer->screen);
	unsigned row, first, count;

	while (viewer->output.size < OUTPUT_FULL &&
	       tiles_take_run(&viewer->sending, &row, &first, &count)) {
		const uint32_t x = first * TILE_SIZE, y = row * TILE_SIZE;
		const struct rfb_rectangle rectangle = {
			.x = (uint16_t)x,
			.y = (uint16_t)y,
			.width = (uint16_t)MIN(count * TILE_SIZE, viewer->told_width - x),
			.height = (uint16_t)MIN((uint32_t)TILE_SIZE, viewer->told_height - y),
		};

		if (viewer->zrle && viewer->encoding == RFB_ZRLE)
			rfb_put_zrle(&viewer->output, viewer->zrle, &viewer->format, &picture,
				     &rectangle);
		else
			rfb_put_raw(&viewer->output, &viewer->format, &picture, &rectangle);
	}
}

void viewer_update(struct viewer *viewer)
{
	unsigned rectangles;

	if (!viewer_is_ready(viewer))
		return;
	viewer->format = viewer->wanted_format;
	viewer->encoding = viewer->chosen.encoding;
	/* In updates of their own: what follows may be of another size. */
	if (viewer->resize_refused || viewer->size_due) {
		if (viewer->resize_refused)
			viewer_refuse_size(viewer);
		else
			viewer_send_size(viewer);
		viewer->requested = false;
		return;
	}
	tiles_cut(&viewer->dirt, viewer->told_width, viewer->told_height);
	rectangles = tiles_count_runs(&viewer->dirt) + viewer->cursor_due + viewer->keys_due;
	if (rectangles == 0)
		return;
	viewer->requested = false;
	rfb_put_update(&viewer->output, (uint16_t)rectangles);
	if (viewer->keys_due)
		rfb_put_rectangle(&viewer->output, &(struct rfb_rectangle){ 0 },
				  RFB_QEMU_EXTENDED_KEY);
	viewer->keys_due = false;
	if (viewer->cursor_due)
		viewer_send_cursor(viewer);
	viewer->sending = viewer->dirt;
	viewer->dirt = (struct tiles){ 0 };
	viewer_send_pixels(viewer);
}

/* ---- Its socket ---- */

static bool viewer_would_wait(ssize_t result)
{
	return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool viewer_write(struct viewer *viewer)
{
	ssize_t size = send(viewer->fd, viewer->output.bytes, viewer->output.size,
			    MSG_DONTWAIT | MSG_NOSIGNAL);

	if (size < 0)
		return viewer_would_wait(size);
	rfb_output_drop(&viewer->output, (size_t)size);
	viewer_send_pixels(viewer);
	return true;
}

/* Return: false: it says what makes no sense. */
static bool viewer_take_messages(struct viewer *viewer)
{
	size_t at = 0, used;
	int r;

	do {
		struct rfb_message message;

		r = rfb_read(&viewer->reader, viewer->input + at, viewer->input_size - at, &used,
			     &message);
		at += used;
		if (r == RFB_MESSAGE && !viewer_take_message(viewer, &message))
			return false;
	} while (r == RFB_MESSAGE || (r == RFB_MORE && used > 0));
	viewer->input_size -= at;
	memmove(viewer->input, viewer->input + at, viewer->input_size);
	return r == RFB_MORE;
}

static bool viewer_read(struct viewer *viewer)
{
	ssize_t size = recv(viewer->fd, viewer->input + viewer->input_size,
			    sizeof(viewer->input) - viewer->input_size, MSG_DONTWAIT);

	if (size <= 0)
		return viewer_would_wait(size);
	viewer->input_size += (size_t)size;
	return viewer_take_messages(viewer);
}

bool viewer_go(struct viewer *viewer, short events)
{
	if ((events & POLLOUT) && !viewer_write(viewer))
		return false;
	if ((events & POLLIN) && !viewer_read(viewer))
		return false;
	/* One that has hung up and is not read from, since it does not read, is to go, too. */
	if ((events & (POLLERR | POLLHUP | POLLNVAL)) && !(events & POLLIN))
		return false;
	return !viewer->output.failed;
}

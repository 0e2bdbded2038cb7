/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What viewers say, and what a worker says: any bytes, in pieces of any size.
 *
 * The first byte tells who speaks. A viewer's bytes are read as a whole and in pieces, of which the
 * same messages come; and they are said to a viewer object, whose answers are read. A worker's are
 * messages on its socket, each with a byte that tells how long it is.
 */
#include "vmms/screen/viewer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(int fd)
{
	static uint8_t bytes[1 << 16];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* ---- The parser ---- */

/* Return: a sum over all messages. pieces: at most so many bytes are there at once. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t pieces)
{
	struct rfb_reader reader = { 0 };
	struct rfb_message message;
	size_t at = 0, there = MIN(size, pieces), used;
	uint64_t sum = 0;

	while (at <= size) {
		int r = rfb_read(&reader, data + at, there - at, &used, &message);

		if (used > there - at)
			abort();
		at += used;
		if (r == RFB_MESSAGE)
			sum = sum * 31 + message.kind * 7u + message.number + message.keysym +
			      message.x + message.width + message.fence_size;
		else if (r != RFB_MORE)
			return sum * 31 + (uint64_t)r;
		else if (used == 0 && there == size)
			break;
		else if (used == 0 && there - at >= RFB_MESSAGE_MAX)
			abort();
		else if (used == 0)
			there = MIN(size, there + pieces);
	}
	return sum;
}

/* ---- The viewer ---- */

static void speak_as_viewer(struct screen *screen, const uint8_t *data, size_t size)
{
	int pair[2];
	bool there = true;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	screen->viewers[0] = viewer_new(screen, pair[0], size % 7 == 0);
	while (there && size > 0) {
		ssize_t sent = send(pair[1], data, MIN(size, PIECE_MAX), MSG_DONTWAIT);
		struct viewer *viewer = screen->viewers[0];
		struct pollfd polled = { .fd = pair[0], .events = viewer_events(viewer) };
		struct tiles changed;

		if (sent > 0) {
			data += sent;
			size -= (size_t)sent;
		}
		if (poll(&polled, 1, 0) >= 0)
			there = viewer_go(viewer, polled.revents);
		/* Now and then it does not read. */
		if (size % 3 > 0)
			drain(pair[1]);
		tiles_add(&screen->dirt, 0, 0, (uint32_t)size, (uint32_t)size);
		if (viewer_is_ready(viewer)) {
			screen_refresh(screen, &changed);
			viewer_note_tiles(viewer, &changed);
		}
		viewer_update(viewer);
	}
	viewer_free(screen->viewers[0]);
	screen->viewers[0] = NULL;
	close(pair[1]);
}

/* ---- The worker ---- */

static void speak_as_worker(struct screen *screen, int far, const uint8_t *data, size_t size)
{
	static uint8_t packet[sizeof(struct screen_link_message) + SCREEN_LINK_SHAPE_SIZE];
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	screen->viewers[0] = viewer_new(screen, pair[0], false);
	while (r == 0 && size > 1) {
		size_t length = MIN(data[0] * (data[0] < 64 ? 1u : 150u), sizeof(packet));
		size_t there = MIN(length, size - 1);
		struct tiles changed;

		memset(packet, 0, sizeof(packet));
		memcpy(packet, data + 1, there);
		data += 1 + there;
		size -= 1 + there;
		if (length == 0 || send(far, packet, length, MSG_DONTWAIT) < 0)
			break;
		r = screen_link_take(screen);
		screen_refresh(screen, &changed);
	}
	viewer_free(screen->viewers[0]);
	screen->viewers[0] = NULL;
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *vram;
	static struct screen screen;
	const struct screen_mode mode = { true, 64, 200, 100, 1000 };
	int link[2];

	if (size == 0)
		return 0;
	if (!vram)
		vram = calloc(1, SCREEN_LINK_VRAM_SIZE);
	if (!vram || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) < 0)
		abort();
	screen = (struct screen){ .link = link[0], .name = "vm", .vram = vram };
	if (screen_set_mode(&screen, &mode) != 0)
		abort();
	if (data[0] == 0) {
		speak_as_worker(&screen, link[1], data + 1, size - 1);
	} else {
		if (read_all(data + 1, size - 1, size) != read_all(data + 1, size - 1, data[0]))
			abort();
		speak_as_viewer(&screen, data + 1, size - 1);
	}
	free(screen.pixels);
	close(link[0]);
	close(link[1]);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the worker says, which is believed nothing, and what it is told. */
#include "vmms/screen/viewer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct packet {
	struct screen_link_message message;
	uint8_t bytes[SCREEN_LINK_SHAPE_SIZE];
};

void screen_link_send(const struct screen *screen, enum screen_link_type type, int32_t first,
		      int32_t second, int32_t third, int32_t fourth)
{
	const struct screen_link_message message = { type, { first, second, third, fourth } };

	(void)send(screen->link, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- The frame buffer ---- */

/* Memory that is as large as it has to be, and stays so. */
static bool link_is_vram(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &status) == 0 &&
	       status.st_size == SCREEN_LINK_VRAM_SIZE;
}

static int on_vram(struct screen *screen, const int32_t *numbers, int fd)
{
	void *vram;

	if (screen->vram || numbers[0] != SCREEN_LINK_VERSION || fd < 0 || !link_is_vram(fd))
		return SCREEN_E_STRANGE;
	vram = mmap(NULL, SCREEN_LINK_VRAM_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (vram == MAP_FAILED)
		return -errno;
	screen->vram = vram;
	screen->owes_ready = true;
	return 0;
}

/* ---- What is new ---- */

static int on_mode(struct screen *screen, const int32_t *numbers)
{
	const struct screen_mode mode = {
		.active = numbers[0] != 0,
		.offset = (uint32_t)numbers[1],
		.width = (uint32_t)numbers[2],
		.height = (uint32_t)numbers[3],
		.pitch = (uint32_t)numbers[4],
	};
	int r = screen_set_mode(screen, &mode);

	for (size_t i = 0; r == 0 && i < SCREEN_VIEWERS_MAX; i++)
		if (screen->viewers[i])
			viewer_note_mode(screen->viewers[i]);
	return r;
}

static int on_dirt(struct screen *screen, const int32_t *numbers)
{
	tiles_add(&screen->dirt, (uint32_t)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2],
		  (uint32_t)numbers[3]);
	return 0;
}

static void link_note_cursor(struct screen *screen)
{
	screen->cursor_known = true;
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		if (screen->viewers[i])
			viewer_note_cursor(screen->viewers[i]);
}

/* Where it is the viewers know best. */
static int on_pointer(struct screen *screen, const int32_t *numbers)
{
	bool visible = numbers[0] != 0;

	if (visible != screen->cursor_visible) {
		screen->cursor_visible = visible;
		link_note_cursor(screen);
	}
	return 0;
}

static int on_shape(struct screen *screen, const int32_t *numbers, const uint8_t *bytes,
		    size_t size)
{
	const uint32_t width = (uint32_t)numbers[0], height = (uint32_t)numbers[1];

	if (width > SCREEN_LINK_SHAPE_MAX || height > SCREEN_LINK_SHAPE_MAX ||
	    (uint32_t)numbers[2] > width || (uint32_t)numbers[3] > height ||
	    (size_t)width * height * sizeof(uint32_t) > size)
		return SCREEN_E_STRANGE;
	memcpy(screen->cursor_pixels, bytes, (size_t)width * height * sizeof(uint32_t));
	screen->cursor = (struct rfb_cursor){
		.pixels = screen->cursor_pixels,
		.width = (uint16_t)width,
		.height = (uint16_t)height,
		.hot_x = (uint16_t)numbers[2],
		.hot_y = (uint16_t)numbers[3],
	};
	link_note_cursor(screen);
	return 0;
}

static int link_dispatch(struct screen *screen, const struct packet *packet, size_t size, int fd)
{
	const int32_t *numbers = packet->message.numbers;

	if (packet->message.type == SCREEN_LINK_VRAM)
		return on_vram(screen, numbers, fd);
	screen->owes_ready = true;
	switch (packet->message.type) {
	case SCREEN_LINK_MODE:
		return on_mode(screen, numbers);
	case SCREEN_LINK_DIRT:
		return on_dirt(screen, numbers);
	case SCREEN_LINK_POINTER:
		return on_pointer(screen, numbers);
	case SCREEN_LINK_SHAPE:
		return on_shape(screen, numbers, packet->bytes, size - sizeof(packet->message));
	default:
		return SCREEN_E_STRANGE;
	}
}

/* One message, with the first descriptor that came along. */
static ssize_t link_receive(int link, struct packet *packet, int *ret_fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { packet, sizeof(*packet) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t size = recvmsg(link, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = size < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*ret_fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
	return size < 0 ? -errno : size;
}

int screen_link_take(struct screen *screen)
{
	struct packet packet;
	int fd, r;
	ssize_t size = link_receive(screen->link, &packet, &fd);

	if (size == -EAGAIN || size == -EINTR)
		return 0;
	if (size <= 0)
		return size < 0 && size != -ECONNRESET ? (int)size : SCREEN_E_ENDED;
	r = size < (ssize_t)sizeof(packet.message)
		    ? SCREEN_E_STRANGE
		    : link_dispatch(screen, &packet, (size_t)size, fd);
	close_fdp(&fd);
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The screen of the fake worker, as it is shown to viewers.
 *
 * A process of its own draws: pixel (x, y) is x * 256 + y at first. Each key and each movement of the
 * mouse becomes a pixel of row 0, from the left: 0x800000 + flags * 256 + scan code, or 0x400000 +
 * buttons. Esc makes the screen smaller.
 */
#include "tests/fake/fake_worker_screen.h"

#include "common/control.h"
#include "common/screen_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ESCAPE 0x01

struct screen {
	int link;
	uint32_t *pixels;
	int32_t width, height, events;
	bool asked, mode_due, dirty;
};

static void screen_send(const struct screen *screen, uint32_t type, const int32_t numbers[5],
			int fd)
{
	struct screen_link_message message = { .type = type };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .align = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &message, sizeof(message) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(message.numbers, numbers, 5 * sizeof(numbers[0]));
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		header.msg_control = control.space;
		header.msg_controllen = sizeof(control.space);
	}
	(void)!sendmsg(screen->link, &header, MSG_NOSIGNAL);
}

static bool screen_open(struct screen *screen)
{
	int fd = memfd_create("screen", MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, SCREEN_LINK_VRAM_SIZE) < 0)
		return false;
	screen->pixels =
		mmap(NULL, SCREEN_LINK_VRAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (screen->pixels == MAP_FAILED ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) < 0)
		return false;
	screen_send(screen, SCREEN_LINK_VRAM, (const int32_t[5]){ SCREEN_LINK_VERSION }, fd);
	close(fd);
	return true;
}

static void screen_draw(struct screen *screen, int32_t width, int32_t height)
{
	screen->width = width;
	screen->height = height;
	screen->mode_due = true;
	for (int32_t y = 0; y < height; y++)
		for (int32_t x = 0; x < width; x++)
			screen->pixels[y * width + x] = (uint32_t)(x << 8 | y);
}

static void screen_note(struct screen *screen, uint32_t pixel)
{
	screen->pixels[screen->events++] = pixel;
	screen->dirty = true;
}

static void screen_tell(struct screen *screen)
{
	if (!screen->asked || (!screen->mode_due && !screen->dirty))
		return;
	screen->asked = false;
	if (screen->mode_due)
		screen_send(screen, SCREEN_LINK_MODE,
			    (const int32_t[5]){ 1, 0, screen->width, screen->height,
						screen->width * 4 },
			    -1);
	else
		screen_send(screen, SCREEN_LINK_DIRT, (const int32_t[5]){ 0, 0, screen->width, 1 },
			    -1);
	screen->mode_due = screen->dirty = false;
}

static void screen_take(struct screen *screen, const struct screen_link_message *message)
{
	const int32_t *numbers = message->numbers;

	if (message->type == SCREEN_LINK_READY)
		screen->asked = true;
	else if (message->type == SCREEN_LINK_KEY && numbers[0] == ESCAPE && numbers[1] == 0)
		screen_draw(screen, 160, 100);
	else if (message->type == SCREEN_LINK_KEY)
		screen_note(screen, 0x800000u | (uint32_t)(numbers[1] << 8 | numbers[0]));
	else if (message->type == SCREEN_LINK_MOUSE)
		screen_note(screen, 0x400000u | (uint32_t)numbers[0]);
	screen_tell(screen);
}

static void screen_serve(int link)
{
	struct screen screen = { .link = link };
	struct screen_link_message message;

	if (!screen_open(&screen))
		_exit(1);
	screen_draw(&screen, 320, 200);
	while (recv(link, &message, sizeof(message), 0) == sizeof(message))
		screen_take(&screen, &message);
	_exit(0);
}

const char *method_show_screen(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	pid_t child;

	if (!fake->definition->video.present)
		return CONTROL_ERROR_NOT_CAPABLE;
	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child < 0)
		return CONTROL_ERROR_FAILED;
	if (child > 0)
		return NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(message->fds[0], 3) < 0)
		_exit(1);
	close_range(4, ~0u, 0);
	screen_serve(3);
	return NULL;
}

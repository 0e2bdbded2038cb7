/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of the process that shows a screen. */
#include "vmms/screen/screen.h"

#include "vmms/screen/viewer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define REFRESH_INTERVAL UINT64_C(20000000) /* nanoseconds: 50 pictures in a second at most */
#define MILLISECOND      UINT64_C(1000000)

static uint64_t screen_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- Viewers ---- */

static void screen_add_viewer(struct screen *screen, int fd, bool read_only)
{
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++) {
		if (screen->viewers[i])
			continue;
		screen->viewers[i] = viewer_new(screen, fd, read_only);
		return;
	}
	close(fd); /* there are too many */
}

/* Of the daemon. Return: false: it is gone. */
static bool screen_take_viewer(struct screen *screen)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct screen_viewer_message viewer = { 0 };
	struct iovec iov = { &viewer, sizeof(viewer) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t size = recvmsg(screen->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = size <= 0 ? NULL : CMSG_FIRSTHDR(&message);
	int fd;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
		screen_add_viewer(screen, fd, viewer.read_only);
	}
	return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool screen_has_open(const struct screen *screen)
{
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		if (screen->viewers[i] && viewer_is_open(screen->viewers[i]))
			return true;
	return false;
}

static bool screen_has_ready(const struct screen *screen)
{
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		if (screen->viewers[i] && viewer_is_ready(screen->viewers[i]))
			return true;
	return false;
}

/* ---- The picture ---- */

/* The guest tells what changes as long as somebody looks; of what was before nothing is known. */
static void screen_watch(struct screen *screen)
{
	bool watched = screen_has_open(screen);

	if (watched == screen->watched)
		return;
	screen->watched = watched;
	screen_link_send(screen, SCREEN_LINK_WATCH, watched, 0, 0, 0);
	if (watched)
		tiles_add(&screen->dirt, 0, 0, SCREEN_LINK_SIZE_MAX, SCREEN_LINK_SIZE_MAX);
}

/* Return: milliseconds until there is something to do; -1: it comes from others. */
static int screen_show(struct screen *screen)
{
	const uint64_t now = screen_now();
	struct tiles changed;

	if (!tiles_is_empty(&screen->dirt) && screen_has_ready(screen)) {
		if (now < screen->next_refresh)
			return (int)((screen->next_refresh - now) / MILLISECOND) + 1;
		screen->next_refresh = now + REFRESH_INTERVAL;
		screen_refresh(screen, &changed);
		for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
			if (screen->viewers[i])
				viewer_note_tiles(screen->viewers[i], &changed);
	}
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		if (screen->viewers[i])
			viewer_update(screen->viewers[i]);
	if (screen->owes_ready && tiles_is_empty(&screen->dirt)) {
		screen->owes_ready = false;
		screen_link_send(screen, SCREEN_LINK_READY, 0, 0, 0, 0);
	}
	return -1;
}

/* ---- The loop ---- */

enum { FD_CONTROL, FD_LINK, FD_VIEWERS };

static void screen_go_viewer(struct screen *screen, size_t i, const struct pollfd *polled)
{
	struct viewer *viewer = screen->viewers[i];

	if (!viewer || viewer_fd(viewer) != polled->fd || polled->revents == 0 ||
	    viewer_go(viewer, polled->revents))
		return;
	screen->viewers[i] = NULL;
	viewer_free(viewer);
}

static int screen_turn(struct screen *screen, int timeout)
{
	struct pollfd fds[FD_VIEWERS + SCREEN_VIEWERS_MAX] = {
		[FD_CONTROL] = { .fd = screen->control, .events = POLLIN },
		[FD_LINK] = { .fd = screen->link, .events = POLLIN },
	};
	int r = 0;

	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++) {
		const struct viewer *viewer = screen->viewers[i];

		fds[FD_VIEWERS + i].fd = viewer ? viewer_fd(viewer) : -1;
		fds[FD_VIEWERS + i].events = viewer ? viewer_events(viewer) : 0;
	}
	if (poll(fds, ARRAY_SIZE(fds), timeout) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[FD_LINK].revents)
		r = screen_link_take(screen);
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		screen_go_viewer(screen, i, &fds[FD_VIEWERS + i]);
	if (r == 0 && fds[FD_CONTROL].revents && !screen_take_viewer(screen))
		return SCREEN_E_ENDED;
	return r;
}

int screen_run(struct screen *screen)
{
	int r = 0, timeout = -1;

	while (r == 0) {
		r = screen_turn(screen, timeout);
		screen_watch(screen);
		timeout = screen_show(screen);
	}
	for (size_t i = 0; i < SCREEN_VIEWERS_MAX; i++)
		viewer_free(TAKE_PTR(screen->viewers[i]));
	return r;
}

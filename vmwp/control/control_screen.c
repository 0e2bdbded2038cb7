/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of the control socket that give what is on the screen. */
#include "vmwp/control/control_screen.h"

#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Memory that is as large as a frame buffer and stays so: nothing that could fail or wait later. */
static bool picture_fits(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &status) == 0 &&
	       status.st_size == CONTROL_PICTURE_SIZE;
}

static void screen_refuse_none(struct call *call)
{
	reply_error(call->reply, CONTROL_ERROR_NOT_CAPABLE,
		    "The VM has no screen: \"video\" in its definition, from its next start on.");
}

void control_screen_show(struct call *call, const struct control_arguments *arguments)
{
	void *screen = devices_get(call->worker->devices, DEVICE_VIDEO);
	int *fd = &call->request->fds[0], r;

	if (!screen) {
		screen_refuse_none(call);
		return;
	}
	r = guest_video_show(screen, *fd);
	if (r == 0)
		*fd = -1; /* the screen's now */
	else
		reply_error(call->reply, r == -EBUSY ? CONTROL_ERROR_BUSY : CONTROL_ERROR_FAILED,
			    "The screen cannot be shown: %s.", strerror(-r));
}

void control_screen_take_picture(struct call *call, const struct control_arguments *arguments)
{
	const void *screen = devices_get(call->worker->devices, DEVICE_VIDEO);
	const int fd = call->request->fds[0];
	uint32_t width, height;
	void *pixels;
	bool shows;

	if (!screen) {
		screen_refuse_none(call);
		return;
	}
	if (!picture_fits(fd)) {
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "A picture takes memory of %d bytes that cannot shrink.",
			    CONTROL_PICTURE_SIZE);
		return;
	}
	pixels = mmap(NULL, CONTROL_PICTURE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED) {
		reply_error(call->reply, CONTROL_ERROR_FAILED, "The picture cannot be mapped: %s.",
			    strerror(errno));
		return;
	}
	shows = guest_video_copy(screen, pixels, &width, &height);
	munmap(pixels, CONTROL_PICTURE_SIZE);
	if (shows)
		call->reply->result = json_make("width", json_object_new_uint64(width), "height",
						json_object_new_uint64(height), NULL);
	else
		reply_error(call->reply, CONTROL_ERROR_NOT_CONNECTED,
			    "The guest shows nothing on its screen: it has no driver for it (in "
			    "Linux the module hyperv_drm), or has turned it off.");
}

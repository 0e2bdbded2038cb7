/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen of a machine. */
#include "vmwp/device/guest_video.h"

#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vmwp/device/devices.h"
#include "vmwp/device/screen_link.h"
#include "vmwp/machine/machine.h"
#include "vsp/video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(DEFINITION_VIDEO_PIXELS_MAX * 4 == VIDEO_VRAM_SIZE &&
		       DEFINITION_VIDEO_WIDTH_MAX <= VIDEO_SIZE_MAX &&
		       DEFINITION_VIDEO_HEIGHT_MAX <= VIDEO_SIZE_MAX &&
		       DEFINITION_VIDEO_WIDTH_MIN == VIDEO_WIDTH_MIN &&
		       DEFINITION_VIDEO_HEIGHT_MIN == VIDEO_HEIGHT_MIN,
	       "what a definition may have is what fits");

struct guest_video {
	struct machine *machine;
	struct vid_vram *vram;
	struct video *video;
	struct loop *loop;
	const struct devices *devices;
	struct screen_link *link, *ending; /* to viewers; NULL: none */
};

/* ---- Where the frame buffer is ---- */

static struct vid_partition *video_partition(const struct guest_video *guest)
{
	return power_cycle_partition(machine_power_cycle(guest->machine));
}

static bool window_has(struct vid_memory_region window, gpa_t gpa)
{
	uint64_t offset = gpa.value - window.gpa.value;

	return gpa.value >= window.gpa.value && offset < window.size &&
	       VIDEO_VRAM_SIZE <= window.size - offset;
}

static int video_place(void *data, gpa_t gpa)
{
	const struct guest_video *guest = data;

	if (!IS_ALIGNED(gpa.value, HV_PAGE_SIZE) ||
	    (!window_has(machine_window(guest->machine, 0), gpa) &&
	     !window_has(machine_window(guest->machine, 1), gpa)))
		return VIDEO_E_PLACE;
	return vid_vram_place(guest->vram, video_partition(guest), gpa);
}

static void video_remove(void *data)
{
	const struct guest_video *guest = data;

	vid_vram_remove(guest->vram, video_partition(guest));
}

static const struct video_ops video_ops = { .place = video_place, .remove = video_remove };

/* ---- The device ---- */

static void guest_video_free(void *device)
{
	struct guest_video *guest = device;

	screen_link_free(guest->link);
	screen_link_free(guest->ending);
	video_free(guest->video);
	vid_vram_free(guest->vram);
	free(guest);
}
DEFINE_CLEANUP(void *, guest_video_free)

static int guest_video_make(struct device_config *config, void **ret_device,
			    struct failure *failure)
{
	const struct definition_video *wanted = &config->definition->video;
	CLEANUP(guest_video_freep) void *device = NULL;
	struct guest_video *guest;
	struct video_config video;
	int r;

	if (!wanted->present)
		return 0;
	device = guest = calloc(1, sizeof(*guest));
	if (!guest)
		return -ENOMEM;
	guest->machine = config->machine;
	guest->loop = config->loop;
	guest->devices = config->devices;
	r = vid_vram_new(VIDEO_VRAM_SIZE, &guest->vram);
	if (r < 0)
		return r;
	video = (struct video_config){
		.bus = config->bus,
		.ops = &video_ops,
		.data = guest,
		.vram = vid_vram_bytes(guest->vram),
		.resolution = { (uint16_t)wanted->width, (uint16_t)wanted->height },
	};
	r = video_new(&video, &guest->video);
	if (r < 0)
		return r;
	*ret_device = TAKE_PTR(device);
	return 0;
}

static void guest_video_reset(void *device)
{
	video_reset(((const struct guest_video *)device)->video);
}

static void guest_video_quiesce(void *device, void (*done)(void *data), void *data)
{
	const struct guest_video *guest = device;

	video_quiesce(guest->video);
	done(data);
}

static void guest_video_resume(void *device)
{
	const struct guest_video *guest = device;

	video_resume(guest->video);
}

static int guest_video_save(void *device, struct state_writer *writer)
{
	const struct guest_video *guest = device;

	video_save(guest->video, guest_video_ops.name, writer);
	return 0;
}

static int guest_video_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const struct guest_video *guest = device;
	const char *name = guest_video_ops.name;

	return device_restore_result(video_restore(guest->video, name, reader), name, failure);
}

/* ---- Viewers ---- */

static void video_link_ended(void *data)
{
	struct guest_video *guest = data;

	if (guest->ending) {
		screen_link_free(TAKE_PTR(guest->ending));
		return;
	}
	screen_link_free(TAKE_PTR(guest->link));
}

int guest_video_show(void *device, int fd)
{
	struct guest_video *guest = device;
	struct screen_link_config config = {
		.loop = guest->loop,
		.video = guest->video,
		.keyboard = devices_get(guest->devices, DEVICE_KEYBOARD),
		.mouse = devices_get(guest->devices, DEVICE_MOUSE),
		.vram = vid_vram_descriptor(guest->vram),
		.ended = video_link_ended,
		.data = guest,
	};

	if (guest->ending)
		return -EBUSY;
	if (guest->link) {
		screen_link_end(guest->link);
		guest->ending = TAKE_PTR(guest->link);
	}
	return screen_link_new(&config, fd, &guest->link);
}

/* ---- What it shows ---- */

/* The guest may draw meanwhile: then the picture is of both. */
bool guest_video_copy(const void *device, uint8_t *pixels, uint32_t *ret_width,
		      uint32_t *ret_height)
{
	const struct guest_video *guest = device;
	const struct video_mode mode = video_report(guest->video).mode;
	const uint8_t *row = vid_vram_bytes(guest->vram) + mode.offset;
	const size_t row_size = (size_t)mode.width * sizeof(uint32_t);

	if (!mode.active)
		return false;
	for (uint32_t y = 0; y < mode.height; y++, row += mode.pitch, pixels += row_size)
		memcpy(pixels, row, row_size);
	*ret_width = mode.width;
	*ret_height = mode.height;
	return true;
}

static struct json_object *mode_to_json(const struct video_mode *mode)
{
	if (!mode->active)
		return json_make("active", json_object_new_boolean(false), NULL);
	return json_make("active", json_object_new_boolean(true), "width",
			 json_object_new_uint64(mode->width), "height",
			 json_object_new_uint64(mode->height), "pitch",
			 json_object_new_uint64(mode->pitch), "offset",
			 json_object_new_uint64(mode->offset), NULL);
}

static struct json_object *pointer_to_json(const struct video_pointer *pointer)
{
	return json_make("visible", json_object_new_boolean(pointer->visible), "x",
			 json_object_new_int64(pointer->x), "y", json_object_new_int64(pointer->y),
			 "width", json_object_new_uint64(pointer->width), "height",
			 json_object_new_uint64(pointer->height), NULL);
}

static void guest_video_inspect(void *device, struct json_object **tree)
{
	const struct guest_video *guest = device;
	struct video_report report = video_report(guest->video);
	struct json_object *object;

	object = json_make("state", json_object_new_string(video_state_name(report.state)), "mode",
			   mode_to_json(&report.mode), "pointer", pointer_to_json(&report.pointer),
			   "watched", json_object_new_boolean(report.watched), "rectangles",
			   json_object_new_uint64(report.rectangles), "refused",
			   json_object_new_uint64(report.refused), NULL);
	if (report.version)
		json_add(&object, "version_minor", json_object_new_uint64(report.version >> 16));
	if (report.placed)
		json_add(&object, "gpa", json_make_hex(report.place.value));
	json_add(tree, "video", object);
}

const struct device_ops guest_video_ops = {
	.name = "video",
	.kind = DEVICE_SYNTHETIC,
	.make = guest_video_make,
	.free = guest_video_free,
	.reset = guest_video_reset,
	.quiesce = guest_video_quiesce,
	.resume = guest_video_resume,
	.save = guest_video_save,
	.restore = guest_video_restore,
	.inspect = guest_video_inspect,
};

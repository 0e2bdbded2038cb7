/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which resolutions the guest is offered, as a list and as the EDID of a monitor. */
#include "vsp/video/video_internal.h"

#include <string.h>

static const struct video_resolution offered[] = {
	{ 640, 480 },   { 800, 600 },  { 1024, 768 },  { 1152, 864 },  { 1280, 720 },
	{ 1280, 800 },  { 1280, 960 }, { 1366, 768 },  { 1280, 1024 }, { 1440, 900 },
	{ 1400, 1050 }, { 1600, 900 }, { 1680, 1050 }, { 1600, 1200 }, { 1920, 1080 },
};
_Static_assert(ARRAY_SIZE(offered) < VIDEO_RESOLUTION_MAX, "and the preferred one");

bool video_resolution_is_valid(uint64_t width, uint64_t height)
{
	return width >= VIDEO_WIDTH_MIN && width <= VIDEO_SIZE_MAX && height >= VIDEO_HEIGHT_MIN &&
	       height <= VIDEO_SIZE_MAX && width * height * sizeof(uint32_t) <= VIDEO_VRAM_SIZE;
}

/* A guest that takes less than the whole list gets the preferred one alone, or nothing. */
unsigned video_list_resolutions(const struct video_resolution *preferred, unsigned maximum,
				struct video_resolution *ret_list, unsigned *ret_preferred)
{
	unsigned count = 0;

	*ret_preferred = 0;
	if (maximum == 0)
		return 0;
	if (maximum <= ARRAY_SIZE(offered)) {
		ret_list[0] = *preferred;
		return 1;
	}
	for (; count < ARRAY_SIZE(offered); count++) {
		ret_list[count] = offered[count];
		if (offered[count].width == preferred->width &&
		    offered[count].height == preferred->height)
			*ret_preferred = count + 1;
	}
	if (*ret_preferred > 0) {
		--*ret_preferred;
		return count;
	}
	*ret_preferred = count;
	ret_list[count++] = *preferred;
	return count;
}

/* ---- EDID 1.3 ---- */

#define EDID_BLANKING_X  160 /* of a digital monitor, by VESA's reduced blanking */
#define EDID_BLANKING_Y  30
#define EDID_REFRESH     60
#define EDID_DETAILED    54 /* where the one detailed timing begins */
#define EDID_DESCRIPTORS 72
#define EDID_DESCRIPTOR  18 /* bytes */
#define EDID_DPI         96

static void edid_add_timing(uint8_t *timing, const struct video_resolution *resolution)
{
	unsigned width = resolution->width, height = resolution->height;
	unsigned clock =
		(width + EDID_BLANKING_X) * (height + EDID_BLANKING_Y) * EDID_REFRESH / 10000;
	unsigned width_mm = width * 254 / EDID_DPI / 10, height_mm = height * 254 / EDID_DPI / 10;

	timing[0] = (uint8_t)clock; /* in units of 10 kHz */
	timing[1] = (uint8_t)(clock >> 8);
	timing[2] = (uint8_t)width;
	timing[3] = EDID_BLANKING_X;
	timing[4] = (uint8_t)((width >> 8) << 4 | EDID_BLANKING_X >> 8);
	timing[5] = (uint8_t)height;
	timing[6] = EDID_BLANKING_Y;
	timing[7] = (uint8_t)((height >> 8) << 4 | EDID_BLANKING_Y >> 8);
	timing[8] = 48; /* front porch and width of the horizontal pulse */
	timing[9] = 32;
	timing[10] = 3 << 4 | 5; /* of the vertical one */
	timing[12] = (uint8_t)width_mm;
	timing[13] = (uint8_t)height_mm;
	timing[14] = (uint8_t)((width_mm >> 8) << 4 | height_mm >> 8);
	timing[17] = 0x1e; /* digital, separate pulses, both positive */
}

/* A descriptor of text, which ends in a line feed and is filled with blanks. */
static void edid_add_text(uint8_t *descriptor, uint8_t tag, const char *text)
{
	uint8_t *at = descriptor + 5, *end = descriptor + EDID_DESCRIPTOR;

	descriptor[3] = tag;
	memset(at, ' ', (size_t)(end - at));
	while (*text)
		*at++ = (uint8_t)*text++;
	*at = '\n';
}

void video_make_edid(const struct video_resolution *preferred, uint8_t ret_edid[VIDEO_EDID_SIZE])
{
	static const uint8_t head[] = {
		0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, /* EDID */
		0x36, 0x68,                                  /* "MSH" */
		0x2e, 0x06, 0,    0,    0,    0,             /* product and serial number */
		5,    22,   1,    3,                         /* week, year from 1990, version 1.3 */
		0x80, 0,    0,    120,  0x0a, /* digital, no size, gamma 2.2, preferred */
		0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB */
		0,    0,    0,
	};
	uint8_t sum = 0;

	memset(ret_edid, 0, VIDEO_EDID_SIZE);
	memcpy(ret_edid, head, sizeof(head));
	memset(ret_edid + sizeof(head), 1, EDID_DETAILED - sizeof(head)); /* no standard timings */
	edid_add_timing(ret_edid + EDID_DETAILED, preferred);
	edid_add_text(ret_edid + EDID_DESCRIPTORS, 0xfc, "vmms");
	ret_edid[EDID_DESCRIPTORS + EDID_DESCRIPTOR + 3] = 0x10; /* nothing */
	ret_edid[EDID_DESCRIPTORS + 2 * EDID_DESCRIPTOR + 3] = 0x10;
	for (unsigned i = 0; i < VIDEO_EDID_SIZE - 1; i++)
		sum = (uint8_t)(sum + ret_edid[i]);
	ret_edid[VIDEO_EDID_SIZE - 1] = (uint8_t)-sum;
}

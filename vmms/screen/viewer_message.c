/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a viewer says. */
#include "vmms/screen/viewer_internal.h"

#include <string.h>

#define WIDTH_AT_FIRST  640 /* as long as the guest shows nothing */
#define HEIGHT_AT_FIRST 480

static bool on_version(struct viewer *viewer, const struct rfb_message *message)
{
	viewer->version = (uint8_t)message->number;
	rfb_put_security(&viewer->output, message->number);
	return true;
}

/* Before 3.8 nobody wants to know how it went without a password. */
static bool on_security(struct viewer *viewer, const struct rfb_message *message)
{
	if (viewer->version == 8)
		rfb_put_security_result(&viewer->output);
	return true;
}

static bool on_init(struct viewer *viewer, const struct rfb_message *message)
{
	const struct screen_mode *mode = &viewer->screen->mode;

	viewer->told_width = mode->active ? (uint16_t)mode->width : WIDTH_AT_FIRST;
	viewer->told_height = mode->active ? (uint16_t)mode->height : HEIGHT_AT_FIRST;
	rfb_put_init(&viewer->output, viewer->told_width, viewer->told_height,
		     viewer->screen->name);
	return true;
}

static bool on_format(struct viewer *viewer, const struct rfb_message *message)
{
	viewer->wanted_format = message->format;
	return true;
}

/* ---- Encodings ---- */

/* The list is complete: what can only be offered to who knows it is offered. */
static bool viewer_choose(struct viewer *viewer)
{
	const struct viewer_choice *chosen = &viewer->chosen;

	if (chosen->encoding == RFB_ZRLE && !viewer->zrle && rfb_zrle_new(&viewer->zrle) < 0)
		return false;
	if (chosen->fence && !viewer->fence_told)
		rfb_put_fence(&viewer->output, RFB_FENCE_REQUEST, NULL, 0);
	if (chosen->continuous && !viewer->continuous_told)
		rfb_put_end_of_continuous_updates(&viewer->output);
	viewer->keys_due = chosen->keys && !viewer->keys_told;
	/* It may ask for another size only when it was told of this one. */
	viewer->size_due = viewer->size_due || chosen->extended_size;
	viewer->fence_told |= chosen->fence;
	viewer->continuous_told |= chosen->continuous;
	viewer->keys_told |= chosen->keys;
	viewer_note_cursor(viewer);
	viewer_note_mode(viewer);
	return true;
}

static bool on_encodings(struct viewer *viewer, const struct rfb_message *message)
{
	viewer->chosen = (struct viewer_choice){ 0 };
	return viewer->reader.encodings > 0 || viewer_choose(viewer);
}

static bool on_encoding(struct viewer *viewer, const struct rfb_message *message)
{
	struct viewer_choice *chosen = &viewer->chosen;
	const struct {
		enum rfb_encoding encoding;
		bool *known;
	} rows[] = {
		{ RFB_DESKTOP_SIZE, &chosen->size },
		{ RFB_EXTENDED_DESKTOP_SIZE, &chosen->extended_size },
		{ RFB_CURSOR, &chosen->cursor },
		{ RFB_ALPHA_CURSOR, &chosen->alpha_cursor },
		{ RFB_QEMU_EXTENDED_KEY, &chosen->keys },
		{ RFB_FENCE_ENCODING, &chosen->fence },
		{ RFB_CONTINUOUS_UPDATES_ENCODING, &chosen->continuous },
	};
	const int32_t encoding = (int32_t)message->number;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (encoding == (int32_t)rows[i].encoding)
			*rows[i].known = true;
	if ((encoding == RFB_ZRLE || encoding == RFB_RAW) && !chosen->has_encoding) {
		chosen->has_encoding = true;
		chosen->encoding = (enum rfb_encoding)encoding;
	}
	return viewer->reader.encodings > 0 || viewer_choose(viewer);
}

/* ---- Updates ---- */

static bool on_update_request(struct viewer *viewer, const struct rfb_message *message)
{
	if (!message->incremental)
		tiles_add(&viewer->dirt, message->x, message->y,
			  (uint32_t)message->x + message->width,
			  (uint32_t)message->y + message->height);
	viewer->requested = true;
	return true;
}

static bool on_continuous_updates(struct viewer *viewer, const struct rfb_message *message)
{
	if (viewer->continuous && !message->enable)
		rfb_put_end_of_continuous_updates(&viewer->output);
	viewer->continuous = message->enable;
	return true;
}

static bool on_fence(struct viewer *viewer, const struct rfb_message *message)
{
	if (message->number & RFB_FENCE_REQUEST)
		rfb_put_fence(&viewer->output, message->number & RFB_FENCE_FLAGS, message->fence,
			      message->fence_size);
	return true;
}

/* The guest's driver has read its list: it may do so when it is loaded the next time. */
static bool on_size_request(struct viewer *viewer, const struct rfb_message *message)
{
	if (!viewer->read_only)
		screen_link_send(viewer->screen, SCREEN_LINK_RESIZE, message->width,
				 message->height, 0, 0);
	viewer->resize_refused = viewer->chosen.extended_size;
	return true;
}

/* ---- Keys ---- */

static bool on_key(struct viewer *viewer, const struct rfb_message *message)
{
	viewer_press_key(viewer, rfb_scan_code(message->keysym), message->down);
	return true;
}

/* Of a key whose code it does not know there is the other way. */
static bool on_extended_key(struct viewer *viewer, const struct rfb_message *message)
{
	if (message->number == 0 || message->number > UINT8_MAX)
		return on_key(viewer, message);
	viewer_press_key(viewer, (uint8_t)message->number, message->down);
	return true;
}

static bool on_pointer(struct viewer *viewer, const struct rfb_message *message)
{
	viewer_point(viewer, (uint8_t)message->number, message->x, message->y);
	return true;
}

static bool (*const handlers[])(struct viewer *viewer, const struct rfb_message *message) = {
	[RFB_VERSION] = on_version,
	[RFB_SECURITY] = on_security,
	[RFB_INIT] = on_init,
	[RFB_FORMAT] = on_format,
	[RFB_ENCODINGS] = on_encodings,
	[RFB_ENCODING] = on_encoding,
	[RFB_UPDATE_REQUEST] = on_update_request,
	[RFB_KEY] = on_key,
	[RFB_EXTENDED_KEY] = on_extended_key,
	[RFB_POINTER] = on_pointer,
	[RFB_CONTINUOUS_UPDATES] = on_continuous_updates,
	[RFB_FENCE] = on_fence,
	[RFB_SIZE_REQUEST] = on_size_request,
};

bool viewer_take_message(struct viewer *viewer, const struct rfb_message *message)
{
	return handlers[message->kind](viewer, message);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The remote framebuffer protocol (RFB, "VNC"): what a viewer says, taken apart, and what it is
 * sent, put together. Pure functions: nothing here reads, writes or waits.
 *
 * The viewer is hostile: of what it says no more is kept than one message of a fixed size, whatever
 * lengths it names.
 *
 * Source: RFC 6143; for what is newer the community's rfbproto.rst.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- What a viewer says ---- */

#define RFB_FENCE_MAX   64 /* bytes in a fence */
#define RFB_MESSAGE_MAX (9 + RFB_FENCE_MAX)

/* How a viewer wants its pixels: true colour alone. */
struct rfb_format {
	uint8_t bits;  /* of a pixel: 8, 16 or 32 */
	uint8_t depth; /* bits of it that count */
	bool big_endian;
	uint16_t max[3];  /* of red, green, blue: one less than a power of two */
	uint8_t shift[3]; /* each colour lies within the pixel */
};

enum rfb_message_kind {
	RFB_VERSION,  /* number: 3, 7 or 8, of 3.x */
	RFB_SECURITY, /* number: the type that it has chosen */
	RFB_INIT,
	RFB_FORMAT,
	RFB_ENCODINGS, /* a list of encodings begins */
	RFB_ENCODING,  /* number: one of the list, as int32_t */
	RFB_UPDATE_REQUEST,
	RFB_KEY,          /* down, keysym */
	RFB_EXTENDED_KEY, /* down, keysym, and number: a scan code, with 0x80 for E0 */
	RFB_POINTER,      /* number: buttons; x, y */
	RFB_CONTINUOUS_UPDATES,
	RFB_FENCE,
	RFB_SIZE_REQUEST, /* width, height */
};

struct rfb_message {
	enum rfb_message_kind kind;
	bool down, incremental, enable;
	uint16_t x, y, width, height;
	uint32_t number, keysym;
	struct rfb_format format;
	uint8_t fence_size;
	uint8_t fence[RFB_FENCE_MAX];
};

enum {
	RFB_MORE,      /* no message, so far */
	RFB_MESSAGE,   /* one was read */
	RFB_E_UNKNOWN, /* no message that is known, or none that may come now */
	RFB_E_FORMAT,  /* it makes no sense */
};

enum rfb_stage {
	RFB_STAGE_VERSION,
	RFB_STAGE_SECURITY,
	RFB_STAGE_INIT,
	RFB_STAGE_OPEN,
};

/* Zero is the beginning of a connection. */
struct rfb_reader {
	enum rfb_stage stage;
	uint32_t encodings; /* that are still to come of a list */
	uint64_t skip;      /* bytes that are of no interest */
};

/*
 * Takes the next message from bytes. *ret_used: how many of them are done with; where they are none,
 * and RFB_MORE is returned, more are to be there at the next call: RFB_MESSAGE_MAX are always
 * enough.
 */
int rfb_read(struct rfb_reader *reader, const uint8_t *bytes, size_t size, size_t *ret_used,
	     struct rfb_message *ret_message) MUST_CHECK;

/* ---- What it is sent ---- */

/* Bytes that wait to be sent. Zero is an empty one. */
struct rfb_output {
	uint8_t *bytes;
	size_t size, capacity;
	bool failed; /* there was no memory: it is not to be sent any more */
};

void rfb_output_deinit(struct rfb_output *output);

/* The first of them were sent. */
void rfb_output_drop(struct rfb_output *output, size_t size);

void rfb_put(struct rfb_output *output, const void *bytes, size_t size);
void rfb_put_u8(struct rfb_output *output, uint8_t number);
void rfb_put_u16(struct rfb_output *output, uint16_t number);
void rfb_put_u32(struct rfb_output *output, uint32_t number);

enum rfb_encoding {
	RFB_RAW = 0,
	RFB_ZRLE = 16,
	RFB_DESKTOP_SIZE = -223,
	RFB_CURSOR = -239,
	RFB_QEMU_EXTENDED_KEY = -258,
	RFB_EXTENDED_DESKTOP_SIZE = -308,
	RFB_FENCE_ENCODING = -312,
	RFB_CONTINUOUS_UPDATES_ENCODING = -313,
	RFB_ALPHA_CURSOR = -314,
};

#define RFB_SECURITY_NONE 1

/* Of a fence. */
#define RFB_FENCE_REQUEST UINT32_C(0x80000000)
#define RFB_FENCE_FLAGS   UINT32_C(7) /* that are known */

void rfb_put_version(struct rfb_output *output);

/* After the viewer's version: the one type of security there is. */
void rfb_put_security(struct rfb_output *output, uint32_t version);
void rfb_put_security_result(struct rfb_output *output);

/* With the format that is ours: 32 bits, blue first. */
void rfb_put_init(struct rfb_output *output, uint16_t width, uint16_t height, const char *name);

void rfb_put_fence(struct rfb_output *output, uint32_t flags, const uint8_t *bytes, uint8_t size);
void rfb_put_end_of_continuous_updates(struct rfb_output *output);

/* An update of so many rectangles follows. */
void rfb_put_update(struct rfb_output *output, uint16_t rectangles);

struct rfb_rectangle {
	uint16_t x, y, width, height;
};
void rfb_put_rectangle(struct rfb_output *output, const struct rfb_rectangle *rectangle,
		       enum rfb_encoding encoding);

/* Why a size is told, and what became of a request. */
enum rfb_size_reason { RFB_SIZE_CHANGED = 0, RFB_SIZE_OF_VIEWER = 1 };
enum rfb_size_status { RFB_SIZE_OK = 0, RFB_SIZE_PROHIBITED = 1 };
void rfb_put_extended_size(struct rfb_output *output, enum rfb_size_reason reason,
			   enum rfb_size_status status, uint16_t width, uint16_t height);

/* ---- Pixels ---- */

extern const struct rfb_format rfb_native_format;

/* A picture: 4 bytes for each pixel, blue first, the fourth of no account. */
struct rfb_picture {
	const uint32_t *pixels;
	uint32_t width, height; /* rows without gaps; what lies beyond is black */
};

struct rfb_zrle;

/* The one compressed stream of a connection. Return: 0; -ENOMEM. */
int rfb_zrle_new(struct rfb_zrle **ret_zrle) MUST_CHECK;
void rfb_zrle_free(struct rfb_zrle *zrle);
DEFINE_CLEANUP(struct rfb_zrle *, rfb_zrle_free)

/* A rectangle with what is there in the picture. */
void rfb_put_raw(struct rfb_output *output, const struct rfb_format *format,
		 const struct rfb_picture *picture, const struct rfb_rectangle *rectangle);
void rfb_put_zrle(struct rfb_output *output, struct rfb_zrle *zrle, const struct rfb_format *format,
		  const struct rfb_picture *picture, const struct rfb_rectangle *rectangle);

/* The shape of the pointer; pixels are ARGB, not premultiplied. width 0: there is none. */
struct rfb_cursor {
	const uint32_t *pixels;
	uint16_t width, height, hot_x, hot_y;
};
void rfb_put_cursor(struct rfb_output *output, const struct rfb_format *format,
		    const struct rfb_cursor *cursor);
void rfb_put_alpha_cursor(struct rfb_output *output, const struct rfb_cursor *cursor);

/* ---- Keys ---- */

/*
 * The scan code of set 1, with 0x80 for E0, of the key that has a keysym on a US keyboard. Return:
 * 0: there is none.
 */
uint8_t rfb_scan_code(uint32_t keysym);

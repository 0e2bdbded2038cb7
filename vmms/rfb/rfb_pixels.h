/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pixels in a viewer's format. Pure functions. */
#pragma once

#include "vmms/rfb/rfb.h"

/* How pixels are written. */
struct rfb_writer {
	bool native;          /* as they are in the picture */
	unsigned size, first; /* bytes of a pixel that are written, of its little-endian bytes */
	bool big_endian;
};

/* compact: as a "CPIXEL" of ZRLE, which leaves out the byte that has no colour. */
struct rfb_writer rfb_writer_of(const struct rfb_format *format, bool compact);

/*
 * The pixels of a part of the picture, row by row, in the viewer's colours, each as a number.
 * pixels: room for all of them.
 */
void rfb_take_pixels(const struct rfb_format *format, const struct rfb_picture *picture,
		     const struct rfb_rectangle *part, uint32_t *pixels);

/* Writes pixels that were taken. Return: the end. */
uint8_t *rfb_write_pixel(const struct rfb_writer *writer, uint8_t *at, uint32_t pixel);
uint8_t *rfb_write_pixels(const struct rfb_writer *writer, uint8_t *at, const uint32_t *pixels,
			  size_t count);

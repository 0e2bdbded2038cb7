/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHD as it lies in a file: big-endian, offsets and lengths in bytes unless they are said to be in
 * sectors, which have 512. A checksum is the complement of the sum of all bytes of its structure, but
 * for its own.
 *
 * Sources: the VHD specification 1.0; what libyal's libvhdi documents of images in the field.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VHD_SECTOR    512u
#define VHD_DISK_MAX  (UINT64_C(2040) << 30)
#define VHD_BLOCK     (2u << 20)   /* what everybody makes */
#define VHD_BLOCK_MIN (512u << 10) /* so that a table is bounded, whatever it claims */
#define VHD_BLOCK_MAX (256u << 20)

#define VHD_FOOTER_COOKIE UINT64_C(0x636f6e6563746978) /* "conectix" */
#define VHD_HEADER_COOKIE UINT64_C(0x6378737061727365) /* "cxsparse" */
#define VHD_FEATURES      2u                           /* a bit that is always set */
#define VHD_VERSION       0x00010000u
#define VHD_NOWHERE       UINT64_MAX
#define VHD_EPOCH         946684800 /* 2000-01-01 00:00 UTC, in seconds since 1970 */

enum vhd_type {
	VHD_FIXED = 2,
	VHD_DYNAMIC = 3,
	VHD_DIFFERENCING = 4,
};

/* The last sector of the file; a copy is the first, unless it is of fixed size. */
struct vhd_footer {
	uint64_t cookie;
	uint32_t features, version;
	uint64_t data_offset; /* of the header; VHD_NOWHERE: fixed */
	uint32_t time;        /* since VHD_EPOCH */
	uint32_t creator, creator_version, creator_os;
	uint64_t original_size, current_size;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t type, checksum;
	uint8_t id[16];
	uint8_t saved;
	uint8_t reserved[427];
};
_Static_assert(sizeof(struct vhd_footer) == 512, "stored format");
_Static_assert(offsetof(struct vhd_footer, type) == 60, "stored format");
_Static_assert(offsetof(struct vhd_footer, id) == 68, "stored format");

#define VHD_LOCATORS          8
#define VHD_LOCATOR_RELATIVE  0x57327275u /* "W2ru": UTF-16LE */
#define VHD_LOCATOR_ABSOLUTE  0x57326b75u /* "W2ku" */
#define VHD_PARENT_NAME_UNITS 256u        /* UTF-16BE */

struct vhd_locator {
	uint32_t code, space, length, reserved;
	uint64_t offset;
};
_Static_assert(sizeof(struct vhd_locator) == 24, "stored format");

struct vhd_header {
	uint64_t cookie;
	uint64_t data_offset; /* VHD_NOWHERE */
	uint64_t bat_offset;
	uint32_t version, entries, block_size, checksum;
	uint8_t parent_id[16];
	uint32_t parent_time, reserved;
	uint16_t parent_name[VHD_PARENT_NAME_UNITS];
	struct vhd_locator locators[VHD_LOCATORS];
	uint8_t reserved2[256];
};
_Static_assert(sizeof(struct vhd_header) == 1024, "stored format");
_Static_assert(offsetof(struct vhd_header, parent_id) == 40, "stored format");
_Static_assert(offsetof(struct vhd_header, locators) == 576, "stored format");

/*
 * The table: for each block the sector where it begins. There its bitmap lies, padded to whole
 * sectors, from the highest bit of a byte on; a bit that is set: the sector is here. Then its data.
 */
#define VHD_UNUSED UINT32_MAX

#define VHD_AHEAD 8u /* blocks that a footer of ours is moved ahead by, at once */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX as it lies in a file: little-endian, offsets and lengths in bytes.
 *
 * Source: MS-VHDX 8.0. Every structure with a checksum has the CRC-32C of all of it, taken while the
 * field itself is zero.
 */
#pragma once

#include "common/base/guid.h"

#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are used as they lie");

#define VHDX_MIB       (UINT64_C(1) << 20)
#define VHDX_PAGE      4096u /* what the log is made of, and what it replaces */
#define VHDX_DISK_MAX  (UINT64_C(64) << 40)
#define VHDX_BLOCK_MIN (1u << 20)
#define VHDX_BLOCK_MAX (256u << 20)

/* ---- What is at fixed places ---- */

#define VHDX_FILE_SIGNATURE     UINT64_C(0x656c696678646876) /* "vhdxfile" */
#define VHDX_HEADER_SIGNATURE   0x64616568u                  /* "head" */
#define VHDX_REGIONS_SIGNATURE  0x69676572u                  /* "regi" */
#define VHDX_METADATA_SIGNATURE UINT64_C(0x617461646174656d) /* "metadata" */
#define VHDX_ENTRY_SIGNATURE    0x65676f6cu                  /* "loge" */
#define VHDX_ZERO_SIGNATURE     0x6f72657au                  /* "zero" */
#define VHDX_DATA_SIGNATURE     0x63736564u                  /* "desc" */
#define VHDX_SECTOR_SIGNATURE   0x61746164u                  /* "data" */

#define VHDX_HEADER_OFFSET(i)  ((uint64_t)((i) + 1) << 16)
#define VHDX_REGIONS_OFFSET(i) ((uint64_t)((i) + 3) << 16)
#define VHDX_REGIONS_SIZE      65536u
#define VHDX_REGIONS_MAX       2047u
#define VHDX_CREATOR_OFFSET    8u

struct vhdx_header {
	uint32_t signature, checksum; /* of VHDX_PAGE bytes */
	uint64_t sequence;
	struct guid file_write, data_write, log;
	uint16_t log_version, version;
	uint32_t log_length;
	uint64_t log_offset;
};
_Static_assert(sizeof(struct vhdx_header) == 80, "stored format");
_Static_assert(offsetof(struct vhdx_header, log) == 48, "stored format");
_Static_assert(offsetof(struct vhdx_header, log_offset) == 72, "stored format");

struct vhdx_regions {
	uint32_t signature, checksum; /* of VHDX_REGIONS_SIZE bytes */
	uint32_t count, reserved;
};
_Static_assert(sizeof(struct vhdx_regions) == 16, "stored format");

struct vhdx_region {
	struct guid id;
	uint64_t offset;
	uint32_t length, required;
};
_Static_assert(sizeof(struct vhdx_region) == 32, "stored format");

/* ---- Metadata ---- */

#define VHDX_ITEMS_SIZE    65536u
#define VHDX_ITEMS_MAX     2047u
#define VHDX_ITEM_SIZE_MAX (1u << 20)
#define VHDX_ITEM_USER     1u
#define VHDX_ITEM_DISK     2u
#define VHDX_ITEM_REQUIRED 4u

struct vhdx_items {
	uint64_t signature;
	uint16_t reserved, count;
	uint32_t reserved2[5];
};
_Static_assert(sizeof(struct vhdx_items) == 32, "stored format");

struct vhdx_item {
	struct guid id;
	uint32_t offset, length, flags, reserved;
};
_Static_assert(sizeof(struct vhdx_item) == 32, "stored format");

#define VHDX_PARAMETER_FIXED  1u
#define VHDX_PARAMETER_PARENT 2u

struct vhdx_parameters {
	uint32_t block_size, flags;
};
_Static_assert(sizeof(struct vhdx_parameters) == 8, "stored format");

struct vhdx_locator {
	struct guid type;
	uint16_t reserved, count;
};
_Static_assert(sizeof(struct vhdx_locator) == 20, "stored format");

struct vhdx_locator_entry {
	uint32_t key_offset, value_offset; /* from the locator's beginning */
	uint16_t key_length, value_length;
};
_Static_assert(sizeof(struct vhdx_locator_entry) == 12, "stored format");

/* ---- Block allocation table: bits 0 to 2 the state, from 20 on the offset ---- */

#define VHDX_STATE_MASK   UINT64_C(7)
#define VHDX_OFFSET_MASK  (~(VHDX_MIB - 1))
#define VHDX_BITMAP_SIZE  (1u << 20)
#define VHDX_BITMAP_PAGES (VHDX_BITMAP_SIZE / VHDX_PAGE)

enum vhdx_state {
	VHDX_NOT_PRESENT = 0, /* the parent has it; zeros, without one */
	VHDX_UNDEFINED = 1,
	VHDX_ZERO = 2,
	VHDX_UNMAPPED = 3,
	VHDX_FULLY = 6, /* of a bitmap: there */
	VHDX_PARTIALLY = 7,
};

/* ---- The log ---- */

struct vhdx_entry {
	uint32_t signature, checksum; /* of `length` bytes */
	uint32_t length, tail;
	uint64_t sequence;
	uint32_t count, reserved;
	struct guid log;
	uint64_t flushed, last; /* sizes of the file */
};
_Static_assert(sizeof(struct vhdx_entry) == 64, "stored format");

/* "zero": trailing 0, leading the length. "desc": the last 4 and the first 8 bytes of the page. */
struct vhdx_descriptor {
	uint32_t signature, trailing;
	uint64_t leading, offset, sequence;
};
_Static_assert(sizeof(struct vhdx_descriptor) == 32, "stored format");

#define VHDX_DESCRIPTORS_FIRST 126u /* in an entry's first page */
#define VHDX_DESCRIPTORS_OTHER 128u

struct vhdx_sector {
	uint32_t signature, sequence_high;
	uint8_t bytes[4084];
	uint32_t sequence_low;
};
_Static_assert(sizeof(struct vhdx_sector) == VHDX_PAGE, "stored format");

/* ---- GUIDs ---- */

#define VHDX_REGION_BAT \
	GUID(0x2dc27766, 0xf623, 0x4200, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08)
#define VHDX_REGION_METADATA \
	GUID(0x8b7ca206, 0x4790, 0x4b9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e)
#define VHDX_ITEM_PARAMETERS \
	GUID(0xcaa16737, 0xfa36, 0x4d43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b)
#define VHDX_ITEM_SIZE \
	GUID(0x2fa54224, 0xcd1b, 0x4876, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8)
#define VHDX_ITEM_ID \
	GUID(0xbeca12ab, 0xb2e6, 0x4523, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46)
#define VHDX_ITEM_SECTOR \
	GUID(0x8141bf1d, 0xa96f, 0x4709, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f)
#define VHDX_ITEM_PHYSICAL \
	GUID(0xcda348c7, 0x445d, 0x4471, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56)
#define VHDX_ITEM_LOCATOR \
	GUID(0xa8d35f2d, 0xb30b, 0x454d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c)
#define VHDX_LOCATOR_TYPE \
	GUID(0xb04aefb7, 0xd19e, 0x4a81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13)

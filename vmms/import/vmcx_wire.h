/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout of Hyper-V's configuration files (.vmcx; .vmrs and .vmgs are of the same kind). All is
 * little-endian and packed.
 *
 * Microsoft has not published it. Source: what dissect.hypervisor (descriptor/c_hyperv.py and
 * hyperv.py) has found out of files of version 0x400. How checksums are made is not known there.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define VMCX_HEADER_SIGNATURE 0x01282014u
#define VMCX_LOG_SIGNATURE    0x01110003u
#define VMCX_TABLE_SIGNATURE  0x01110001u
#define VMCX_KEYS_SIGNATURE   2u
#define VMCX_VERSION          0x400u

/* The header lies in two places; that of the higher sequence number counts. */
#define VMCX_SECOND_HEADER 0x1000u
#define VMCX_OBJECT_TABLE  0x2000u

struct PACKED vmcx_header {
	uint32_t signature, checksum;
	uint16_t sequence;
	uint32_t version;
	uint64_t unknown;
	uint32_t alignment;
	uint64_t log_offset, log_size;
	uint32_t header_size;
};
_Static_assert(sizeof(struct vmcx_header) == 46, "file format");

/* Entries follow, which have yet to be done: a file that was closed in order has none. */
struct PACKED vmcx_log {
	uint32_t signature, checksum, entry_count;
};
_Static_assert(sizeof(struct vmcx_log) == 12, "file format");

struct PACKED vmcx_object_table {
	uint32_t signature, entry_count;
};
_Static_assert(sizeof(struct vmcx_object_table) == 8, "file format");

enum vmcx_object {
	VMCX_OBJECT_TABLES = 1, /* a further table of objects */
	VMCX_OBJECT_KEYS = 2,
};

struct PACKED vmcx_object_entry {
	uint8_t type; /* enum vmcx_object */
	uint32_t checksum;
	uint64_t offset;
	uint32_t size;
	uint8_t allocated;
};
_Static_assert(sizeof(struct vmcx_object_entry) == 18, "file format");

/* Of tables with the same index, that of the highest sequence number counts. */
struct PACKED vmcx_keys {
	uint16_t signature, index, sequence;
	uint32_t checksum;
};
_Static_assert(sizeof(struct vmcx_keys) == 10, "file format");

enum vmcx_type {
	VMCX_FREE = 1,
	VMCX_SIGNED = 3,
	VMCX_UNSIGNED = 4,
	VMCX_DOUBLE = 5,
	VMCX_TEXT = 6, /* UTF-16 */
	VMCX_BYTES = 7,
	VMCX_BOOLEAN = 8, /* 32 bits */
	VMCX_NODE = 9,
};

/*
 * Then the key's name with a NUL, as long as value_offset says; then the value, up to `size` bytes
 * with this header. A text's and bytes' begin with 32 bits of their length. The parent is the node
 * at an offset of the table with that index, 0: the entry is at the root.
 */
struct PACKED vmcx_entry {
	uint8_t type;  /* enum vmcx_type */
	uint8_t flags; /* VMCX_ELSEWHERE */
	uint32_t size;
	uint16_t parent_table;
	uint32_t parent_offset, checksum, insertion;
	uint8_t value_offset;
};
_Static_assert(sizeof(struct vmcx_entry) == 21, "file format");

/* The value is a vmcx_place: the value's bytes lie at an offset of the file. */
#define VMCX_ELSEWHERE 1u

struct PACKED vmcx_place {
	uint32_t size;
	uint64_t offset;
};
_Static_assert(sizeof(struct vmcx_place) == 12, "file format");

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network block device protocol: what a client says to the server of one disk and hears of it.
 * All integers are big-endian.
 *
 * The server greets; the client answers with flags, then sends options, each of which gets one or
 * more option replies. After NBD_OPT_GO has been acknowledged come requests and simple replies, in
 * any order, until the connection ends.
 * Source: the NBD project's doc/proto.md.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define NBD_GREETING_MAGIC     UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC       UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_OPTION_REPLY_MAGIC UINT64_C(0x0003e889045565a9)
#define NBD_REQUEST_MAGIC      0x25609513u
#define NBD_REPLY_MAGIC        0x67446698u

/* Flags of the greeting; the client answers with those of them that it takes. */
#define NBD_FIXED_NEWSTYLE 0x0001u
#define NBD_NO_ZEROES      0x0002u

struct nbd_greeting {
	uint64_t magic;        /* NBD_GREETING_MAGIC */
	uint64_t option_magic; /* NBD_OPTION_MAGIC */
	uint16_t flags;
} PACKED;
_Static_assert(sizeof(struct nbd_greeting) == 18, "wire format");

#define NBD_OPTION_EXPORT_NAME      1u
#define NBD_OPTION_ABORT            2u
#define NBD_OPTION_LIST             3u
#define NBD_OPTION_INFO             6u
#define NBD_OPTION_GO               7u
#define NBD_OPTION_STRUCTURED_REPLY 8u
#define NBD_OPTION_LIST_CONTEXTS    9u
#define NBD_OPTION_SET_CONTEXTS     10u

struct nbd_option {
	uint64_t magic; /* NBD_OPTION_MAGIC */
	uint32_t option;
	uint32_t size; /* bytes that follow */
} PACKED;
_Static_assert(sizeof(struct nbd_option) == 16, "wire format");

/* Types of option replies; errors have the highest bit. */
#define NBD_REPLY_ACKNOWLEDGED 1u
#define NBD_REPLY_EXPORT       2u /* u32 bytes of the name; the name */
#define NBD_REPLY_INFO         3u
#define NBD_REPLY_CONTEXT      4u /* u32 id; the name */
#define NBD_REPLY_ERROR        0x80000000u
#define NBD_REPLY_UNSUPPORTED  0x80000001u
#define NBD_REPLY_INVALID      0x80000003u
#define NBD_REPLY_UNKNOWN      0x80000006u

struct nbd_option_reply {
	uint64_t magic; /* NBD_OPTION_REPLY_MAGIC */
	uint32_t option;
	uint32_t type;
	uint32_t size; /* bytes that follow */
} PACKED;
_Static_assert(sizeof(struct nbd_option_reply) == 20, "wire format");

/* What NBD_REPLY_INFO begins with. */
#define NBD_INFO_EXPORT     0u
#define NBD_INFO_BLOCK_SIZE 3u

struct nbd_info_export {
	uint16_t type;
	uint64_t size;  /* bytes */
	uint16_t flags; /* NBD_HAS_… */
} PACKED;
_Static_assert(sizeof(struct nbd_info_export) == 12, "wire format");

/* In bytes. */
struct nbd_info_block_size {
	uint16_t type;
	uint32_t minimum, preferred;
	uint32_t payload_maximum; /* of NBD_READ and NBD_WRITE */
} PACKED;
_Static_assert(sizeof(struct nbd_info_block_size) == 14, "wire format");

#define NBD_HAS_FLAGS        0x0001u
#define NBD_IS_READ_ONLY     0x0002u
#define NBD_HAS_FLUSH        0x0004u
#define NBD_HAS_FORCE_ACCESS 0x0008u
#define NBD_HAS_TRIM         0x0020u
#define NBD_HAS_WRITE_ZEROES 0x0040u
#define NBD_HAS_MULTI_CONN   0x0100u

/* What NBD_OPTION_EXPORT_NAME is answered with, unless the export is not there. */
struct nbd_old_export {
	uint64_t size;
	uint16_t flags;
	uint8_t zeroes[124]; /* not with NBD_NO_ZEROES */
} PACKED;
_Static_assert(sizeof(struct nbd_old_export) == 134, "wire format");

enum nbd_command {
	NBD_READ = 0,
	NBD_WRITE = 1,
	NBD_DISCONNECT = 2,
	NBD_FLUSH = 3,
	NBD_TRIM = 4,
	NBD_WRITE_ZEROES = 6,
	NBD_BLOCK_STATUS = 7,
};

/* Flags of a request. */
#define NBD_FORCE_ACCESS 0x0001u /* on stable storage when it is answered */
#define NBD_NO_HOLE      0x0002u /* NBD_WRITE_ZEROES: the space is kept */
#define NBD_ONE_EXTENT   0x0008u /* NBD_BLOCK_STATUS: no more than one is wanted */

struct nbd_request {
	uint32_t magic; /* NBD_REQUEST_MAGIC */
	uint16_t flags;
	uint16_t command;
	uint64_t cookie; /* the reply has it again */
	uint64_t offset;
	uint32_t size; /* NBD_WRITE: of the data that follow */
} PACKED;
_Static_assert(sizeof(struct nbd_request) == 28, "wire format");

#define NBD_EPERM  1u
#define NBD_EIO    5u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u

struct nbd_reply {
	uint32_t magic; /* NBD_REPLY_MAGIC */
	uint32_t error; /* 0, then the data of an NBD_READ follow; or NBD_E… */
	uint64_t cookie;
} PACKED;
_Static_assert(sizeof(struct nbd_reply) == 16, "wire format");

/*
 * Structured replies, once they were asked for: chunks, the last of which has a flag. An NBD_READ is
 * answered by these alone.
 */
#define NBD_CHUNK_MAGIC 0x668e33efu
#define NBD_CHUNK_LAST  0x0001u /* a flag */

#define NBD_CHUNK_DATA   1u      /* u64 offset; the data */
#define NBD_CHUNK_HOLE   2u      /* u64 offset, u32 size: zeros */
#define NBD_CHUNK_STATUS 5u      /* u32 context; struct nbd_extent, one after another */
#define NBD_CHUNK_ERROR  0x8001u /* u32 error, u16 bytes of a text; the text */

struct nbd_chunk {
	uint32_t magic; /* NBD_CHUNK_MAGIC */
	uint16_t flags, type;
	uint64_t cookie;
	uint32_t size; /* bytes that follow */
} PACKED;
_Static_assert(sizeof(struct nbd_chunk) == 20, "wire format");

/* flags: of "base:allocation", a hole and zeros; of "qemu:dirty-bitmap:NAME", NBD_EXTENT_DIRTY. */
#define NBD_EXTENT_DIRTY 0x0001u

struct nbd_extent {
	uint32_t size, flags;
} PACKED;
_Static_assert(sizeof(struct nbd_extent) == 8, "wire format");

#define NBD_NAME_MAX 4096u /* bytes of a name of an export or context */

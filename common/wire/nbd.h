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

#define NBD_OPTION_GO 7u

struct nbd_option {
	uint64_t magic; /* NBD_OPTION_MAGIC */
	uint32_t option;
	uint32_t size; /* bytes that follow */
} PACKED;
_Static_assert(sizeof(struct nbd_option) == 16, "wire format");

/* Types of option replies; errors have the highest bit. */
#define NBD_REPLY_ACKNOWLEDGED 1u
#define NBD_REPLY_INFO         3u
#define NBD_REPLY_ERROR        0x80000000u

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

enum nbd_command {
	NBD_READ = 0,
	NBD_WRITE = 1,
	NBD_DISCONNECT = 2,
	NBD_FLUSH = 3,
	NBD_TRIM = 4,
	NBD_WRITE_ZEROES = 6,
};

/* Flags of a request. */
#define NBD_FORCE_ACCESS 0x0001u /* on stable storage when it is answered */
#define NBD_NO_HOLE      0x0002u /* NBD_WRITE_ZEROES: the space is kept */

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
#define NBD_ENOSPC 28u

struct nbd_reply {
	uint32_t magic; /* NBD_REPLY_MAGIC */
	uint32_t error; /* 0, then the data of an NBD_READ follow; or NBD_E… */
	uint64_t cookie;
} PACKED;
_Static_assert(sizeof(struct nbd_reply) == 16, "wire format");

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of a server of the network block device protocol, for tests and fuzzing. */
#pragma once

#include "common/wire/nbd.h"

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NBD_SERVER_ABLE \
	(NBD_HAS_FLAGS | NBD_HAS_FLUSH | NBD_HAS_FORCE_ACCESS | NBD_HAS_TRIM | NBD_HAS_WRITE_ZEROES)

struct nbd_server_words {
	size_t size;
	uint8_t bytes[8192];
};

static inline void nbd_server_say(struct nbd_server_words *words, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(words->bytes + words->size, bytes, size);
	words->size += size;
}

static inline void nbd_server_greet(struct nbd_server_words *words)
{
	const struct nbd_greeting greeting = {
		.magic = htobe64(NBD_GREETING_MAGIC),
		.option_magic = htobe64(NBD_OPTION_MAGIC),
		.flags = htobe16(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES),
	};

	nbd_server_say(words, &greeting, sizeof(greeting));
}

static inline void nbd_server_reply(struct nbd_server_words *words, uint32_t type,
				    const void *bytes, size_t size)
{
	const struct nbd_option_reply reply = {
		.magic = htobe64(NBD_OPTION_REPLY_MAGIC),
		.option = htobe32(NBD_OPTION_GO),
		.type = htobe32(type),
		.size = htobe32((uint32_t)size),
	};

	nbd_server_say(words, &reply, sizeof(reply));
	nbd_server_say(words, bytes, size);
}

static inline void nbd_server_tell_export(struct nbd_server_words *words, uint64_t size,
					  uint16_t flags)
{
	const struct nbd_info_export info = {
		.type = htobe16(NBD_INFO_EXPORT),
		.size = htobe64(size),
		.flags = htobe16(flags),
	};

	nbd_server_reply(words, NBD_REPLY_INFO, &info, sizeof(info));
}

static inline void nbd_server_tell_blocks(struct nbd_server_words *words, uint32_t minimum,
					  uint32_t payload_maximum)
{
	const struct nbd_info_block_size info = {
		.type = htobe16(NBD_INFO_BLOCK_SIZE),
		.minimum = htobe32(minimum),
		.preferred = htobe32(65536),
		.payload_maximum = htobe32(payload_maximum),
	};

	nbd_server_reply(words, NBD_REPLY_INFO, &info, sizeof(info));
}

/* All that a client needs to hear before it asks for blocks. */
static inline void nbd_server_offer(struct nbd_server_words *words, uint64_t size, uint16_t flags)
{
	nbd_server_greet(words);
	nbd_server_tell_export(words, size, flags);
	nbd_server_tell_blocks(words, 1, 32u << 20);
	nbd_server_reply(words, NBD_REPLY_ACKNOWLEDGED, NULL, 0);
}

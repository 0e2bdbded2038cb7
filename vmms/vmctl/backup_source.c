/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk as it was at one instant, read from the VM's worker. */
#include "vmms/vmctl/backup_source.h"

#include "common/base/file.h"
#include "common/wire/nbd.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT     "qemu:dirty-bitmap:"
#define REPLIES_MAX 16                  /* to one option */
#define REPLY_MAX   4096                /* bytes */
#define EXTENTS_MAX 1024                /* of one reply */
#define RANGE_MAX   (UINT64_C(1) << 31) /* of one question, or what is let go at once */

struct backup_source {
	int socket;
	uint64_t size;
	bool knows;
	uint32_t context;
	uint64_t cookie;
};

/* ---- Bytes ---- */

static int source_receive(struct backup_source *source, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t count = read(source->socket, (char *)bytes + done, size - done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -ECONNRESET;
		done += (size_t)count;
	}
	return 0;
}

static int source_send(struct backup_source *source, const void *bytes, size_t size)
{
	return file_write_all(source->socket, bytes, size);
}

/* ---- The handshake ---- */

static int source_greet(struct backup_source *source)
{
	struct nbd_greeting greeting;
	uint32_t flags = htobe32(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	int r = source_receive(source, &greeting, sizeof(greeting));

	if (r < 0)
		return r;
	if (be64toh(greeting.magic) != NBD_GREETING_MAGIC ||
	    be64toh(greeting.option_magic) != NBD_OPTION_MAGIC ||
	    !(be16toh(greeting.flags) & NBD_FIXED_NEWSTYLE))
		return -EPROTO;
	return source_send(source, &flags, sizeof(flags));
}

static void source_take_info(struct backup_source *source, const uint8_t *bytes, size_t size)
{
	struct nbd_info_export info;

	if (size != sizeof(info))
		return;
	memcpy(&info, bytes, sizeof(info));
	if (be16toh(info.type) == NBD_INFO_EXPORT)
		source->size = be64toh(info.size);
}

static void source_take_context(struct backup_source *source, const uint8_t *bytes, size_t size)
{
	if (size < sizeof(source->context))
		return;
	memcpy(&source->context, bytes, sizeof(source->context));
	source->knows = true;
}

/* Return: 1: it was the last reply to the option; 0; -errno. */
static int source_take_reply(struct backup_source *source, uint32_t option)
{
	struct nbd_option_reply reply;
	uint8_t bytes[REPLY_MAX];
	uint32_t type, size;
	int r = source_receive(source, &reply, sizeof(reply));

	if (r < 0)
		return r;
	type = be32toh(reply.type);
	size = be32toh(reply.size);
	if (be64toh(reply.magic) != NBD_OPTION_REPLY_MAGIC || be32toh(reply.option) != option ||
	    size > sizeof(bytes) || type & NBD_REPLY_ERROR)
		return -EPROTO;
	r = source_receive(source, bytes, size);
	if (r < 0)
		return r;
	if (type == NBD_REPLY_INFO)
		source_take_info(source, bytes, size);
	else if (type == NBD_REPLY_CONTEXT)
		source_take_context(source, bytes, size);
	return type == NBD_REPLY_ACKNOWLEDGED;
}

static int source_ask(struct backup_source *source, uint32_t number, const void *bytes, size_t size)
{
	const struct nbd_option option = { htobe64(NBD_OPTION_MAGIC), htobe32(number),
					   htobe32((uint32_t)size) };
	int r = source_send(source, &option, sizeof(option));

	if (r == 0)
		r = source_send(source, bytes, size);
	for (unsigned i = 0; r == 0 && i < REPLIES_MAX; i++) {
		r = source_take_reply(source, number);
		if (r == 1)
			return 0;
	}
	return r < 0 ? r : -EPROTO;
}

struct source_text {
	size_t size;
	uint8_t bytes[256];
};

static void text_add(struct source_text *text, const void *bytes, size_t size)
{
	if (size > sizeof(text->bytes) - text->size)
		return; /* names and points are short */
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
}

static void text_add_name(struct source_text *text, const char *name)
{
	uint32_t size = htobe32((uint32_t)strlen(name));

	text_add(text, &size, sizeof(size));
	text_add(text, name, strlen(name));
}

static int source_ask_for_changes(struct backup_source *source, const char *name, const char *since)
{
	const uint32_t one = htobe32(1);
	struct source_text text = { 0 };
	char context[128];

	snprintf(context, sizeof(context), CONTEXT "%s", since);
	text_add_name(&text, name);
	text_add(&text, &one, sizeof(one));
	text_add_name(&text, context);
	return source_ask(source, NBD_OPTION_SET_CONTEXTS, text.bytes, text.size);
}

static int source_begin(struct backup_source *source, const char *name, const char *since)
{
	const uint16_t none = 0;
	struct source_text text = { 0 };
	int r = source_greet(source);

	if (r == 0)
		r = source_ask(source, NBD_OPTION_STRUCTURED_REPLY, "", 0);
	if (r == 0 && since)
		r = source_ask_for_changes(source, name, since);
	text_add_name(&text, name);
	text_add(&text, &none, sizeof(none));
	if (r == 0)
		r = source_ask(source, NBD_OPTION_GO, text.bytes, text.size);
	if (r == 0 && (source->size == 0 || source->size > INT64_MAX))
		return -EPROTO;
	return r;
}

int backup_source_new(int socket, const char *name, const char *since,
		      struct backup_source **ret_source)
{
	struct backup_source *source = calloc(1, sizeof(*source));
	int r;

	if (!source) {
		close(socket);
		return -ENOMEM;
	}
	source->socket = socket;
	r = source_begin(source, name, since);
	if (r < 0) {
		backup_source_free(source);
		return r;
	}
	*ret_source = source;
	return 0;
}

void backup_source_free(struct backup_source *source)
{
	if (!source)
		return;
	close(source->socket);
	free(source);
}

uint64_t backup_source_size(const struct backup_source *source)
{
	return source->size;
}

bool backup_source_knows(const struct backup_source *source)
{
	return source->knows;
}

/* ---- Requests ---- */

static int source_request(struct backup_source *source, uint16_t command, uint16_t flags,
			  uint64_t offset, uint32_t size)
{
	const struct nbd_request request = { .magic = htobe32(NBD_REQUEST_MAGIC),
					     .flags = htobe16(flags),
					     .command = htobe16(command),
					     .cookie = htobe64(++source->cookie),
					     .offset = htobe64(offset),
					     .size = htobe32(size) };

	return source_send(source, &request, sizeof(request));
}

struct source_chunk {
	uint16_t type;
	uint32_t size;
	bool last;
};

/* The head of a chunk. Return: 0; -EIO: it says that it failed; -errno. */
static int source_take_chunk(struct backup_source *source, struct source_chunk *ret_chunk)
{
	struct nbd_chunk chunk;
	uint8_t text[REPLY_MAX];
	int r = source_receive(source, &chunk, sizeof(chunk));

	if (r < 0)
		return r;
	*ret_chunk = (struct source_chunk){ be16toh(chunk.type), be32toh(chunk.size),
					    be16toh(chunk.flags) & NBD_CHUNK_LAST };
	if (be32toh(chunk.magic) != NBD_CHUNK_MAGIC || be64toh(chunk.cookie) != source->cookie)
		return -EPROTO;
	if (ret_chunk->type != NBD_CHUNK_ERROR)
		return 0;
	if (ret_chunk->size > sizeof(text))
		return -EPROTO;
	r = source_receive(source, text, ret_chunk->size);
	return r < 0 ? r : -EIO;
}

/* What a chunk has of what was asked for. Return: bytes; negative: -errno. */
static int64_t source_take_data(struct backup_source *source, const struct source_chunk *chunk,
				uint64_t offset, uint8_t *buffer, uint32_t size, bool *zero)
{
	uint64_t at;
	uint32_t length = chunk->size - (uint32_t)sizeof(at);
	int r;

	if (chunk->size < sizeof(at))
		return -EPROTO;
	r = source_receive(source, &at, sizeof(at));
	if (r == 0 && chunk->type == NBD_CHUNK_HOLE) {
		if (length != sizeof(length))
			return -EPROTO;
		r = source_receive(source, &length, sizeof(length));
		length = be32toh(length);
	}
	if (r < 0)
		return r;
	at = be64toh(at);
	if (at < offset || at - offset > size || length > size - (at - offset))
		return -EPROTO;
	if (chunk->type == NBD_CHUNK_HOLE) {
		memset(buffer + (at - offset), 0, length);
		return length;
	}
	*zero = false;
	r = source_receive(source, buffer + (at - offset), length);
	return r < 0 ? r : (int64_t)length;
}

int backup_source_read(struct backup_source *source, uint64_t offset, void *buffer, uint32_t size,
		       bool *ret_zero)
{
	struct source_chunk chunk = { .last = false };
	uint64_t got = 0;
	int r = source_request(source, NBD_READ, 0, offset, size);

	*ret_zero = true;
	while (r == 0 && !chunk.last) {
		int64_t count;

		r = source_take_chunk(source, &chunk);
		if (r < 0)
			return r;
		if (chunk.type != NBD_CHUNK_DATA && chunk.type != NBD_CHUNK_HOLE)
			return -EPROTO;
		count = source_take_data(source, &chunk, offset, buffer, size, ret_zero);
		if (count < 0)
			return (int)count;
		got += (uint64_t)count;
	}
	return r < 0 ? r : got == size ? 0 : -EPROTO;
}

int backup_source_find(struct backup_source *source, uint64_t offset, bool *ret_changed,
		       uint64_t *ret_size)
{
	uint32_t size = (uint32_t)MIN(source->size - offset, RANGE_MAX);
	struct source_chunk chunk;
	struct nbd_extent extents[EXTENTS_MAX];
	uint32_t context;
	size_t count;
	int r = source_request(source, NBD_BLOCK_STATUS, 0, offset, size);

	if (r == 0)
		r = source_take_chunk(source, &chunk);
	if (r < 0)
		return r;
	count = (chunk.size - sizeof(context)) / sizeof(extents[0]);
	if (chunk.type != NBD_CHUNK_STATUS || !chunk.last ||
	    chunk.size < sizeof(context) + sizeof(extents[0]) ||
	    chunk.size != sizeof(context) + count * sizeof(extents[0]) || count > EXTENTS_MAX)
		return -EPROTO;
	r = source_receive(source, &context, sizeof(context));
	if (r == 0)
		r = source_receive(source, extents, count * sizeof(extents[0]));
	if (r < 0)
		return r;
	*ret_changed = be32toh(extents[0].flags) & NBD_EXTENT_DIRTY;
	*ret_size = MIN(be32toh(extents[0].size), size);
	return context == source->context && *ret_size > 0 ? 0 : -EPROTO;
}

int backup_source_release(struct backup_source *source, uint64_t offset, uint64_t size)
{
	while (size > 0) {
		uint32_t piece = (uint32_t)MIN(size, RANGE_MAX);
		struct nbd_reply reply;
		int r = source_request(source, NBD_TRIM, 0, offset, piece);

		if (r == 0)
			r = source_receive(source, &reply, sizeof(reply));
		if (r < 0)
			return r;
		if (be32toh(reply.magic) != NBD_REPLY_MAGIC || reply.error ||
		    be64toh(reply.cookie) != source->cookie)
			return -EPROTO;
		offset += piece;
		size -= piece;
	}
	return 0;
}

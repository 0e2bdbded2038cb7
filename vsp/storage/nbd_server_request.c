/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server of views of disks: requests, and replies to them. */
#include "vsp/storage/nbd_server_internal.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void request_received(struct nbd_connection *connection);

void nbd_request_begin(struct nbd_connection *connection)
{
	nbd_connection_receive(connection, &connection->request, sizeof(connection->request),
			       request_received);
}

/* ---- Replies without data ---- */

static struct nbd_chunk request_chunk(const struct nbd_connection *connection, uint16_t type,
				      size_t size, bool last)
{
	return (struct nbd_chunk){ .magic = htobe32(NBD_CHUNK_MAGIC),
				   .flags = htobe16(last ? NBD_CHUNK_LAST : 0),
				   .type = htobe16(type),
				   .cookie = connection->request.cookie,
				   .size = htobe32((uint32_t)size) };
}

static void request_end(struct nbd_connection *connection, uint32_t error)
{
	const struct nbd_reply reply = { .magic = htobe32(NBD_REPLY_MAGIC),
					 .error = htobe32(error),
					 .cookie = connection->request.cookie };
	const struct {
		struct nbd_chunk chunk;
		uint32_t error;
		uint16_t size;
	} PACKED structured = { request_chunk(connection, NBD_CHUNK_ERROR, 6, true), htobe32(error),
				0 };

	if (connection->structured && error)
		nbd_out(connection, &structured, sizeof(structured));
	else
		nbd_out(connection, &reply, sizeof(reply));
	nbd_out_send(connection, nbd_request_begin);
}

/* ---- Reading ---- */

static void read_next(struct nbd_connection *connection);

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Puts a header before the data. Return: where it begins. */
static uint8_t *read_prepend(struct nbd_connection *connection, const void *header, size_t size)
{
	return memcpy(connection->piece + PAGE - size, header, size);
}

static void read_advance(struct nbd_connection *connection)
{
	uint32_t size = connection->read.size;

	connection->begun = true;
	connection->offset += size;
	connection->size -= size;
}

static void read_send_structured(struct nbd_connection *connection)
{
	uint32_t size = connection->read.size;
	bool last = size == connection->size;
	bool zero = is_zero(connection->piece + PAGE, size);
	const struct {
		struct nbd_chunk chunk;
		uint64_t offset;
		uint32_t size;
	} PACKED hole = { request_chunk(connection, NBD_CHUNK_HOLE, 12, last),
			  htobe64(connection->offset), htobe32(size) };
	const struct {
		struct nbd_chunk chunk;
		uint64_t offset;
	} PACKED data = { request_chunk(connection, NBD_CHUNK_DATA, 8 + size, last),
			  htobe64(connection->offset) };
	uint8_t *begin;

	read_advance(connection);
	if (zero) {
		nbd_out(connection, &hole, sizeof(hole));
		nbd_out_send(connection, read_next);
		return;
	}
	begin = read_prepend(connection, &data, sizeof(data));
	nbd_connection_send(connection, begin, sizeof(data) + size, read_next);
}

static void read_send_simple(struct nbd_connection *connection)
{
	const struct nbd_reply reply = { .magic = htobe32(NBD_REPLY_MAGIC),
					 .cookie = connection->request.cookie };
	size_t size = connection->begun ? 0 : sizeof(reply);
	uint8_t *begin = read_prepend(connection, &reply, size);

	size += connection->read.size;
	read_advance(connection);
	nbd_connection_send(connection, begin, size, read_next);
}

static void read_done(struct disk_point_read *read, int result)
{
	struct nbd_connection *connection = container_of(read, struct nbd_connection, read);

	connection->busy = false;
	if (connection->ending)
		nbd_connection_end(connection);
	else if (result && (connection->structured || !connection->begun))
		request_end(connection, NBD_EIO);
	else if (result)
		nbd_connection_end(connection); /* there is no other way to say it */
	else if (connection->structured)
		read_send_structured(connection);
	else
		read_send_simple(connection);
}

static void read_next(struct nbd_connection *connection)
{
	if (connection->size == 0) {
		nbd_request_begin(connection);
		return;
	}
	connection->read = (struct disk_point_read){
		.offset = connection->offset,
		.size = MIN(connection->size, NBD_SERVER_PIECE),
		.buffer = connection->piece + PAGE,
		.complete = read_done,
	};
	connection->busy = true;
	disk_point_read(connection->served->point, &connection->read);
}

static void request_read(struct nbd_connection *connection)
{
	if (!connection->piece)
		connection->piece = aligned_alloc(PAGE, PAGE + NBD_SERVER_PIECE);
	if (!connection->piece || connection->size > NBD_SERVER_READ_MAX) {
		request_end(connection, NBD_EINVAL);
		return;
	}
	connection->begun = false;
	read_next(connection);
}

/* ---- The state of blocks ---- */

/* Return: how many there are. */
static size_t status_describe(const struct nbd_connection *connection, unsigned context,
			      size_t most, struct nbd_extent extents[])
{
	uint64_t offset = connection->offset, left = connection->size, size;
	size_t count = 0;

	while (left > 0 && count < most) {
		bool dirty = context > 0 &&
			     disk_point_has_changed(connection->served->point, offset, left, &size);

		if (context == 0)
			size = left;
		extents[count++] = (struct nbd_extent){ htobe32((uint32_t)size),
							htobe32(dirty ? NBD_EXTENT_DIRTY : 0) };
		offset += size;
		left -= size;
	}
	return count;
}

_Static_assert(NBD_SERVER_CONTEXTS *(NBD_SERVER_EXTENTS * sizeof(struct nbd_extent) + 24) <=
		       NBD_SERVER_OUT_MAX,
	       "all contexts fit");

static void request_status(struct nbd_connection *connection)
{
	bool one = be16toh(connection->request.flags) & NBD_ONE_EXTENT;
	unsigned left = connection->contexts;
	struct nbd_extent extents[NBD_SERVER_EXTENTS];

	if (!connection->structured || connection->of != connection->served || left == 0) {
		request_end(connection, NBD_EINVAL);
		return;
	}
	for (unsigned i = 0; i < NBD_SERVER_CONTEXTS; i++) {
		size_t count;
		struct {
			struct nbd_chunk chunk;
			uint32_t context;
		} PACKED head;

		if (!(left & 1u << i))
			continue;
		left &= ~(1u << i);
		count = status_describe(connection, i, one ? 1 : NBD_SERVER_EXTENTS, extents);
		head.chunk =
			request_chunk(connection, NBD_CHUNK_STATUS,
				      sizeof(head.context) + count * sizeof(extents[0]), left == 0);
		head.context = htobe32(i + 1);
		nbd_out(connection, &head, sizeof(head));
		nbd_out(connection, extents, count * sizeof(extents[0]));
	}
	nbd_out_send(connection, nbd_request_begin);
}

/* ---- Requests ---- */

static bool request_is_in_range(const struct nbd_connection *connection)
{
	const struct disk_point *point = connection->served->point;
	uint64_t size = disk_point_size(point);

	return connection->size > 0 && connection->offset <= size &&
	       connection->size <= size - connection->offset &&
	       IS_ALIGNED(connection->offset, disk_point_sector_size(point)) &&
	       IS_ALIGNED(connection->size, disk_point_sector_size(point));
}

static void request_trim(struct nbd_connection *connection)
{
	if (connection->server->releases)
		disk_point_release(connection->served->point, connection->offset, connection->size);
	request_end(connection, connection->server->releases ? 0 : NBD_EPERM);
}

static void request_do(struct nbd_connection *connection, uint16_t command)
{
	switch (command) {
	case NBD_READ:
		request_read(connection);
		break;
	case NBD_BLOCK_STATUS:
		request_status(connection);
		break;
	case NBD_TRIM:
		request_trim(connection);
		break;
	default:
		request_end(connection, NBD_EPERM);
	}
}

static void request_received(struct nbd_connection *connection)
{
	const struct nbd_request *request = &connection->request;
	uint16_t command = be16toh(request->command);

	/* What would be written comes after it, and nobody has asked for that. */
	if (be32toh(request->magic) != NBD_REQUEST_MAGIC || command == NBD_DISCONNECT ||
	    command == NBD_WRITE) {
		nbd_connection_end(connection);
		return;
	}
	connection->offset = be64toh(request->offset);
	connection->size = be32toh(request->size);
	if (request_is_in_range(connection))
		request_do(connection, command);
	else
		request_end(connection,
			    command > NBD_WRITE && command < NBD_BLOCK_STATUS && command != NBD_TRIM
				    ? NBD_EPERM
				    : NBD_EINVAL);
}

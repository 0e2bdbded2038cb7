/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server of views of disks: how a client comes to use an export. */
#include "vsp/storage/nbd_server_internal.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT_BASE  "base:allocation"
#define CONTEXT_DIRTY "qemu:dirty-bitmap:"
#define QUERIES_MAX   64
#define LISTED_MAX    256 /* exports */

/* What is left of an option's data. */
struct option_data {
	const uint8_t *bytes;
	size_t left;
	bool bad; /* it ended too early */
};

static const void *data_take(struct option_data *data, size_t size)
{
	const void *bytes = data->bytes;

	if (data->bad || data->left < size) {
		data->bad = true;
		return NULL;
	}
	data->bytes += size;
	data->left -= size;
	return bytes;
}

static uint32_t data_take_u32(struct option_data *data)
{
	const void *bytes = data_take(data, sizeof(uint32_t));
	uint32_t value = 0;

	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

/* A size, and so many bytes. NULL: they are not there. */
static const char *data_take_text(struct option_data *data, size_t *ret_size)
{
	*ret_size = data_take_u32(data);
	return data_take(data, *ret_size);
}

/* ---- Replies ---- */

static void option_received(struct nbd_connection *connection);

static void option_next(struct nbd_connection *connection)
{
	nbd_connection_receive(connection, &connection->option, sizeof(connection->option),
			       option_received);
}

static void option_reply(struct nbd_connection *connection, uint32_t type, const void *bytes,
			 size_t size)
{
	const struct nbd_option_reply reply = { .magic = htobe64(NBD_OPTION_REPLY_MAGIC),
						.option = connection->option.option,
						.type = htobe32(type),
						.size = htobe32((uint32_t)size) };

	nbd_out(connection, &reply, sizeof(reply));
	nbd_out(connection, bytes, size);
}

/* The last reply to an option. */
static void option_end(struct nbd_connection *connection, uint32_t type)
{
	option_reply(connection, type, "", 0);
	nbd_out_send(connection, option_next);
}

static void option_named_reply(struct nbd_connection *connection, uint32_t type, uint32_t number,
			       const char *name)
{
	struct {
		uint32_t number;
		char name[128];
	} PACKED reply = { .number = htobe32(number) };

	snprintf(reply.name, sizeof(reply.name), "%s", name);
	option_reply(connection, type, &reply, sizeof(number) + strlen(reply.name));
}

/* ---- Exports ---- */

uint16_t nbd_served_flags(const struct nbd_server *server)
{
	return NBD_HAS_FLAGS | NBD_HAS_MULTI_CONN |
	       (server->releases ? NBD_HAS_TRIM : NBD_IS_READ_ONLY);
}

static const struct nbd_served *export_find(const struct nbd_server *server, const char *name,
					    size_t size)
{
	if (size == 0)
		return &server->served[0];
	for (size_t i = 0; i < server->count; i++) {
		if (strlen(server->served[i].name) == size &&
		    memcmp(server->served[i].name, name, size) == 0)
			return &server->served[i];
	}
	return NULL;
}

static void option_list(struct nbd_connection *connection)
{
	const struct nbd_server *server = connection->server;

	if (connection->option.size) {
		option_end(connection, NBD_REPLY_INVALID);
		return;
	}
	for (size_t i = 0; i < MIN(server->count, (size_t)LISTED_MAX); i++)
		option_named_reply(connection, NBD_REPLY_EXPORT,
				   (uint32_t)strlen(server->served[i].name),
				   server->served[i].name);
	option_end(connection, NBD_REPLY_ACKNOWLEDGED);
}

static void option_export_name(struct nbd_connection *connection, struct option_data *data)
{
	const struct nbd_served *served =
		export_find(connection->server, (const char *)data->bytes, data->left);
	struct nbd_old_export reply = { 0 };

	if (!served) {
		nbd_connection_end(connection);
		return;
	}
	connection->served = served;
	reply.size = htobe64(disk_point_size(served->point));
	reply.flags = htobe16(nbd_served_flags(connection->server));
	nbd_out(connection, &reply,
		connection->no_zeroes ? offsetof(struct nbd_old_export, zeroes) : sizeof(reply));
	nbd_out_send(connection, nbd_request_begin);
}

static void option_tell_export(struct nbd_connection *connection, const struct nbd_served *served)
{
	const struct nbd_info_export export = {
		.type = htobe16(NBD_INFO_EXPORT),
		.size = htobe64(disk_point_size(served->point)),
		.flags = htobe16(nbd_served_flags(connection->server)),
	};
	const struct nbd_info_block_size blocks = {
		.type = htobe16(NBD_INFO_BLOCK_SIZE),
		.minimum = htobe32(disk_point_sector_size(served->point)),
		.preferred = htobe32(1u << CHANGES_SHIFT_LEAST),
		.payload_maximum = htobe32(NBD_SERVER_READ_MAX),
	};

	option_reply(connection, NBD_REPLY_INFO, &export, sizeof(export));
	option_reply(connection, NBD_REPLY_INFO, &blocks, sizeof(blocks));
}

static void option_go(struct nbd_connection *connection, struct option_data *data)
{
	bool go = be32toh(connection->option.option) == NBD_OPTION_GO;
	const struct nbd_served *served;
	uint16_t count = 0;
	const void *bytes;
	const char *name;
	size_t size;

	name = data_take_text(data, &size);
	bytes = data_take(data, sizeof(count));
	if (bytes)
		memcpy(&count, bytes, sizeof(count));
	if (!bytes || data->left != be16toh(count) * sizeof(uint16_t)) {
		option_end(connection, NBD_REPLY_INVALID);
		return;
	}
	served = export_find(connection->server, name, size);
	if (!served) {
		option_end(connection, NBD_REPLY_UNKNOWN);
		return;
	}
	option_tell_export(connection, served);
	option_reply(connection, NBD_REPLY_ACKNOWLEDGED, "", 0);
	if (go)
		connection->served = served;
	if (connection->of != served)
		connection->contexts = 0;
	nbd_out_send(connection, go ? nbd_request_begin : option_next);
}

/* ---- Contexts ---- */

static void context_name(const struct nbd_served *served, unsigned context, char name[128])
{
	char text[GUID_TEXT_SIZE];

	if (context == 0) {
		snprintf(name, 128, CONTEXT_BASE);
		return;
	}
	guid_format(&disk_point_known(served->point)->points[context - 1], text);
	snprintf(name, 128, CONTEXT_DIRTY "%s", text);
}

/* A query that ends in a colon asks for all that begin so, where that may be asked. */
static unsigned contexts_match(const struct nbd_served *served, const char *query, size_t size,
			       bool list)
{
	unsigned all = 1 + disk_point_known(served->point)->point_count, found = 0;
	char name[128];

	for (unsigned i = 0; i < all; i++) {
		context_name(served, i, name);
		if (size > strlen(name) || memcmp(name, query, size) != 0)
			continue;
		if (size == strlen(name) || (list && size > 0 && query[size - 1] == ':'))
			found |= 1u << i;
	}
	return found;
}

/* Return: those that are asked for; 0 also if the data make no sense. */
static unsigned contexts_take(struct option_data *data, const struct nbd_served *served, bool list)
{
	uint32_t count = data_take_u32(data);
	unsigned found = 0;

	if (count > QUERIES_MAX)
		data->bad = true;
	if (count == 0 && list)
		found = (1u << (1 + disk_point_known(served->point)->point_count)) - 1;
	for (uint32_t i = 0; !data->bad && i < count; i++) {
		size_t size;
		const char *query = data_take_text(data, &size);

		if (query)
			found |= contexts_match(served, query, size, list);
	}
	data->bad |= data->left > 0;
	return found;
}

static void option_contexts(struct nbd_connection *connection, struct option_data *data)
{
	bool list = be32toh(connection->option.option) == NBD_OPTION_LIST_CONTEXTS;
	const struct nbd_served *served;
	unsigned contexts = 0;
	const char *name;
	size_t size;

	name = data_take_text(data, &size);
	served = name ? export_find(connection->server, name, size) : NULL;
	if (served)
		contexts = contexts_take(data, served, list);
	if (!list)
		connection->of = NULL;
	if (!connection->structured || data->bad || !name) {
		option_end(connection, NBD_REPLY_INVALID);
		return;
	}
	if (!served) {
		option_end(connection, NBD_REPLY_UNKNOWN);
		return;
	}
	for (unsigned i = 0; i < NBD_SERVER_CONTEXTS; i++) {
		char text[128];

		if (!(contexts & 1u << i))
			continue;
		context_name(served, i, text);
		option_named_reply(connection, NBD_REPLY_CONTEXT, i + 1, text);
	}
	if (!list) {
		connection->of = served;
		connection->contexts = contexts;
	}
	option_end(connection, NBD_REPLY_ACKNOWLEDGED);
}

/* ---- What comes ---- */

static void option_structured(struct nbd_connection *connection)
{
	if (connection->option.size) {
		option_end(connection, NBD_REPLY_INVALID);
		return;
	}
	connection->structured = true;
	option_end(connection, NBD_REPLY_ACKNOWLEDGED);
}

static void option_take(struct nbd_connection *connection)
{
	struct option_data data = { connection->data, be32toh(connection->option.size), false };

	switch (be32toh(connection->option.option)) {
	case NBD_OPTION_EXPORT_NAME:
		option_export_name(connection, &data);
		break;
	case NBD_OPTION_ABORT:
		option_reply(connection, NBD_REPLY_ACKNOWLEDGED, "", 0);
		nbd_out_send(connection, nbd_connection_end);
		break;
	case NBD_OPTION_LIST:
		option_list(connection);
		break;
	case NBD_OPTION_INFO:
	case NBD_OPTION_GO:
		option_go(connection, &data);
		break;
	case NBD_OPTION_STRUCTURED_REPLY:
		option_structured(connection);
		break;
	case NBD_OPTION_LIST_CONTEXTS:
	case NBD_OPTION_SET_CONTEXTS:
		option_contexts(connection, &data);
		break;
	default:
		option_end(connection, NBD_REPLY_UNSUPPORTED);
	}
}

static void option_received(struct nbd_connection *connection)
{
	uint32_t size = be32toh(connection->option.size);

	if (be64toh(connection->option.magic) != NBD_OPTION_MAGIC ||
	    size > sizeof(connection->data))
		nbd_connection_end(connection);
	else if (size > 0)
		nbd_connection_receive(connection, connection->data, size, option_take);
	else
		option_take(connection);
}

static void option_flags_received(struct nbd_connection *connection)
{
	uint32_t flags = be32toh(connection->flags);

	if (flags & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES)) {
		nbd_connection_end(connection);
		return;
	}
	connection->no_zeroes = flags & NBD_NO_ZEROES;
	option_next(connection);
}

static void option_greeted(struct nbd_connection *connection)
{
	nbd_connection_receive(connection, &connection->flags, sizeof(connection->flags),
			       option_flags_received);
}

void nbd_option_begin(struct nbd_connection *connection)
{
	const struct nbd_greeting greeting = { .magic = htobe64(NBD_GREETING_MAGIC),
					       .option_magic = htobe64(NBD_OPTION_MAGIC),
					       .flags = htobe16(NBD_FIXED_NEWSTYLE |
								NBD_NO_ZEROES) };

	nbd_out(connection, &greeting, sizeof(greeting));
	nbd_out_send(connection, option_greeted);
}

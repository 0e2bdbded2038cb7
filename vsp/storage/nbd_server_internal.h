/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the server of views share:
 *
 *   nbd_server.c          the server, its connections, and their bytes
 *   nbd_server_option.c   how a client comes to use an export
 *   nbd_server_request.c  requests and replies
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/wire/nbd.h"
#include "vsp/storage/nbd_server.h"

#define NBD_SERVER_DATA_MAX 8192u  /* bytes of an option */
#define NBD_SERVER_OUT_MAX  32768u /* bytes of an answer without data of the disk */
#define NBD_SERVER_PIECE    (256u << 10)
#define NBD_SERVER_READ_MAX (32u << 20)
#define NBD_SERVER_EXTENTS  256u /* that are told of each context */

/* Contexts of an export: bit 0 is base:allocation, bit 1 + i the point i that is known. */
#define NBD_SERVER_CONTEXTS (1 + CHANGES_POINTS_MAX)

struct nbd_connection {
	struct list link;
	struct nbd_server *server;
	int fd;
	bool busy;   /* an operation, or the read of a view, is under way */
	bool ending; /* it is freed as soon as it is not busy */

	/* What is being received, or sent, as a whole; and what comes after. */
	struct loop_operation operation;
	uint8_t *bytes;
	size_t left;
	bool sending;
	void (*next)(struct nbd_connection *connection);

	bool no_zeroes, structured;
	uint32_t flags;
	struct nbd_option option;
	uint8_t data[NBD_SERVER_DATA_MAX];
	const struct nbd_served *served; /* NULL: not yet */
	const struct nbd_served *of;     /* the contexts are; NULL: none */
	unsigned contexts;               /* NBD_SERVER_CONTEXTS bits */

	struct nbd_request request;
	uint64_t offset;
	uint32_t size; /* of the request: what is left of it */
	bool begun;    /* some of it was sent */
	struct disk_point_read read;
	uint8_t *piece; /* a page for a header, NBD_SERVER_PIECE bytes; NULL: not yet */

	size_t out_size;
	uint8_t out[NBD_SERVER_OUT_MAX];
};

struct nbd_server {
	struct loop *loop;
	bool releases;
	int listener; /* -1: none */
	struct loop_operation accept;
	bool accepting, stopping;
	struct list connections;
	unsigned connection_count;
	void (*stopped)(void *data);
	void *data;
	size_t count;
	struct nbd_served served[];
};

/* ---- nbd_server.c: the last thing that a function does ---- */

/* next: when all of it has come, or is sent; not at once. */
void nbd_connection_receive(struct nbd_connection *connection, void *bytes, size_t size,
			    void (*next)(struct nbd_connection *connection));
void nbd_connection_send(struct nbd_connection *connection, void *bytes, size_t size,
			 void (*next)(struct nbd_connection *connection));

/* It is over. */
void nbd_connection_end(struct nbd_connection *connection);

/* ---- What is sent, all at once ---- */

/* There is room. */
void nbd_out(struct nbd_connection *connection, const void *bytes, size_t size);
void nbd_out_send(struct nbd_connection *connection,
		  void (*next)(struct nbd_connection *connection));

/* ---- nbd_server_option.c, nbd_server_request.c ---- */

void nbd_option_begin(struct nbd_connection *connection);
void nbd_request_begin(struct nbd_connection *connection);

/* The flags of an export. */
uint16_t nbd_served_flags(const struct nbd_server *server);

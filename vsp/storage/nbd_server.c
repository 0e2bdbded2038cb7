/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server of views of disks: its clients, and what they send and get. */
#include "vsp/storage/nbd_server.h"

#include "common/base/cleanup.h"
#include "vsp/storage/nbd_server_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void server_accept(struct nbd_server *server);

/* ---- The end ---- */

static void connection_free(struct nbd_connection *connection)
{
	list_unlink(&connection->link);
	close(connection->fd);
	free(connection->piece);
	free(connection);
}

void nbd_server_free(struct nbd_server *server)
{
	if (!server)
		return;
	list_for_each (link, &server->connections)
		connection_free(container_of(link, struct nbd_connection, link));
	if (server->listener >= 0)
		close(server->listener);
	free(server);
}

static void server_end_if_quiet(struct nbd_server *server)
{
	void (*stopped)(void *data) = server->stopped;
	void *data = server->data;

	if (!server->stopping || server->accepting || server->connection_count > 0)
		return;
	nbd_server_free(server);
	if (stopped)
		stopped(data);
}

void nbd_connection_end(struct nbd_connection *connection)
{
	struct nbd_server *server = connection->server;

	connection->ending = true;
	if (connection->busy)
		return;
	loop_flush(server->loop);
	connection_free(connection);
	server->connection_count--;
	if (server->stopping)
		server_end_if_quiet(server);
	else
		server_accept(server);
}

void nbd_server_stop(struct nbd_server *server, void (*stopped)(void *data), void *data)
{
	server->stopping = true;
	server->stopped = stopped;
	server->data = data;
	server->connection_count++; /* none is the last one */
	if (server->accepting)
		loop_cancel(server->loop, &server->accept);
	list_for_each (link, &server->connections) {
		struct nbd_connection *connection = container_of(link, struct nbd_connection, link);

		if (connection->busy && connection->next)
			loop_cancel(server->loop, &connection->operation);
		nbd_connection_end(connection);
	}
	server->connection_count--;
	server_end_if_quiet(server);
}

/* ---- Bytes ---- */

static void connection_go_on(struct nbd_connection *connection)
{
	struct loop *loop = connection->server->loop;

	if (connection->sending)
		loop_write(loop, &connection->operation, connection->fd, connection->bytes,
			   connection->left);
	else
		loop_read(loop, &connection->operation, connection->fd, connection->bytes,
			  connection->left);
}

static void connection_moved(struct loop_operation *operation, int result, bool more)
{
	struct nbd_connection *connection =
		container_of(operation, struct nbd_connection, operation);
	bool passing = result == -EINTR || result == -EAGAIN;

	connection->busy = false;
	if (connection->ending || (result <= 0 && !passing)) {
		nbd_connection_end(connection);
		return;
	}
	connection->bytes += MAX(result, 0);
	connection->left -= (size_t)MAX(result, 0);
	if (connection->left == 0) {
		TAKE_PTR(connection->next)(connection);
		return;
	}
	connection->busy = true;
	connection_go_on(connection);
}

static void connection_move(struct nbd_connection *connection, void *bytes, size_t size,
			    void (*next)(struct nbd_connection *connection))
{
	assert(size > 0 && !connection->busy);
	connection->bytes = bytes;
	connection->left = size;
	connection->next = next;
	connection->busy = true;
	connection_go_on(connection);
}

void nbd_connection_receive(struct nbd_connection *connection, void *bytes, size_t size,
			    void (*next)(struct nbd_connection *connection))
{
	connection->sending = false;
	connection_move(connection, bytes, size, next);
}

void nbd_connection_send(struct nbd_connection *connection, void *bytes, size_t size,
			 void (*next)(struct nbd_connection *connection))
{
	connection->sending = true;
	connection_move(connection, bytes, size, next);
}

void nbd_out(struct nbd_connection *connection, const void *bytes, size_t size)
{
	assert(size <= sizeof(connection->out) - connection->out_size);
	memcpy(connection->out + connection->out_size, bytes, size);
	connection->out_size += size;
}

void nbd_out_send(struct nbd_connection *connection,
		  void (*next)(struct nbd_connection *connection))
{
	size_t size = connection->out_size;

	connection->out_size = 0;
	nbd_connection_send(connection, connection->out, size, next);
}

/* ---- Clients ---- */

int nbd_server_add(struct nbd_server *server, int socket)
{
	struct nbd_connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(socket);
		return -ENOMEM;
	}
	connection->server = server;
	connection->fd = socket;
	connection->operation.complete = connection_moved;
	list_init(&connection->link);
	list_append(&server->connections, &connection->link);
	server->connection_count++;
	nbd_option_begin(connection);
	return 0;
}

static void server_accepted(struct loop_operation *operation, int result, bool more)
{
	struct nbd_server *server = container_of(operation, struct nbd_server, accept);

	server->accepting = false;
	if (server->stopping) {
		if (result >= 0)
			close(result);
		server_end_if_quiet(server);
		return;
	}
	if (result >= 0)
		(void)!nbd_server_add(server, result);
	else if (result != -EINTR && result != -EAGAIN && result != -ECONNABORTED)
		return;
	server_accept(server);
}

static void server_accept(struct nbd_server *server)
{
	if (server->listener < 0 || server->accepting ||
	    server->connection_count >= NBD_SERVER_CONNECTIONS_MAX)
		return;
	server->accepting = true;
	loop_accept(server->loop, &server->accept, server->listener);
}

void nbd_server_listen(struct nbd_server *server, int socket)
{
	assert(server->listener < 0);
	server->listener = socket;
	server_accept(server);
}

int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
		   struct nbd_server **ret_server)
{
	size_t size = options->count * sizeof(options->served[0]);
	struct nbd_server *server = calloc(1, sizeof(*server) + size);

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->releases = options->releases;
	server->listener = -1;
	server->accept.complete = server_accepted;
	list_init(&server->connections);
	server->count = options->count;
	memcpy(server->served, options->served, size);
	*ret_server = server;
	return 0;
}

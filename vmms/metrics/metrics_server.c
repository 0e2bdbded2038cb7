/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics over HTTP/1.1.
 *
 * A client is read until its request is whole, waits for the workers' answers, is written to, and
 * then read to its end: a connection that is closed with bytes unread would take the answer along.
 */
#include "vmms/metrics/metrics_server.h"

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/socket.h"
#include "vmms/base/plain_socket.h"
#include "vmms/metrics/http_request.h"
#include "vmms/metrics/metrics.h"
#include "vmms/vm/manager.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTENERS_MAX 3 /* the socket; IPv4 and IPv6 */

struct listener {
	struct metrics_server *server;
	int fd;
	sd_event_source *source; /* NULL: there is none */
	bool loopback;
};

struct metrics_server {
	struct manager *manager;
	struct listener listeners[LISTENERS_MAX];
	char *path;
	struct list clients;
	unsigned client_count;
};

struct client {
	struct list link;
	struct metrics_server *server;
	int fd;
	bool loopback;
	sd_event_source *source, *timer;
	struct statistics_query *query; /* NULL: not asked, or answered */
	char request[HTTP_REQUEST_MAX];
	size_t request_size;
	char *answer; /* NULL: not yet */
	size_t answer_size, sent;
};

static void server_accept_clients(struct metrics_server *server, bool enable)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (server->listeners[i].source)
			(void)sd_event_source_set_enabled(server->listeners[i].source,
							  enable ? SD_EVENT_ON : SD_EVENT_OFF);
	}
}

static void server_client_free(struct client *client)
{
	list_unlink(&client->link);
	statistics_forget(client->query);
	sd_event_source_disable_unref(client->source);
	sd_event_source_disable_unref(client->timer);
	/* What it may have attached to its bytes is nothing for us to close. */
	plain_socket_close(client->server->manager->helpers, "", TAKE_FD(client->fd));
	free(client->answer);
	client->server->client_count--;
	server_accept_clients(client->server, true);
	free(client);
}

/* ---- Answers ---- */

/* body: NULL: the status is all there is to say. */
static void server_client_answer(struct client *client, enum http_status status, const char *type,
				 const char *body, size_t body_size)
{
	FILE *stream = open_memstream(&client->answer, &client->answer_size);
	const char *text = http_status_text(status);

	if (!stream) {
		server_client_free(client);
		return;
	}
	if (!body)
		body_size = strlen(text) + 1;
	fprintf(stream,
		"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
		"Connection: close\r\n\r\n",
		status, text, body ? type : "text/plain", body_size,
		status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET\r\n" : "");
	if (body)
		fwrite(body, 1, body_size, stream);
	else
		fprintf(stream, "%s\n", text);
	if (fclose(stream) != 0) {
		server_client_free(client);
		return;
	}
	(void)sd_event_source_set_io_events(client->source, EPOLLIN | EPOLLOUT);
}

static void server_statistics_answered(void *data, struct manager *manager)
{
	struct client *client = data;
	AUTO_FREE char *text = NULL;
	size_t size;

	client->query = NULL;
	if (!manager || metrics_format(manager, &text, &size) < 0)
		server_client_answer(client, HTTP_UNAVAILABLE, NULL, NULL, 0);
	else
		server_client_answer(client, HTTP_OK, METRICS_CONTENT_TYPE, text, size);
}

/* With or without a port. */
static bool server_is_loopback_name(const char *host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t length = strlen(names[i]);

		if (strncmp(host, names[i], length) == 0 &&
		    (host[length] == '\0' || host[length] == ':'))
			return true;
	}
	return false;
}

static void server_client_ask(struct client *client, const struct http_request *request)
{
	if (client->loopback && !server_is_loopback_name(request->host))
		server_client_answer(client, HTTP_FORBIDDEN, NULL, NULL, 0);
	else if (strcmp(request->path, "/metrics") != 0)
		server_client_answer(client, HTTP_NOT_FOUND, NULL, NULL, 0);
	else if (statistics_ask(client->server->manager, NULL, server_statistics_answered, client,
				&client->query) < 0)
		server_client_answer(client, HTTP_UNAVAILABLE, NULL, NULL, 0);
}

/* ---- Bytes ---- */

/* Return: false if the client is gone. */
static bool server_client_read(struct client *client)
{
	bool asked = client->query || client->answer;
	char thrown_away[1024];
	struct http_request request;
	enum http_status status;
	ssize_t size;

	size = asked ? plain_socket_receive(client->fd, thrown_away, sizeof(thrown_away))
		     : plain_socket_receive(client->fd, client->request + client->request_size,
					    sizeof(client->request) - client->request_size);
	if (size < 0)
		return size == -EAGAIN || size == -EINTR;
	if (size == 0)
		return false;
	if (asked)
		return true;
	client->request_size += (size_t)size;
	status = http_request_parse(client->request, client->request_size, &request);
	if (status == HTTP_OK)
		server_client_ask(client, &request);
	else if (status != HTTP_INCOMPLETE)
		server_client_answer(client, status, NULL, NULL, 0);
	return true;
}

/* Return: false if the client is gone. */
static bool server_client_write(struct client *client)
{
	ssize_t size;

	size = send(client->fd, client->answer + client->sent, client->answer_size - client->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (size < 0)
		return errno == EAGAIN || errno == EINTR;
	client->sent += (size_t)size;
	if (client->sent < client->answer_size)
		return true;
	(void)sd_event_source_set_io_events(client->source, EPOLLIN);
	return shutdown(client->fd, SHUT_WR) == 0;
}

static int server_client_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *client = data;
	bool alive = !(events & EPOLLERR);

	if (alive && (events & EPOLLOUT) && client->answer && client->sent < client->answer_size)
		alive = server_client_write(client);
	else if (alive && (events & (EPOLLIN | EPOLLHUP)))
		alive = server_client_read(client);
	if (!alive)
		server_client_free(client);
	return 0;
}

static int server_client_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	server_client_free(data);
	return 0;
}

/* ---- Clients come ---- */

static int server_client_new(struct metrics_server *server, int fd, bool loopback)
{
	struct client *client = calloc(1, sizeof(*client));
	sd_event *loop = server->manager->loop;
	int r;

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->server = server;
	client->fd = fd;
	client->loopback = loopback;
	list_append(&server->clients, &client->link);
	server->client_count++;
	r = sd_event_add_io(loop, &client->source, fd, EPOLLIN, server_client_ready, client);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &client->timer, CLOCK_MONOTONIC,
					       METRICS_TIMEOUT * UINT64_C(1000000), 0,
					       server_client_overdue, client);
	if (r < 0)
		server_client_free(client);
	return r;
}

static int server_client_comes(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct listener *listener = data;
	struct metrics_server *server = listener->server;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client >= 0 && server_client_new(server, client, listener->loopback) < 0)
		log_warning("a reader of metrics cannot be served");
	if (server->client_count >= METRICS_CLIENTS_MAX)
		server_accept_clients(server, false);
	return 0;
}

/* ---- Listening ---- */

/* Takes over the descriptor. */
static int server_listen_on(struct metrics_server *server, int fd, bool loopback)
{
	AUTO_CLOSE int owned = fd;
	struct listener *listener = server->listeners;
	int r;

	if (listen(owned, METRICS_CLIENTS_MAX) < 0)
		return error_origin(-errno);
	while (listener->source)
		listener++;
	r = sd_event_add_io(server->manager->loop, &listener->source, owned, EPOLLIN,
			    server_client_comes, listener);
	if (r < 0)
		return r;
	listener->server = server;
	listener->loopback = loopback;
	listener->fd = TAKE_FD(owned);
	return 0;
}

static int server_listen_on_socket(struct metrics_server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_origin(-errno);
	if (strlen(server->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, server->path);
	socket_refuse_files(fd);
	if (unlink(server->path) < 0 && errno != ENOENT)
		return error_origin(-errno);
	/* The socket has its mode from the descriptor's, and is nobody else's at any moment. */
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(server->path, 0600) < 0)
		return error_origin(-errno);
	return server_listen_on(server, TAKE_FD(fd), false);
}

static int server_listen_on_port(struct metrics_server *server, int family,
				 const struct sockaddr *address, socklen_t size)
{
	AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int yes = 1;

	if (fd < 0)
		return error_origin(-errno);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, address, size) < 0)
		return error_origin(-errno);
	return server_listen_on(server, TAKE_FD(fd), true);
}

static void server_listen_on_ports(struct metrics_server *server, unsigned port)
{
	const struct sockaddr_in ipv4 = { .sin_family = AF_INET,
					  .sin_port = htons((uint16_t)port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
					   .sin6_port = htons((uint16_t)port),
					   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r;

	r = server_listen_on_port(server, AF_INET, (const struct sockaddr *)&ipv4, sizeof(ipv4));
	if (r < 0)
		log_error("no metrics on 127.0.0.1, port %u: %s", port, strerror(-r));
	/* A host may be without IPv6. */
	r = server_listen_on_port(server, AF_INET6, (const struct sockaddr *)&ipv6, sizeof(ipv6));
	if (r < 0 && r != -EADDRNOTAVAIL && r != -EAFNOSUPPORT)
		log_error("no metrics on [::1], port %u: %s", port, strerror(-r));
}

/* ---- Life ---- */

int metrics_server_new(struct manager *manager, const char *directory, unsigned port,
		       struct metrics_server **ret_server)
{
	CLEANUP(metrics_server_freep) struct metrics_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->manager = manager;
	list_init(&server->clients);
	if (asprintf(&server->path, "%s/" METRICS_SOCKET, directory) < 0) {
		server->path = NULL;
		return -ENOMEM;
	}
	r = server_listen_on_socket(server);
	if (r < 0)
		log_error("no metrics on %s: %s", server->path, strerror(-r));
	if (port > 0)
		server_listen_on_ports(server, port);
	*ret_server = TAKE_PTR(server);
	return 0;
}

void metrics_server_free(struct metrics_server *server)
{
	if (!server)
		return;
	list_for_each (link, &server->clients)
		server_client_free(container_of(link, struct client, link));
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (!server->listeners[i].source)
			continue;
		sd_event_source_disable_unref(server->listeners[i].source);
		close(server->listeners[i].fd);
	}
	if (server->path)
		(void)unlink(server->path);
	free(server->path);
	free(server);
}

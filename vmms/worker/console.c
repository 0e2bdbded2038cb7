/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial console of a VM.
 *
 * There is one ring, and `written` counts all bytes that ever went into it; a client is no more
 * than a position on that count. Output is taken from the worker as fast as it comes, and what the
 * slowest client has not seen is overwritten: nothing here grows, and the guest never waits. What
 * it writes faster than CONSOLE_RATE is its worker's to lose.
 *
 * The other way there is no buffer either: a client is read only when the worker's socket has room.
 */
#include "vmms/worker/console.h"

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/token_bucket.h"
#include "vmms/base/log_file.h"
#include "vmms/base/plain_socket.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define INPUT_SIZE 1024 /* bytes taken from a client at a time */
#define DRAIN_MAX  (4 * CONSOLE_SCROLLBACK)
#define TAKEN_MOST (4 << 20) /* bytes that a worker may bring at once */
#define RUN_MIN    4096      /* bytes to be written to the log after some were left out */

_Static_assert((CONSOLE_SCROLLBACK & (CONSOLE_SCROLLBACK - 1)) == 0, "positions are masked");

struct client {
	struct list link;
	struct console *console;
	int fd;
	sd_event_source *source;
	uint64_t position; /* of the next byte it gets */
	uint64_t last;     /* the position at which it is closed */
	bool typing;
	bool until_off; /* `last` is set when the worker goes */
};

#define NEVER UINT64_MAX /* a `last` that is not reached */

struct console {
	struct watches *watches;
	struct helpers *helpers;
	char *owner;
	int worker; /* our end of the worker's serial line; -1: no worker */
	struct watch *worker_watch;
	struct list clients;
	unsigned client_count;
	char input[INPUT_SIZE]; /* typed, and not yet taken by the worker */
	size_t input_begin, input_end;
	uint64_t written;
	char *ring;           /* CONSOLE_SCROLLBACK bytes; NULL until it is needed */
	struct log_file *log; /* NULL: none */
	struct token_bucket log_bytes, bytes; /* that may be written there; taken from the worker */
	uint64_t left_out;                    /* bytes that the log lacks here */
};

/* ---- What is waited for ---- */

/* Asks the loop for exactly what could be done next. */
static void console_client_rearm(struct client *client)
{
	const struct console *console = client->console;
	uint32_t events = 0;

	/* Writing is also how a client that has all it will get is noticed. */
	if (client->position != console->written || client->last != NEVER)
		events |= EPOLLOUT;
	/* Who may not type is read all the same, to see it go; what it types is thrown away. */
	if (console->input_begin == console->input_end || !client->typing)
		events |= EPOLLIN;
	(void)sd_event_source_set_io_events(client->source, events);
}

static void console_worker_rearm(struct console *console)
{
	bool typed = console->input_begin != console->input_end;

	if (console->worker_watch)
		watch_set_events(console->worker_watch, EPOLLIN | (typed ? EPOLLOUT : 0));
}

static void console_rearm_all(struct console *console)
{
	console_worker_rearm(console);
	list_for_each (link, &console->clients)
		console_client_rearm(container_of(link, struct client, link));
}

/* ---- Clients ---- */

static void console_client_free(struct client *client)
{
	list_unlink(&client->link);
	client->console->client_count--;
	sd_event_source_disable_unref(client->source);
	plain_socket_close(client->console->helpers, client->console->owner, client->fd);
	free(client);
}

/* Return: the bytes that were lost. */
static uint64_t console_client_skip_lost(struct client *client)
{
	uint64_t written = client->console->written;
	uint64_t oldest = written > CONSOLE_SCROLLBACK ? written - CONSOLE_SCROLLBACK : 0;
	uint64_t lost = client->position < oldest ? oldest - client->position : 0;

	client->position += lost;
	return lost;
}

/* What the client has not got, in the two parts that it may have in the ring. */
static void console_client_backlog(const struct client *client, struct iovec parts[2])
{
	const struct console *console = client->console;
	size_t begin = client->position % CONSOLE_SCROLLBACK;
	size_t size = (size_t)(console->written - client->position);
	size_t first = MIN(size, CONSOLE_SCROLLBACK - begin);

	parts[0] = (struct iovec){ console->ring + begin, first };
	parts[1] = (struct iovec){ console->ring, size - first };
}

/* Return: false if the client is gone, or has all it will get. */
static bool console_client_write(struct client *client)
{
	struct iovec iov[3] = { 0 };
	struct msghdr header = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	char notice[64];
	uint64_t lost;
	ssize_t sent;

	if (client->position >= client->last)
		return false;
	lost = console_client_skip_lost(client);
	if (lost > 0)
		iov[0] = (struct iovec){ notice, (size_t)snprintf(notice, sizeof(notice),
								  "\r\n[%llu bytes lost]\r\n",
								  (unsigned long long)lost) };
	console_client_backlog(client, iov + 1);
	sent = sendmsg(client->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	client->position += MAX(sent - (ssize_t)iov[0].iov_len, (ssize_t)0);
	return client->position < client->last;
}

/* Return: false if the client is gone. */
static bool console_client_read(struct client *client)
{
	struct console *console = client->console;
	bool heard = client->typing && console->worker >= 0;
	char thrown_away[INPUT_SIZE];
	ssize_t size;

	size = plain_socket_receive(client->fd, heard ? console->input : thrown_away, INPUT_SIZE);
	if (size < 0)
		return size == -EAGAIN || size == -EINTR;
	if (size > 0 && heard) {
		console->input_begin = 0;
		console->input_end = (size_t)size;
	}
	return size > 0;
}

static void console_worker_write(struct console *console);

static int console_client_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *client = data;
	struct console *console = client->console;
	bool alive = !(events & EPOLLERR);

	if (alive && (events & EPOLLOUT))
		alive = console_client_write(client);
	if (alive && (events & EPOLLIN))
		alive = console_client_read(client);
	else if (events & EPOLLHUP)
		alive = false;
	if (!alive)
		console_client_free(client);
	console_worker_write(console);
	console_rearm_all(console);
	return 0;
}

/* ---- The worker ---- */

static void console_write_to_log(struct console *console, const char *bytes, size_t size)
{
	int r;

	r = log_file_append(console->log, bytes, size);
	if (r < 0)
		log_error("what a guest writes to its console cannot be kept: %s", strerror(-r));
}

static void console_tell_left_out(struct console *console)
{
	char text[64];
	int size;

	if (console->left_out == 0 || !console->log)
		return;
	size = snprintf(text, sizeof(text), "\r\n[%llu bytes left out]\r\n",
			(unsigned long long)console->left_out);
	console->left_out = 0;
	console_write_to_log(console, text, (size_t)size);
}

static void console_append_to_log(struct console *console, uint64_t now, const char *bytes,
				  size_t size)
{
	size_t taken = 0;

	if (!console->log)
		return;
	/* Runs of some length, or the log would be made of what it says is left out. */
	if (console->left_out == 0 || token_bucket_has(&console->log_bytes, now, RUN_MIN))
		taken = (size_t)token_bucket_take(&console->log_bytes, now, size);
	if (taken > 0) {
		console_tell_left_out(console);
		console_write_to_log(console, bytes, taken);
	}
	console->left_out += size - taken;
}

static void console_append(struct console *console, const char *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t begin = console->written % CONSOLE_SCROLLBACK;
		size_t part = MIN(size - done, CONSOLE_SCROLLBACK - begin);

		memcpy(console->ring + begin, bytes + done, part);
		console->written += part;
		done += part;
	}
}

/* Return: bytes taken; 0 when there is nothing now; -1 at the end. */
static ssize_t console_worker_read(struct console *console)
{
	uint64_t now = 0, rest;
	char bytes[4096];
	ssize_t size;

	size = plain_socket_receive(console->worker, bytes, sizeof(bytes));
	if (size == -EAGAIN || size == -EINTR)
		return 0;
	if (size <= 0)
		return -1;
	(void)sd_event_now(watches_loop(console->watches), CLOCK_MONOTONIC, &now);
	console_append(console, bytes, (size_t)size);
	console_append_to_log(console, now, bytes, (size_t)size);
	rest = token_bucket_charge(&console->bytes, now, (uint64_t)size);
	if (rest > 0)
		watch_rest(console->worker_watch, rest);
	return size;
}

/* Gives the worker what was typed, as far as it takes it. */
static void console_worker_write(struct console *console)
{
	size_t size = console->input_end - console->input_begin;
	ssize_t sent;

	if (size == 0 || console->worker < 0)
		return;
	sent = send(console->worker, console->input + console->input_begin, size,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0)
		console->input_begin += (size_t)sent;
	else if (errno != EAGAIN && errno != EINTR)
		console->input_begin = console->input_end;
}

static void console_worker_ready(void *data, uint32_t events)
{
	struct console *console = data;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && console_worker_read(console) < 0)
		console_disconnect(console);
	if (events & EPOLLOUT)
		console_worker_write(console);
	console_rearm_all(console);
}

/* ---- Life ---- */

int console_new(struct watches *watches, struct helpers *helpers, const char *owner,
		struct console **ret_console)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return -ENOMEM;
	console->owner = strdup(owner);
	if (!console->owner) {
		free(console);
		return -ENOMEM;
	}
	console->watches = watches;
	console->helpers = helpers;
	console->worker = -1;
	console->bytes = (struct token_bucket){ .most = TAKEN_MOST, .rate = CONSOLE_RATE };
	console->log_bytes =
		(struct token_bucket){ .most = CONSOLE_LOG_BOUND, .rate = CONSOLE_LOG_RATE };
	list_init(&console->clients);
	*ret_console = console;
	return 0;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	console_disconnect(console);
	list_for_each (link, &console->clients)
		console_client_free(container_of(link, struct client, link));
	log_file_free(console->log);
	free(console->ring);
	free(console->owner);
	free(console);
}

void console_keep(struct console *console, struct log_file *log)
{
	log_file_free(console->log);
	console->log = log;
}

void console_delete_log(struct console *console)
{
	if (console->log)
		log_file_delete(console->log);
}

/*
 * The first time that there is something to show, or will be: what was said before is shown, too.
 */
static int console_make_ring(struct console *console)
{
	AUTO_FREE char *said = NULL;
	size_t size = 0;
	int r;

	if (console->ring)
		return 0;
	console->ring = malloc(CONSOLE_SCROLLBACK);
	if (!console->ring)
		return -ENOMEM;
	if (!console->log)
		return 0;
	r = log_file_read(console->log, CONSOLE_SCROLLBACK, &said, &size);
	if (r < 0)
		log_warning("what a guest wrote to its console before cannot be read: %s",
			    strerror(-r));
	else
		console_append(console, said, size);
	return 0;
}

int console_connect(struct console *console, int *ret_fd)
{
	int sockets[2], r;

	console_disconnect(console);
	r = console_make_ring(console);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
		return error_origin(-errno);
	plain_socket_make(sockets[0]);
	r = watch_new(console->watches, sockets[0], EPOLLIN, 0, console_worker_ready, console,
		      &console->worker_watch);
	if (r < 0) {
		close(sockets[0]);
		close(sockets[1]);
		return r;
	}
	console->worker = sockets[0];
	*ret_fd = sockets[1];
	return 0;
}

void console_disconnect(struct console *console)
{
	ssize_t size, taken = 0;

	if (console->worker < 0)
		return;
	/* Bounded: the other end may be a worker that never stops talking. */
	while (taken < DRAIN_MAX && (size = console_worker_read(console)) > 0)
		taken += size;
	console_tell_left_out(console);
	watch_free(TAKE_PTR(console->worker_watch));
	plain_socket_close(console->helpers, console->owner, console->worker);
	console->worker = -1;
	console->input_begin = console->input_end = 0;
	list_for_each (link, &console->clients) {
		struct client *client = container_of(link, struct client, link);

		if (client->until_off)
			client->last = console->written;
	}
	console_rearm_all(console);
}

static bool console_somebody_types(const struct console *console)
{
	list_for_each (link, (struct list *)&console->clients) {
		if (container_of(link, struct client, link)->typing)
			return true;
	}
	return false;
}

static void console_stop_typing(struct console *console)
{
	list_for_each (link, &console->clients)
		container_of(link, struct client, link)->typing = false;
}

int console_open(struct console *console, const struct console_client_options *options, int *ret_fd,
		 bool *ret_typing)
{
	struct client *client;
	int sockets[2], r;

	if (console->client_count >= CONSOLE_CLIENTS_MAX)
		return -EUSERS;
	/* What they send may be what cannot be closed. */
	if (console->helpers && helpers_are_stuck(console->helpers, console->owner))
		return -EBUSY;
	r = console_make_ring(console);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int near = sockets[0], far = sockets[1];
	plain_socket_make(near);
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	r = sd_event_add_io(watches_loop(console->watches), &client->source, near, EPOLLIN,
			    console_client_ready, client);
	if (r < 0) {
		free(client);
		return r;
	}
	if (options->take)
		console_stop_typing(console);
	client->console = console;
	client->fd = TAKE_FD(near);
	client->typing = !options->watch && !options->log && !console_somebody_types(console);
	client->until_off = options->until_off;
	client->last = options->log || (options->until_off && console->worker < 0)
			       ? console->written
			       : NEVER;
	list_append(&console->clients, &client->link);
	console->client_count++;
	console_client_skip_lost(client);
	console_client_rearm(client);
	*ret_fd = TAKE_FD(far);
	*ret_typing = client->typing;
	return 0;
}

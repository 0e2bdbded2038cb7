/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between a worker's socket and TLS, in both directions. */
#include "vmms/carrier/program/relay.h"

#include "vmms/carrier/program/welcome.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RELAY_SIZE (16u << 10) /* bytes; a record of TLS */
#define LINGER_NS  10000000000ull
#define LINGER_MS  10000

/* Of one direction: what has been read, and not yet written. */
struct relay_half {
	uint8_t bytes[RELAY_SIZE];
	size_t at, end;
	bool source_ended; /* nothing more comes */
	bool done;         /* and that was told */
};

struct relay {
	struct tls *tls;
	int stream;
	bool stream_gone;      /* nobody reads there any more: what comes for it is thrown away */
	uint64_t linger_until; /* 0: not yet */
	struct relay_half out, in; /* to the network; from there */
};

static bool half_is_empty(const struct relay_half *half)
{
	return half->at == half->end;
}

/* ---- To the network ---- */

static int relay_read_stream(struct relay *relay)
{
	struct relay_half *half = &relay->out;
	ssize_t size = recv(relay->stream, half->bytes, sizeof(half->bytes), MSG_DONTWAIT);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (size <= 0)
		half->source_ended = true;
	half->at = 0;
	half->end = size > 0 ? (size_t)size : 0;
	return 0;
}

static int relay_write_network(struct relay *relay)
{
	struct relay_half *half = &relay->out;
	ssize_t size;
	int r;

	if (half_is_empty(half)) {
		r = half->source_ended && !half->done ? tls_end(relay->tls) : -EAGAIN;
		half->done = half->done || r == 0;
		return r == -EAGAIN ? 0 : r;
	}
	size = tls_write(relay->tls, half->bytes + half->at, half->end - half->at);
	if (size == -EAGAIN)
		return 0;
	if (size < 0)
		return (int)size;
	half->at += (size_t)size;
	return 0;
}

/* ---- From the network ---- */

static int relay_read_network(struct relay *relay)
{
	struct relay_half *half = &relay->in;
	ssize_t size = tls_read(relay->tls, half->bytes, sizeof(half->bytes));

	if (size == -EAGAIN)
		return 0;
	if (size < 0)
		return (int)size;
	half->at = 0;
	half->end = (size_t)size;
	half->source_ended = size == 0;
	return 0;
}

static void relay_write_stream(struct relay *relay)
{
	struct relay_half *half = &relay->in;
	ssize_t size;

	if (relay->stream_gone)
		half->at = half->end;
	if (half_is_empty(half)) {
		if (half->source_ended && !half->done) {
			(void)shutdown(relay->stream, SHUT_WR);
			half->done = true;
		}
		return;
	}
	size = send(relay->stream, half->bytes + half->at, half->end - half->at,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (size >= 0)
		half->at += (size_t)size;
	else if (errno != EAGAIN && errno != EINTR)
		relay->stream_gone = true;
}

/* ---- Both ---- */

/* What its socket has left is on its way to the other side; that is waited for, for a while. */
static bool relay_lingers(struct relay *relay)
{
	if (!relay->out.done || !relay->stream_gone)
		return true;
	if (relay->linger_until == 0)
		relay->linger_until = welcome_now() + LINGER_NS;
	return welcome_now() < relay->linger_until;
}

/* One of which nothing is wanted is not looked at: its end would be told again and again. */
static void relay_poll(struct pollfd *polled, int fd, bool reads, bool writes)
{
	*polled =
		(struct pollfd){ .fd = reads || writes ? fd : -1,
				 .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)) };
}

static void relay_wait_for(const struct relay *relay, struct pollfd polls[static 2])
{
	bool reads_stream = half_is_empty(&relay->out) && !relay->out.source_ended;
	bool writes_network =
		!half_is_empty(&relay->out) || (relay->out.source_ended && !relay->out.done);
	bool reads_network = half_is_empty(&relay->in) && !relay->in.source_ended;
	bool writes_stream = !half_is_empty(&relay->in) && !relay->stream_gone;

	relay_poll(&polls[0], relay->stream, reads_stream, writes_stream);
	/* Whether it has ended in one direction alone. */
	if (relay->out.source_ended && !relay->stream_gone)
		polls[0].fd = relay->stream;
	relay_poll(&polls[1], tls_socket(relay->tls), reads_network, writes_network);
}

static int relay_step(struct relay *relay, const struct pollfd polls[static 2])
{
	int r = 0;

	/* All of it was read then. */
	if ((polls[0].revents & (POLLHUP | POLLERR)) && relay->out.source_ended)
		relay->stream_gone = true;
	if (half_is_empty(&relay->out) && !relay->out.source_ended && polls[0].revents != 0)
		r = relay_read_stream(relay);
	if (r == 0)
		r = relay_write_network(relay);
	if (r == 0 && half_is_empty(&relay->in) && !relay->in.source_ended)
		r = relay_read_network(relay);
	if (r == 0)
		relay_write_stream(relay);
	return r;
}

/* Large, and one is all that there is. */
static struct relay the_relay;

int relay_wait(struct tls *tls, int stream, int daemon)
{
	struct relay *relay = &the_relay;
	int r = 0;

	relay->tls = tls;
	while (r == 0 && half_is_empty(&relay->in)) {
		struct pollfd polls[] = { { .fd = daemon },
					  { .fd = stream, .events = POLLRDHUP },
					  { .fd = tls_socket(tls), .events = POLLIN } };

		if (!tls_has_more(tls) && poll(polls, 3, -1) < 0)
			r = errno == EINTR ? 0 : -errno;
		else if (polls[0].revents != 0 || polls[1].revents != 0)
			r = -ECANCELED;
		else
			r = relay_read_network(relay);
		if (r == 0 && relay->in.source_ended)
			r = -ECONNRESET;
	}
	return r;
}

int relay_run(struct tls *tls, int stream)
{
	struct relay *relay = &the_relay;
	int r = 0;

	relay->tls = tls;
	relay->stream = stream;
	while (r == 0 && !(relay->out.done && relay->in.done) && relay_lingers(relay)) {
		struct pollfd polls[2];
		bool ready = half_is_empty(&relay->in) ? tls_has_more(tls) : relay->stream_gone;

		relay_wait_for(relay, polls);
		if (poll(polls, 2,
			 ready                                   ? 0
			 : relay->out.done && relay->stream_gone ? LINGER_MS
								 : -1) < 0)
			r = errno == EINTR ? 0 : -errno;
		else
			r = relay_step(relay, polls);
	}
	return r;
}

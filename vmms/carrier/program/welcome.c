/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding the other side. */
#include "vmms/carrier/program/welcome.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS     1000000ull

uint64_t welcome_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* [0] is the daemon's pipe. Return: 0; -ETIMEDOUT; -ECANCELED; -errno. */
static int welcome_wait(const struct welcome *welcome, struct pollfd *polls, nfds_t count)
{
	uint64_t now = welcome_now();
	int r;

	if (now >= welcome->until)
		return -ETIMEDOUT;
	polls[0] = (struct pollfd){ .fd = welcome->daemon };
	r = poll(polls, count, (int)((welcome->until - now + NS_PER_MS - 1) / NS_PER_MS));
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	if (r == 0)
		return -ETIMEDOUT;
	return polls[0].revents != 0 ? -ECANCELED : 0;
}

/* ---- One that is connected to ---- */

static int welcome_finish_connect(const struct welcome *welcome)
{
	int error = 0, r;
	socklen_t size = sizeof(error);
	struct pollfd polls[2] = { { .fd = -1 }, { .fd = welcome->network, .events = POLLOUT } };

	do
		r = welcome_wait(welcome, polls, 2);
	while (r == 0 && polls[1].revents == 0);
	if (r < 0)
		return r;
	if (getsockopt(welcome->network, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

int welcome_connect(const struct welcome *welcome, struct tls **ret_tls)
{
	struct tls *tls;
	int r = welcome_finish_connect(welcome);

	if (r == 0)
		r = tls_new(welcome->network, false, welcome->key, &tls);
	if (r < 0) {
		close(welcome->network);
		return r;
	}
	while ((r = tls_shake_hands(tls)) == -EAGAIN) {
		struct pollfd polls[2] = {
			{ .fd = -1 }, { .fd = welcome->network, .events = tls_waits_for(tls) }
		};

		r = welcome_wait(welcome, polls, 2);
		if (r < 0)
			break;
	}
	if (r < 0)
		tls_free(tls);
	else
		*ret_tls = tls;
	return r;
}

/* ---- Those that come ---- */

struct guests {
	struct tls *all[WELCOME_GUESTS_MAX]; /* the earliest first */
	size_t count;
};

static void guests_drop(struct guests *guests, size_t index)
{
	tls_free(guests->all[index]);
	guests->count--;
	memmove(&guests->all[index], &guests->all[index + 1],
		(guests->count - index) * sizeof(guests->all[0]));
}

static void guests_drop_all(struct guests *guests)
{
	while (guests->count > 0)
		guests_drop(guests, 0);
}

/* Whoever is slow is passed over for whoever comes. */
static void guests_accept(struct guests *guests, const struct welcome *welcome)
{
	int socket = accept4(welcome->network, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct tls *tls;

	if (socket < 0)
		return; /* who has gone again */
	if (tls_new(socket, true, welcome->key, &tls) < 0) {
		close(socket);
		return;
	}
	if (guests->count == WELCOME_GUESTS_MAX)
		guests_drop(guests, 0);
	guests->all[guests->count++] = tls;
}

/* Return: the one that is known now; NULL: none yet. */
static struct tls *guests_go_on(struct guests *guests, const struct pollfd *polls)
{
	size_t count = guests->count;

	for (size_t i = count; i-- > 0;) {
		int r = polls[i].revents != 0 ? tls_shake_hands(guests->all[i]) : -EAGAIN;

		if (r == 0) {
			struct tls *tls = guests->all[i];

			guests->all[i] = NULL;
			return tls;
		}
		if (r != -EAGAIN)
			guests_drop(guests, i);
	}
	return NULL;
}

int welcome_listen(const struct welcome *welcome, struct tls **ret_tls)
{
	struct guests guests = { .count = 0 };
	struct tls *found = NULL;
	int r = 0;

	while (r == 0 && !found) {
		struct pollfd polls[2 + WELCOME_GUESTS_MAX];

		polls[1] = (struct pollfd){ .fd = welcome->network, .events = POLLIN };
		for (size_t i = 0; i < guests.count; i++)
			polls[2 + i] = (struct pollfd){ .fd = tls_socket(guests.all[i]),
							.events = tls_waits_for(guests.all[i]) };
		r = welcome_wait(welcome, polls, 2 + guests.count);
		if (r == 0)
			found = guests_go_on(&guests, polls + 2);
		if (r == 0 && !found && polls[1].revents != 0)
			guests_accept(&guests, welcome);
	}
	guests_drop_all(&guests);
	close(welcome->network);
	if (found)
		*ret_tls = found;
	return r;
}

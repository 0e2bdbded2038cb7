/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small packets, for the benchmark: questions and answers of one byte over TCP, and datagrams as
 * fast as they go. It is linked statically, and given to guests as it is.
 *
 *   exchange serve PORT                       answers every byte of every connection with itself
 *   exchange ask ADDRESS PORT FLOWS SECONDS   asks over so many connections, each anew when it is
 *                                             answered; prints the answers, and the seconds
 *   exchange count PORT                       from the first datagram on until none has come for a
 *                                             second; prints the datagrams, and the seconds
 *   exchange flood ADDRESS PORT SIZE SECONDS  sends datagrams; prints how many
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX    64
#define EVENTS_MAX   64
#define BATCH        32   /* datagrams of one system call */
#define DATAGRAM_MAX 2048 /* of a datagram */
#define TIMEOUT      30   /* seconds that the first one may take */
#define SILENCE      1    /* seconds, after the last */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
	};

	if (host && inet_pton(AF_INET, host, &address.sin_addr) != 1)
		errx(2, "%s is no IPv4 address", host);
	return address;
}

static int open_socket(int type, const char *local_port)
{
	struct sockaddr_in address;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), yes = 1;

	if (fd < 0)
		err(1, "socket");
	if (!local_port)
		return fd;
	address = address_of(NULL, local_port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "port %s", local_port);
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void without_delay(int fd)
{
	int yes = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) < 0)
		err(1, "TCP_NODELAY");
}

/* ---- Questions and answers ---- */

static void serve_one(int epoll, int fd, int listener)
{
	char bytes[64];
	ssize_t size;

	if (fd == listener) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			err(1, "accept");
		without_delay(fd);
		watch(epoll, fd);
		return;
	}
	size = read(fd, bytes, sizeof(bytes));
	/* Who asked may have gone without waiting for the answer. */
	if (size <= 0 || send(fd, bytes, (size_t)size, MSG_NOSIGNAL) != size)
		close(fd);
}

static int serve(char **arguments)
{
	int listener = open_socket(SOCK_STREAM, arguments[0]), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS_MAX];

	if (epoll < 0 || listen(listener, FLOWS_MAX) < 0)
		err(1, "serve");
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++)
			serve_one(epoll, events[i].data.fd, listener);
	}
}

static void ask_once(int fd)
{
	if (write(fd, "?", 1) != 1)
		err(1, "write");
}

static int ask(char **arguments)
{
	struct sockaddr_in address = address_of(arguments[0], arguments[1]);
	int flows = atoi(arguments[2]), epoll = epoll_create1(EPOLL_CLOEXEC), fds[FLOWS_MAX];
	struct epoll_event events[EVENTS_MAX];
	double begin, end;
	uint64_t answers = 0;

	if (epoll < 0 || flows < 1 || flows > FLOWS_MAX)
		errx(2, "%s flows", arguments[2]);
	for (int i = 0; i < flows; i++) {
		fds[i] = open_socket(SOCK_STREAM, NULL);
		if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0)
			err(1, "connect to %s port %s", arguments[0], arguments[1]);
		without_delay(fds[i]);
		watch(epoll, fds[i]);
	}
	begin = now();
	end = begin + atof(arguments[3]);
	for (int i = 0; i < flows; i++)
		ask_once(fds[i]);
	while (now() < end) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
		char bytes[64];

		for (int i = 0; i < count; i++) {
			if (read(events[i].data.fd, bytes, sizeof(bytes)) <= 0)
				errx(1, "the other side has gone");
			answers++;
			ask_once(events[i].data.fd);
		}
	}
	printf("%llu %f\n", (unsigned long long)answers, now() - begin);
	return 0;
}

/* ---- Datagrams ---- */

struct batch {
	struct mmsghdr headers[BATCH];
	struct iovec iov;
	char bytes[DATAGRAM_MAX];
};

/* All of them are the same bytes. */
static void batch_init(struct batch *batch, size_t size, struct sockaddr_in *to)
{
	memset(batch, 0, sizeof(*batch));
	batch->iov = (struct iovec){ batch->bytes, size };
	for (unsigned i = 0; i < BATCH; i++)
		batch->headers[i].msg_hdr = (struct msghdr){
			.msg_name = to,
			.msg_namelen = to ? sizeof(*to) : 0,
			.msg_iov = &batch->iov,
			.msg_iovlen = 1,
		};
}

static void wait_at_most(int fd, unsigned seconds)
{
	struct timeval time = { .tv_sec = seconds };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) < 0)
		err(1, "SO_RCVTIMEO");
}

static int count(char **arguments)
{
	int fd = open_socket(SOCK_DGRAM, arguments[0]), more;
	double first = 0, last = 0;
	uint64_t datagrams = 0;
	struct batch batch;

	batch_init(&batch, DATAGRAM_MAX, NULL);
	wait_at_most(fd, TIMEOUT);
	while ((more = recvmmsg(fd, batch.headers, BATCH, MSG_WAITFORONE, NULL)) > 0) {
		last = now();
		if (datagrams == 0) {
			first = last;
			wait_at_most(fd, SILENCE);
		}
		datagrams += (unsigned)more;
	}
	printf("%llu %f\n", (unsigned long long)datagrams, last - first);
	return 0;
}

static int flood(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	size_t size = (size_t)atoi(arguments[2]);
	int fd = open_socket(SOCK_DGRAM, NULL);
	double end = now() + atof(arguments[3]);
	uint64_t datagrams = 0;
	struct batch batch;

	if (size < 1 || size > DATAGRAM_MAX)
		errx(2, "%s bytes", arguments[2]);
	batch_init(&batch, size, &to);
	while (now() < end) {
		int sent = sendmmsg(fd, batch.headers, BATCH, 0);

		/* No room for a moment; or nobody there any more, who is not our affair. */
		if (sent > 0)
			datagrams += (unsigned)sent;
	}
	printf("%llu\n", (unsigned long long)datagrams);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		int (*run)(char **arguments);
	} commands[] = {
		{ "serve", 1, serve },
		{ "ask", 4, ask },
		{ "count", 1, count },
		{ "flood", 4, flood },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (argc > 1 && strcmp(argv[1], commands[i].name) == 0 &&
		    argc - 2 == commands[i].arguments)
			return commands[i].run(argv + 2);
	fprintf(stderr, "usage: exchange serve PORT | ask ADDRESS PORT FLOWS SECONDS | count PORT |"
			" flood ADDRESS PORT SIZE SECONDS\n");
	return 2;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a server of the network block device protocol may say.
 *
 * Input: a byte; where it is odd, the words of the handshake follow, else the handshake is right,
 * and what follows are words after it. A reply that names a request and a right magic is as likely
 * as not: the bytes are records of a byte that says which, and what it takes. Whatever is said,
 * every request ends once, by the end of the connection at the latest.
 */
#include "tests/fake/nbd_server.h"
#include "vsp/storage/disk.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE     (1u << 20)
#define REQUESTS 8
#define MOST     4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;

static struct request {
	struct disk_request request;
	struct iovec iov[2];
	uint8_t bytes[2048];
	unsigned completed;
} requests[REQUESTS];

static void completed(struct disk_request *request, int result)
{
	container_of(request, struct request, request)->completed++;
}

static void start(struct disk *disk, unsigned index)
{
	struct request *r = &requests[index];
	enum disk_operation operation = (enum disk_operation)(index % (DISK_ZERO + 1));
	bool moves = operation == DISK_READ || operation == DISK_WRITE;

	r->completed = 0;
	r->iov[0] = (struct iovec){ r->bytes, 1000 };
	r->iov[1] = (struct iovec){ r->bytes + 1000, sizeof(r->bytes) - 1000 };
	r->request = (struct disk_request){
		.operation = operation,
		.size = operation == DISK_FLUSH ? 0 : sizeof(r->bytes),
		.iov = moves ? r->iov : NULL,
		.iov_count = moves ? 2 : 0,
		.complete = completed,
	};
	disk_submit(disk, &r->request);
}

static void run(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		if (loop_run_once(loop, 0) < 0)
			abort();
	}
}

/* The fuzzer's bytes as words: plain ones, and replies of which it chooses cookie and error. */
static void speak(int peer, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		const struct nbd_reply reply = { htobe32(NBD_REPLY_MAGIC), htobe32(data[0] >> 4),
						 htobe64(data[1] % (REQUESTS + 1)) };
		size_t plain = data[0] & 1 ? (size_t)MIN((size_t)data[1] * 16, size - 2) : 0;

		if (plain > 0)
			(void)!send(peer, data + 2, plain, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			(void)!send(peer, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
		data += 2 + plain;
		size -= 2 + plain;
		run(1);
	}
}

/* The server dies, some give up waiting, and another one comes. Return: its end. */
static int change_server(struct disk *disk, int peer, uint8_t abandoned)
{
	struct nbd_server_words words = { .size = 0 };
	int pair[2];

	for (unsigned i = 0; i < REQUESTS; i++) {
		if (abandoned & 1u << i && requests[i].completed == 0)
			disk_abandon(&requests[i].request);
	}
	close(peer);
	run(4);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	nbd_server_offer(&words, SIZE, NBD_SERVER_ABLE);
	(void)!write(pair[1], words.bytes, words.size);
	(void)!disk_nbd_reconnect(disk, pair[0]);
	run(4);
	return pair[1];
}

static void use(struct disk *disk, int peer, const uint8_t *data, size_t size, bool changes)
{
	size_t first = changes ? size / 2 : 0;

	for (unsigned i = 0; i < REQUESTS; i++)
		start(disk, i);
	run(2);
	speak(peer, data, first);
	if (changes)
		peer = change_server(disk, peer, size > 0 ? data[size - 1] : 0);
	speak(peer, data + first, size - first);
	close(peer);
	run(8);
	disk_nbd_give_up(disk);
	run(8);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert(requests[i].completed == 1);
	disk_retire(disk, NULL, NULL);
	run(3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool changes = size > 0 && data[0] & 2;
	const struct disk_nbd_options options = { .sector_size = 512, .waits = changes };
	struct nbd_server_words words = { .size = 0 };
	struct disk *disk;
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	if (size < 1 || size > MOST || (!loop && loop_new(64, &loop) < 0) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 0;
	nbd_server_offer(&words, SIZE, NBD_SERVER_ABLE);
	if (data[0] & 1)
		(void)!write(pair[1], data + 1, size - 1);
	else
		(void)!write(pair[1], words.bytes, words.size);
	if (data[0] & 1)
		shutdown(pair[1], SHUT_WR);
	if (disk_nbd_new(loop, pair[0], &options, &disk) == 0)
		use(disk, pair[1], data + 1, data[0] & 1 ? 0 : size - 1, changes);
	else
		close(pair[1]);
	return 0;
}

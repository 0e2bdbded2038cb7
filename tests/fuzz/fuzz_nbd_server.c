/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client of the server of views may say (vsp/storage/nbd_server.h).
 *
 * Input: two bytes, of what the server is and whether the client comes by a handshake that is right;
 * then records of a byte and what it takes: plain words, options of which the fuzzer chooses number and
 * data, and requests. Whatever is said, the server stops when it is told to.
 */
#include "common/wire/nbd.h"
#include "tests/fake/disk_memory.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/nbd_server.h"

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (1u << 20)
#define MOST 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct disk *disk;

static void run(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		if (loop_run_once(loop, 0) < 0)
			abort();
	}
}

static void nothing(void *data)
{
}

static struct disk_point *begin(uint8_t number)
{
	const struct guid id = GUID(number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	struct disk_point *point;

	if (disk_changes_begin_point(disk_changes_of(disk), &id, memfd_create("scratch", 0), SIZE,
				     nothing, NULL, &point) < 0)
		abort();
	while (disk->in_flight > 0)
		run(1);
	return point;
}

/* A disk of which two points are known. */
static void prepare(void)
{
	struct changes_head head;
	enum changes_loss loss;
	int map = memfd_create("map", 0);

	changes_head_init(&head, SIZE);
	if (loop_new(64, &loop) < 0 || disk_memory_new(loop, SIZE, 512, &disk) < 0 ||
	    ftruncate(map, (off_t)changes_file_size(&head)) < 0 ||
	    disk_changes_new(disk, loop, map, NULL, &loss) < 0)
		abort();
	memset(disk_memory_bytes(disk), 1, SIZE / 2);
	disk_point_end(begin(1), false);
	disk_point_end(begin(2), false);
}

static void say(int peer, const void *bytes, size_t size)
{
	(void)!send(peer, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void say_option(int peer, uint32_t number, const void *bytes, size_t size)
{
	const struct nbd_option option = { htobe64(NBD_OPTION_MAGIC), htobe32(number),
					   htobe32((uint32_t)size) };

	say(peer, &option, sizeof(option));
	say(peer, bytes, size);
}

static void hear(int peer)
{
	uint8_t bytes[65536];

	while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void speak(int peer, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		size_t plain = MIN((size_t)data[1], size - 2);
		struct nbd_request request = { .magic = htobe32(NBD_REQUEST_MAGIC) };

		if (data[0] % 3 == 0)
			say(peer, data + 2, plain);
		else if (data[0] % 3 == 1)
			say_option(peer, data[0] / 3 % 16, data + 2, plain);
		if (data[0] % 3 == 2) {
			plain = MIN(plain, (size_t)8);
			request.command = htobe16(data[0] / 3 % 9);
			if (plain > 1)
				request.flags = htobe16((uint16_t)(data[2] << 8 | data[3]));
			if (plain > 2)
				request.offset = htobe64(data[4] * UINT64_C(4096));
			if (plain > 3)
				request.size = htobe32(data[5] * 4096u + data[1] % 2);
			say(peer, &request, sizeof(request));
		}
		data += 2 + plain;
		size -= 2 + plain;
		run(6);
		hear(peer);
	}
}

static void shake_hands(int peer, uint8_t how)
{
	static const char name[] = "\0\0\0\3"
				   "0:0\0\0";
	static const char contexts[] = "\0\0\0\3"
				       "0:0\0\0\0\2\0\0\0\x0f"
				       "base:allocation\0\0\0\x36"
				       "qemu:dirty-bitmap:00000001-0000-0000-0000-000000000000";
	const uint32_t flags = htobe32(NBD_FIXED_NEWSTYLE | (how & 4 ? NBD_NO_ZEROES : 0));

	say(peer, &flags, sizeof(flags));
	if (how & 1)
		return;
	run(4);
	if (how & 2) {
		say_option(peer, NBD_OPTION_STRUCTURED_REPLY, "", 0);
		run(4);
		say_option(peer, NBD_OPTION_SET_CONTEXTS, contexts, sizeof(contexts) - 1);
		run(4);
	}
	say_option(peer, NBD_OPTION_GO, name, sizeof(name) - 1);
	run(4);
	hear(peer);
}

static void count(void *data)
{
	++*(unsigned *)data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nbd_served served = { .name = "0:0" };
	struct nbd_server_options options = { .served = &served, .count = 1 };
	struct nbd_server *server;
	unsigned stopped = 0;
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	if (size < 2 || size > MOST)
		return 0;
	if (!loop)
		prepare();
	served.point = begin(3);
	options.releases = data[0] & 1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
	    nbd_server_new(loop, &options, &server) < 0 || nbd_server_add(server, pair[0]) < 0)
		abort();
	if (!(data[1] & 8))
		shake_hands(pair[1], data[1]);
	speak(pair[1], data + 2, size - 2);
	if (data[0] & 2)
		close(pair[1]);
	run(2);
	nbd_server_stop(server, count, &stopped);
	for (unsigned i = 0; i < 1000 && !stopped; i++)
		run(1);
	assert(stopped == 1);
	if (!(data[0] & 2))
		close(pair[1]);
	disk_point_end(served.point, false);
	while (disk->in_flight > 0)
		run(1);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that a server has: the handshake, requests in flight, pieces, and servers that lie or die.
 */
#include "tests/fake/nbd_server.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk.h"
#include "vsp/storage/nbd_handshake.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE         (1u << 20)
#define REQUESTS_MAX 200
#define TURN         20000000u /* nanoseconds to wait at most */
#define TURNS_MAX    1000

struct request {
	struct disk_request request;
	struct iovec iov[3];
	uint8_t bytes[4096];
	unsigned completed;
	int result;
};

static struct fixture {
	struct loop *loop;
	struct disk *disk;
	int peer;
	unsigned broken, retired;
	bool waits;
	struct request requests[REQUESTS_MAX];
} f;

static void run(void)
{
	assert_int_equal(loop_run_once(f.loop, TURN), 0);
}

static void broken(void *data, struct disk *disk, const char *why)
{
	assert_non_null(why);
	f.broken++;
}

static void retired(void *data)
{
	f.retired++;
}

/* Return: what disk_nbd_new() makes of a server that says this, and perhaps ends then. */
static int open_disk(const struct nbd_server_words *words, bool ends, bool read_only)
{
	const struct disk_nbd_options options = { .sector_size = 512,
						  .read_only = read_only,
						  .unmap_zeroes = true,
						  .waits = f.waits,
						  .owner = { .broken = broken } };
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[1], words->bytes, words->size), words->size);
	if (ends)
		assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	r = disk_nbd_new(f.loop, pair[0], &options, &f.disk);
	f.peer = pair[1];
	return r;
}

/* What the client answers to the greeting, and its option. */
static void skip_handshake(void)
{
	uint8_t bytes[4 + sizeof(struct nbd_option) + 8];

	assert_int_equal(recv(f.peer, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	assert_int_equal(bytes[3], NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	assert_int_equal(bytes[4 + 11], NBD_OPTION_GO);
}

static void open_able(uint32_t payload_maximum)
{
	struct nbd_server_words words = { .size = 0 };

	nbd_server_greet(&words);
	nbd_server_tell_export(&words, SIZE + 100, NBD_SERVER_ABLE);
	nbd_server_tell_blocks(&words, 1, payload_maximum);
	nbd_server_reply(&words, NBD_REPLY_ACKNOWLEDGED, NULL, 0);
	assert_int_equal(open_disk(&words, false, false), 0);
	skip_handshake();
}

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.peer = -1;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_new(64, &f.loop), 0);
	return 0;
}

static int setup_open(void **state)
{
	setup(state);
	open_able(32u << 20);
	return 0;
}

static int teardown(void **state)
{
	if (f.disk) {
		disk_retire(f.disk, retired, NULL);
		assert_int_equal(f.retired, 1);
	}
	/* A read that is under way is cancelled, and what it names freed. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(f.loop, 1000000), 0);
	loop_free(f.loop);
	if (f.peer >= 0)
		close(f.peer);
	return 0;
}

static void completed(struct disk_request *request, int result)
{
	struct request *r = container_of(request, struct request, request);

	r->completed++;
	r->result = result;
}

/* The memory of a request is in three parts, none of them a sector. */
static struct request *submit(unsigned index, enum disk_operation operation, uint64_t offset,
			      uint64_t size)
{
	struct request *r = &f.requests[index];
	bool moves = operation == DISK_READ || operation == DISK_WRITE;

	r->iov[0] = (struct iovec){ r->bytes, 100 };
	r->iov[1] = (struct iovec){ r->bytes + 100, 300 };
	r->iov[2] = (struct iovec){ r->bytes + 400, size - 400 };
	r->request = (struct disk_request){
		.operation = operation,
		.offset = offset,
		.size = size,
		.iov = moves ? r->iov : NULL,
		.iov_count = moves ? 3 : 0,
		.complete = completed,
	};
	return r;
}

static struct request *start(unsigned index, enum disk_operation operation, uint64_t offset,
			     uint64_t size)
{
	struct request *r = submit(index, operation, offset, size);

	disk_submit(f.disk, &r->request);
	return r;
}

/* The server reads so much, while the client writes. */
static void hear(void *bytes, size_t size)
{
	size_t done = 0;

	for (unsigned i = 0; done < size && i < TURNS_MAX; i++) {
		ssize_t count = recv(f.peer, (char *)bytes + done, size - done, MSG_DONTWAIT);

		if (count < 0)
			run();
		else
			done += (size_t)count;
	}
	assert_int_equal(done, size);
}

static uint64_t expect(enum nbd_command command, uint16_t flags, uint64_t offset, uint32_t size)
{
	struct nbd_request header;

	hear(&header, sizeof(header));
	assert_int_equal(be32toh(header.magic), NBD_REQUEST_MAGIC);
	assert_int_equal(be16toh(header.command), command);
	assert_int_equal(be16toh(header.flags), flags);
	assert_int_equal(be64toh(header.offset), offset);
	assert_int_equal(be32toh(header.size), size);
	return header.cookie;
}

static void say(const void *bytes, size_t size)
{
	assert_int_equal(send(f.peer, bytes, size, MSG_NOSIGNAL), size);
}

static void answer(uint64_t cookie, uint32_t error)
{
	const struct nbd_reply reply = { htobe32(NBD_REPLY_MAGIC), htobe32(error), cookie };

	say(&reply, sizeof(reply));
}

static void finish(struct request *r, int result)
{
	for (unsigned i = 0; !r->completed && i < TURNS_MAX; i++)
		run();
	assert_int_equal(r->completed, 1);
	assert_int_equal(r->result, result);
}

/* ---- The handshake ---- */

static void test_offer(void **state)
{
	assert_int_equal(f.disk->size, SIZE);
	assert_int_equal(f.disk->physical_block_size, 4096);
	assert_true(f.disk->unmap);
	assert_true(f.disk->unmap_zeroes);
	assert_false(f.disk->read_only);
}

static void refuse(const struct nbd_server_words *words, bool read_only, int expected)
{
	assert_int_equal(open_disk(words, true, read_only), expected);
	assert_true(strlen(nbd_error_text(expected)) > 10);
	close(f.peer);
	f.peer = -1;
}

static void test_refused_offers(void **state)
{
	static const struct {
		uint64_t size;
		uint16_t flags;
		uint32_t minimum, payload;
		int expected;
	} table[] = {
		{ 511, NBD_SERVER_ABLE, 1, 65536, NBD_E_EMPTY },
		{ UINT64_MAX, NBD_SERVER_ABLE, 1, 65536, NBD_E_PROTOCOL },
		{ SIZE, 0, 1, 65536, NBD_E_LACKS },
		{ SIZE, NBD_SERVER_ABLE & ~NBD_HAS_FLUSH, 1, 65536, NBD_E_LACKS },
		{ SIZE, NBD_SERVER_ABLE | NBD_IS_READ_ONLY, 1, 65536, NBD_E_READ_ONLY },
		{ SIZE, NBD_SERVER_ABLE, 4096, 65536, NBD_E_BLOCKS },
		{ SIZE, NBD_SERVER_ABLE, 3, 65536, NBD_E_PROTOCOL },
		{ SIZE, NBD_SERVER_ABLE, 1, 65535, NBD_E_PROTOCOL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct nbd_server_words words = { .size = 0 };

		nbd_server_greet(&words);
		nbd_server_tell_export(&words, table[i].size, table[i].flags);
		nbd_server_tell_blocks(&words, table[i].minimum, table[i].payload);
		nbd_server_reply(&words, NBD_REPLY_ACKNOWLEDGED, NULL, 0);
		refuse(&words, false, table[i].expected);
	}
}

/* It ends after each byte, and each byte is changed. */
static void test_broken_handshakes(void **state)
{
	struct nbd_server_words words = { .size = 0 };

	nbd_server_offer(&words, SIZE, NBD_SERVER_ABLE);
	while (words.size-- > 0)
		refuse(&words, false, -ECONNRESET);

	words.size = 0;
	nbd_server_offer(&words, SIZE, NBD_SERVER_ABLE);
	words.bytes[0] ^= 1;
	refuse(&words, false, NBD_E_PROTOCOL);
	words.bytes[0] ^= 1;
	words.bytes[sizeof(struct nbd_greeting)] ^= 1;
	refuse(&words, false, NBD_E_PROTOCOL);
}

static void test_strange_replies(void **state)
{
	static const uint8_t bytes[5000];
	struct nbd_server_words words = { .size = 0 };

	nbd_server_greet(&words);
	nbd_server_reply(&words, NBD_REPLY_ERROR | 6, "no", 2);
	refuse(&words, false, NBD_E_REFUSED);

	words.size = 0;
	nbd_server_greet(&words);
	nbd_server_reply(&words, NBD_REPLY_ACKNOWLEDGED, NULL, 0);
	refuse(&words, false, NBD_E_PROTOCOL); /* without an export */

	words.size = 0;
	nbd_server_greet(&words);
	nbd_server_reply(&words, NBD_REPLY_INFO, bytes, sizeof(bytes));
	refuse(&words, false, NBD_E_PROTOCOL);

	words.size = 0;
	nbd_server_greet(&words);
	for (unsigned i = 0; i < 20; i++)
		nbd_server_reply(&words, NBD_REPLY_INFO, "\0\1name", 6);
	refuse(&words, false, NBD_E_PROTOCOL);
}

static void test_read_only(void **state)
{
	struct nbd_server_words words = { .size = 0 };

	nbd_server_offer(&words, SIZE, NBD_HAS_FLAGS | NBD_IS_READ_ONLY);
	assert_int_equal(open_disk(&words, false, true), 0);
	assert_true(f.disk->read_only);
	assert_false(f.disk->unmap);
	assert_false(f.disk->unmap_zeroes); /* the server does not trim at all */
}

/* ---- Requests ---- */

static void test_reads_out_of_order(void **state)
{
	struct request *first = start(0, DISK_READ, 512, 1024);
	struct request *second = start(1, DISK_READ, 4096, 512);
	uint64_t cookies[2] = { expect(NBD_READ, 0, 512, 1024), expect(NBD_READ, 0, 4096, 512) };
	uint8_t data[1024];

	assert_true(cookies[0] != cookies[1]);
	memset(data, 2, sizeof(data));
	answer(cookies[1], 0);
	say(data, 512);
	finish(second, 0);
	assert_int_equal(first->completed, 0);
	assert_memory_equal(second->bytes, data, 512);
	/* Head and data in two halves each. */
	memset(data, 1, sizeof(data));
	const struct nbd_reply reply = { htobe32(NBD_REPLY_MAGIC), 0, cookies[0] };
	say(&reply, 5);
	run();
	say((const char *)&reply + 5, sizeof(reply) - 5);
	say(data, 99);
	run();
	assert_int_equal(first->completed, 0);
	say(data + 99, sizeof(data) - 99);
	finish(first, 0);
	assert_memory_equal(first->bytes, data, 1024);
	assert_int_equal(f.disk->counters.bytes_read, 1536);
}

static void test_writes(void **state)
{
	struct request *plain = submit(0, DISK_WRITE, 0, 512);
	struct request *durable = submit(1, DISK_WRITE, SIZE - 1024, 1024);
	uint8_t data[1024];
	uint64_t cookie;

	memset(plain->bytes, 3, sizeof(plain->bytes));
	memset(durable->bytes, 4, sizeof(durable->bytes));
	durable->request.durable = true;
	disk_submit(f.disk, &plain->request);
	disk_submit(f.disk, &durable->request);
	cookie = expect(NBD_WRITE, 0, 0, 512);
	hear(data, 512);
	assert_memory_equal(data, plain->bytes, 512);
	answer(cookie, 0);
	cookie = expect(NBD_WRITE, NBD_FORCE_ACCESS, SIZE - 1024, 1024);
	hear(data, 1024);
	assert_memory_equal(data, durable->bytes, 1024);
	answer(cookie, NBD_ENOSPC);
	finish(plain, 0);
	finish(durable, -ENOSPC);
}

static void test_the_others(void **state)
{
	struct request *flush = start(0, DISK_FLUSH, 0, 0);
	struct request *unmap = start(1, DISK_UNMAP, 512, 2048);
	struct request *zero = start(2, DISK_ZERO, 1024, 1024);
	struct request *hole = submit(3, DISK_ZERO, 1024, 1024);

	hole->request.unmap = true;
	disk_submit(f.disk, &hole->request);
	answer(expect(NBD_FLUSH, 0, 0, 0), 5);
	answer(expect(NBD_TRIM, 0, 512, 2048), 22);
	answer(expect(NBD_WRITE_ZEROES, NBD_NO_HOLE, 1024, 1024), NBD_EPERM);
	answer(expect(NBD_WRITE_ZEROES, 0, 1024, 1024), 0);
	finish(flush, -EIO);
	finish(unmap, 0); /* a hint */
	finish(zero, -EPERM);
	finish(hole, 0);
}

/* More than one request of the server's may hold; others go between. */
static void test_pieces(void **state)
{
	static uint8_t memory[160 * 1024], data[65536];
	struct iovec iov[3] = { { memory, 10 }, { memory + 10, 90000 }, { memory + 90010, 73830 } };
	struct request *large = &f.requests[0];

	open_able(65536 + 100);
	memset(memory, 9, sizeof(memory));
	large->request = (struct disk_request){ .operation = DISK_READ,
						.size = sizeof(memory),
						.iov = iov,
						.iov_count = 3,
						.complete = completed };
	disk_submit(f.disk, &large->request);
	for (uint32_t offset = 0; offset < sizeof(memory); offset += sizeof(data)) {
		uint32_t size = MIN((uint32_t)sizeof(memory) - offset, (uint32_t)sizeof(data));

		answer(expect(NBD_READ, 0, offset, size), 0);
		memset(data, (int)(offset / sizeof(data)), sizeof(data));
		say(data, size);
	}
	finish(large, 0);
	assert_int_equal(memory[0], 0);
	assert_int_equal(memory[65536], 1);
	assert_int_equal(memory[sizeof(memory) - 1], 2);
	assert_int_equal(f.disk->counters.bytes_read, sizeof(memory));
}

static void test_many(void **state)
{
	uint8_t data[512];

	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		start(i, DISK_WRITE, i * UINT64_C(512), 512);
	for (unsigned i = 0; i < REQUESTS_MAX; i++) {
		uint64_t cookie = expect(NBD_WRITE, 0, i * UINT64_C(512), 512);

		hear(data, sizeof(data));
		answer(cookie, 0);
	}
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		finish(&f.requests[i], 0);
}

static void test_abandoned(void **state)
{
	struct request *zero = start(0, DISK_FLUSH, 0, 0);

	zero->request.abandoned = true;
	answer(expect(NBD_FLUSH, 0, 0, 0), 0);
	finish(zero, 0); /* it was the last piece */
}

/* ---- Servers that end, or lie ---- */

static void expect_broken(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		finish(&f.requests[i], -EIO);
	assert_int_equal(f.broken, 1);
	finish(start(count, DISK_READ, 0, 512), -EIO);
	assert_int_equal(f.broken, 1);
}

static void test_end(void **state)
{
	start(0, DISK_READ, 0, 512);
	start(1, DISK_WRITE, 0, 512);
	expect(NBD_READ, 0, 0, 512);
	close(f.peer);
	f.peer = -1;
	expect_broken(2);
}

static void test_end_while_idle(void **state)
{
	shutdown(f.peer, SHUT_RDWR);
	finish(start(0, DISK_FLUSH, 0, 0), -EIO);
	expect_broken(1);
}

static void test_end_while_sending(void **state)
{
	/* More than the socket holds: the write waits. */
	for (unsigned i = 0; i < REQUESTS_MAX - 1; i++)
		start(i, DISK_WRITE, 0, 4096);
	run();
	shutdown(f.peer, SHUT_RDWR);
	expect_broken(REQUESTS_MAX - 1);
}

static void test_nonsense(void **state)
{
	uint64_t cookie;

	start(0, DISK_READ, 0, 512);
	start(1, DISK_FLUSH, 0, 0);
	cookie = expect(NBD_READ, 0, 0, 512);
	say("no reply, but as long as one", 28);
	answer(cookie, 0);
	expect_broken(2);
}

static void test_unknown_cookies(void **state)
{
	start(0, DISK_READ, 0, 512);
	expect(NBD_READ, 0, 0, 512);
	answer(htobe64(1000), 0);
	expect_broken(1);
}

static void test_two_replies(void **state)
{
	uint64_t cookie;

	start(0, DISK_FLUSH, 0, 0);
	start(1, DISK_READ, 0, 512);
	cookie = expect(NBD_FLUSH, 0, 0, 0);
	answer(cookie, 0);
	answer(cookie, 0);
	finish(&f.requests[0], 0);
	finish(&f.requests[1], -EIO);
	assert_int_equal(f.broken, 1);
}

/* What comes after a request has failed does not reach its memory. */
static void test_memory_after_the_end(void **state)
{
	struct request *read = start(0, DISK_READ, 0, 1024);
	uint8_t data[1024];
	uint64_t cookie = expect(NBD_READ, 0, 0, 1024);

	memset(data, 7, sizeof(data));
	answer(cookie, 0);
	say(data, 100);
	for (unsigned i = 0; read->bytes[99] != 7 && i < TURNS_MAX; i++)
		run();
	shutdown(f.peer, SHUT_WR);
	finish(read, -EIO);
	assert_int_equal(read->bytes[100], 0);
}

/* ---- Servers that come back ---- */

static int setup_waiting(void **state)
{
	setup(state);
	f.waits = true;
	open_able(32u << 20);
	return 0;
}

/* Return: what the disk makes of a new connection, to a server of so many bytes. */
static int reconnect(uint64_t size)
{
	struct nbd_server_words words = { .size = 0 };
	int pair[2], r;

	nbd_server_offer(&words, size, NBD_SERVER_ABLE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[1], words.bytes, words.size), words.size);
	r = disk_nbd_reconnect(f.disk, pair[0]);
	if (r != 0) {
		close(pair[1]);
		return r;
	}
	close(f.peer);
	f.peer = pair[1];
	skip_handshake();
	return 0;
}

static void end_server(void)
{
	assert_int_equal(shutdown(f.peer, SHUT_RDWR), 0);
	for (unsigned i = 0; !f.broken && i < TURNS_MAX; i++)
		run();
	assert_int_equal(f.broken, 1);
}

/* A write that has been sent, half of what is read, and what had no slot yet: all are done over. */
static void test_under_way_is_made_again(void **state)
{
	const struct nbd_reply reply = { htobe32(NBD_REPLY_MAGIC), 0, 0 };
	struct request *write = start(0, DISK_WRITE, 0, 512), *read;
	uint8_t data[512], half[256] = { 0 };
	uint64_t cookie;

	memset(write->bytes, 'w', 512);
	expect(NBD_WRITE, 0, 0, 512);
	hear(data, sizeof(data));
	read = start(1, DISK_READ, 4096, 512);
	cookie = expect(NBD_READ, 0, 4096, 512);
	say(&(struct nbd_reply){ reply.magic, 0, cookie }, sizeof(reply));
	say(half, sizeof(half));
	for (unsigned i = 0; i < 3; i++)
		run();
	end_server();
	for (unsigned i = 2; i < REQUESTS_MAX; i++)
		start(i, DISK_FLUSH, 0, 0);
	assert_int_equal(write->completed + read->completed, 0);

	assert_int_equal(reconnect(SIZE + 512), NBD_E_REFUSED);
	assert_int_equal(reconnect(SIZE), 0);
	cookie = expect(NBD_WRITE, 0, 0, 512);
	hear(data, sizeof(data));
	assert_int_equal(data[511], 'w');
	answer(cookie, 0);
	finish(write, 0);
	cookie = expect(NBD_READ, 0, 4096, 512);
	memset(data, 'r', sizeof(data));
	answer(cookie, 0);
	say(data, sizeof(data));
	finish(read, 0);
	assert_memory_equal(read->bytes, data, sizeof(data));
	for (unsigned i = 2; i < REQUESTS_MAX; i++)
		answer(expect(NBD_FLUSH, 0, 0, 0), 0);
	for (unsigned i = 2; i < REQUESTS_MAX; i++)
		finish(&f.requests[i], 0);
	assert_int_equal(f.disk->counters.errors, 0);
}

/* Its end had not shown, or there was none: the daemon knows better. */
static void test_another_server_takes_over(void **state)
{
	struct request *r;

	assert_int_equal(reconnect(SIZE), 0);
	r = start(0, DISK_FLUSH, 0, 0);
	answer(expect(NBD_FLUSH, 0, 0, 0), 0);
	finish(r, 0);
}

/* A write that the server acknowledges. */
static void write_one(unsigned index, bool durable)
{
	struct request *r = submit(index, DISK_WRITE, 0, 512);
	uint8_t data[512];
	uint64_t cookie;

	r->request.durable = durable;
	disk_submit(f.disk, &r->request);
	cookie = expect(NBD_WRITE, durable ? NBD_FORCE_ACCESS : 0, 0, 512);
	hear(data, sizeof(data));
	answer(cookie, 0);
	finish(r, 0);
}

static void flush_one(unsigned index)
{
	struct request *r = start(index, DISK_FLUSH, 0, 0);

	answer(expect(NBD_FLUSH, 0, 0, 0), 0);
	finish(r, 0);
}

/* What a server had acknowledged, and died with: no flush is acknowledged over that. */
static void test_lost_writes(void **state)
{
	struct request *sent, *late;

	write_one(0, false);
	assert_true(disk_nbd_is_unflushed(f.disk));
	sent = start(1, DISK_FLUSH, 0, 0);
	expect(NBD_FLUSH, 0, 0, 0);
	end_server();
	late = start(2, DISK_FLUSH, 0, 0);
	assert_int_equal(reconnect(SIZE), 0);
	finish(sent, DISK_E_LOST);
	finish(late, DISK_E_LOST);
	/* Each of the guest's programs hears of it, until there are no such any more. */
	finish(start(3, DISK_FLUSH, 0, 0), DISK_E_LOST);
	assert_true(disk_nbd_is_unflushed(f.disk));
	f.disk->lost = false;
	flush_one(4);
	assert_false(disk_nbd_is_unflushed(f.disk));
}

/* Nobody flushed for two servers. */
static void test_lost_writes_of_two_servers(void **state)
{
	write_one(0, false);
	assert_int_equal(reconnect(SIZE), 0);
	write_one(1, true);
	assert_true(disk_nbd_is_unflushed(f.disk));
	assert_int_equal(reconnect(SIZE), 0);
	write_one(2, false);
	finish(start(3, DISK_FLUSH, 0, 0), DISK_E_LOST);
	finish(start(4, DISK_FLUSH, 0, 0), DISK_E_LOST);
}

/* Writes that a flush came after, and durable ones, outlive their server. */
static void test_flushed_writes(void **state)
{
	write_one(0, false);
	flush_one(1);
	write_one(2, true);
	assert_false(disk_nbd_is_unflushed(f.disk));
	assert_int_equal(reconnect(SIZE), 0);
	flush_one(3);
}

/* A flush covers what was acknowledged before it was sent, not what was meanwhile. */
static void test_a_write_during_a_flush(void **state)
{
	struct request *flush = start(0, DISK_FLUSH, 0, 0);
	uint64_t cookie = expect(NBD_FLUSH, 0, 0, 0);

	write_one(1, false);
	answer(cookie, 0);
	finish(flush, 0);
	assert_true(disk_nbd_is_unflushed(f.disk));
	assert_int_equal(reconnect(SIZE), 0);
	finish(start(2, DISK_FLUSH, 0, 0), DISK_E_LOST);
}

static void test_no_server_comes(void **state)
{
	struct request *waiting = start(0, DISK_FLUSH, 0, 0), *abandoned;

	expect(NBD_FLUSH, 0, 0, 0);
	abandoned = start(1, DISK_FLUSH, 0, 0);
	expect(NBD_FLUSH, 0, 0, 0);
	end_server();
	disk_abandon(&abandoned->request);
	finish(abandoned, -ECANCELED);
	assert_int_equal(waiting->completed, 0);
	disk_nbd_give_up(f.disk);
	finish(waiting, -EIO);
	assert_int_equal(reconnect(SIZE), -EINVAL);
	finish(start(2, DISK_FLUSH, 0, 0), -EIO);
}

/* What is abandoned ends, though the server neither answers nor ends. */
static void test_a_server_that_hangs(void **state)
{
	struct request *r = start(0, DISK_READ, 0, 512);

	expect(NBD_READ, 0, 0, 512);
	disk_abandon(&r->request);
	while (!r->completed)
		run();
	assert_int_equal(r->result, -ECANCELED);
	assert_int_equal(f.broken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offer, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_refused_offers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_handshakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_under_way_is_made_again, setup_waiting,
						teardown),
		cmocka_unit_test_setup_teardown(test_another_server_takes_over, setup_waiting,
						teardown),
		cmocka_unit_test_setup_teardown(test_lost_writes, setup_waiting, teardown),
		cmocka_unit_test_setup_teardown(test_lost_writes_of_two_servers, setup_waiting,
						teardown),
		cmocka_unit_test_setup_teardown(test_flushed_writes, setup_waiting, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_during_a_flush, setup_waiting,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_server_comes, setup_waiting, teardown),
		cmocka_unit_test_setup_teardown(test_a_server_that_hangs, setup_waiting, teardown),
		cmocka_unit_test_setup_teardown(test_strange_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_out_of_order, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_writes, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_the_others, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_abandoned, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_end_while_idle, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_end_while_sending, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_cookies, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_two_replies, setup_open, teardown),
		cmocka_unit_test_setup_teardown(test_memory_after_the_end, setup_open, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

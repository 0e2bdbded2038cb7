/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream socket as a network: framing, partial frames, a peer that stalls, nonsense, the end.
 */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vsp/network/net_backend.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN 20000000u /* nanoseconds to wait at most */

static struct fixture {
	struct loop *loop;
	struct net_backend *backend;
	int peer;
	bool closed;
	unsigned ended;

	struct net_frame frame;
	struct iovec frame_iov[3];
	uint8_t bytes[70000];
	unsigned sent, canceled;
	int sent_result;

	struct net_buffer buffer;
	struct iovec buffer_iov[3];
	uint8_t room[70000];
	unsigned filled;
	int filled_result;
} f;

static void sent(struct net_frame *frame, int result)
{
	f.sent++;
	f.canceled += result == -ECANCELED;
	f.sent_result = result;
}

static void filled(struct net_buffer *buffer, int result)
{
	f.filled++;
	f.filled_result = result;
}

static void ended(void *data)
{
	f.ended++;
}

static void closed(void *data)
{
	f.closed = true;
}

static void run(unsigned iterations)
{
	for (unsigned i = 0; i < iterations; i++)
		assert_int_equal(loop_run_once(f.loop, TURN), 0);
}

static int setup(void **state)
{
	int pair[2];

	memset(&f, 0, sizeof(f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	f.peer = pair[1];
	assert_int_equal(loop_new(64, &f.loop), 0);
	assert_int_equal(net_socket_new(f.loop, pair[0], &f.backend), 0);
	f.backend->ended = ended;
	for (size_t i = 0; i < sizeof(f.bytes); i++)
		f.bytes[i] = (uint8_t)(i * 5 + i / 253);
	return 0;
}

static int teardown(void **state)
{
	if (f.backend)
		net_backend_close(f.backend, closed, NULL);
	for (unsigned i = 0; i < 100 && !f.closed; i++)
		run(1);
	assert_true(f.closed);
	loop_free(f.loop);
	close(f.peer);
	return 0;
}

static void send_frame(size_t size)
{
	f.frame = (struct net_frame){ .iov = f.frame_iov, .iov_count = 3, .sent = sent };
	f.frame_iov[0] = (struct iovec){ &f.frame.header, NET_HEADER_SIZE };
	f.frame_iov[1] = (struct iovec){ f.bytes, 20 };
	f.frame_iov[2] = (struct iovec){ f.bytes + 20, size - 20 };
	net_backend_send(f.backend, 0, &f.frame);
}

static void give_buffer(void)
{
	f.buffer = (struct net_buffer){ .iov = f.buffer_iov, .iov_count = 3, .filled = filled };
	f.buffer_iov[0] = (struct iovec){ &f.buffer.header, NET_HEADER_SIZE };
	f.buffer_iov[1] = (struct iovec){ f.room, 1000 };
	f.buffer_iov[2] = (struct iovec){ f.room + 1000, sizeof(f.room) - 1000 };
	net_backend_receive(f.backend, 0, &f.buffer);
}

static void peer_write(const void *bytes, size_t size)
{
	assert_int_equal(write(f.peer, bytes, size), size);
}

static void test_send(void **state)
{
	static uint8_t got[2000];

	send_frame(1514);
	run(3);
	assert_int_equal(f.sent, 1);
	assert_int_equal(f.sent_result, 0);
	assert_int_equal(read(f.peer, got, sizeof(got)), 1518);
	assert_memory_equal(got, "\x00\x00\x05\xea", 4);
	assert_memory_equal(got + 4, f.bytes, 1514);
}

static void test_receive(void **state)
{
	static const uint8_t length[] = { 0, 0, 5, 0xea };

	give_buffer();
	run(2);
	/* In pieces, the second frame right behind the first. */
	peer_write(length, 2);
	run(2);
	peer_write(length + 2, 2);
	peer_write(f.bytes, 700);
	run(2);
	assert_int_equal(f.filled, 0);
	peer_write(f.bytes + 700, 814);
	peer_write("\0\0\0\x10", 4);
	peer_write(f.bytes, 16);
	run(3);
	assert_int_equal(f.filled, 1);
	assert_int_equal(f.filled_result, 1514);
	assert_memory_equal(f.room, f.bytes, 1514);
	give_buffer();
	run(3);
	assert_int_equal(f.filled, 2);
	assert_int_equal(f.filled_result, 16);
	assert_int_equal(f.ended, 0);
}

static void test_nonsense_ends_it(void **state)
{
	give_buffer();
	peer_write("\xff\xff\xff\xff", 4);
	run(4);
	assert_int_equal(f.ended, 1);
	assert_int_equal(f.filled, 0);
	/* What is sent now is dropped, and the buffer comes back. */
	send_frame(100);
	run(2);
	assert_int_equal(f.sent_result, -EPIPE);
	net_backend_withdraw(f.backend);
	assert_int_equal(f.filled_result, -ECANCELED);
}

static void test_peer_goes(void **state)
{
	give_buffer();
	run(2);
	shutdown(f.peer, SHUT_RDWR);
	run(4);
	assert_int_equal(f.ended, 1);
}

/* ---- A peer that reads nothing ---- */

#define STALLED      40
#define STALLED_SIZE 60000u

static struct {
	struct net_frame frame;
	struct iovec iov[3];
} stalled[STALLED];

/* Sends more than the socket takes. Return: how many frames it took. */
static unsigned stall(void)
{
	for (unsigned i = 0; i < STALLED; i++) {
		stalled[i].frame =
			(struct net_frame){ .iov = stalled[i].iov, .iov_count = 3, .sent = sent };
		stalled[i].iov[0] = (struct iovec){ &stalled[i].frame.header, NET_HEADER_SIZE };
		stalled[i].iov[1] = (struct iovec){ f.bytes, 54 };
		stalled[i].iov[2] = (struct iovec){ f.bytes + 54, STALLED_SIZE - 54 };
		net_backend_send(f.backend, 0, &stalled[i].frame);
		if (i % 4 == 0)
			run(2);
	}
	run(4);
	assert_in_range(f.sent, 0, STALLED - 1);
	assert_int_equal(f.sent_result, 0);
	return f.sent;
}

/* Reads what has come, as it comes. Return: how many frames; all of them as they were sent. */
static unsigned read_frames(const uint8_t *expected, size_t frame_size)
{
	static uint8_t got[STALLED * (STALLED_SIZE + 4)];
	size_t size = 0, at = 0;
	unsigned count = 0;

	for (unsigned idle = 0; idle < 4;) {
		ssize_t n = recv(f.peer, got + size, sizeof(got) - size, MSG_DONTWAIT);

		idle = n > 0 ? 0 : idle + 1;
		size += n > 0 ? (size_t)n : 0;
		run(1);
	}
	for (; at < size; at += 4 + frame_size, count++) {
		assert_true(size - at >= 4 + frame_size);
		assert_int_equal(got[at + 2] << 8 | got[at + 3], frame_size);
		assert_memory_equal(got + at + 4, expected, frame_size);
	}
	return count;
}

/* Frames wait where they are, and go out when it reads. */
static void test_peer_stalls(void **state)
{
	assert_in_range(stall(), 0, STALLED - 1);
	assert_int_equal(read_frames(f.bytes, STALLED_SIZE), STALLED);
	assert_int_equal(f.sent, STALLED);
	assert_int_equal(f.sent_result, 0);
}

/* They come back when they are to; what has gone in part goes to its end, as it was. */
static void test_stalled_frames_come_back(void **state)
{
	static uint8_t before[STALLED_SIZE];
	unsigned took = stall();

	memcpy(before, f.bytes, sizeof(before));
	net_backend_withdraw(f.backend);
	net_backend_withdraw(f.backend);
	run(4);
	assert_int_equal(f.sent, STALLED);
	assert_in_range(f.canceled, STALLED - took - 1, STALLED - took);
	memset(f.bytes, 0x5a, sizeof(f.bytes));
	assert_int_equal(read_frames(before, sizeof(before)), STALLED - f.canceled);
	send_frame(1000);
	run(4);
	assert_int_equal(f.sent, STALLED + 1);
	assert_int_equal(f.sent_result, 0);
	assert_int_equal(read_frames(f.bytes, 1000), 1);
	assert_int_equal(f.ended, 0);
}

static void test_peer_goes_while_stalled(void **state)
{
	(void)stall();
	shutdown(f.peer, SHUT_RDWR);
	run(4);
	assert_int_equal(f.ended, 1);
	assert_int_equal(f.sent, STALLED);
	assert_int_equal(f.sent_result, -EPIPE);
}

static void test_close_while_stalled(void **state)
{
	unsigned took = stall();

	net_backend_close(f.backend, closed, NULL);
	for (unsigned i = 0; i < 100 && !f.closed; i++)
		run(1);
	assert_true(f.closed);
	assert_int_equal(f.sent, STALLED);
	assert_in_range(took, 0, STALLED - 1);
	f.backend = NULL;
}

/* The caller keeps what was refused. */
static void test_no_stream(void **state)
{
	struct net_backend *backend;
	int pair[2];

	assert_int_equal(pipe(pair), 0);
	assert_int_equal(net_socket_new(f.loop, pair[0], &backend), -EINVAL);
	assert_int_equal(close(pair[0]) | close(pair[1]), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	assert_int_equal(net_socket_new(f.loop, pair[0], &backend), -EINVAL);
	assert_int_equal(close(pair[0]) | close(pair[1]), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_send),
		TEST(test_receive),
		TEST(test_nonsense_ends_it),
		TEST(test_peer_goes),
		TEST(test_peer_stalls),
		TEST(test_stalled_frames_come_back),
		TEST(test_peer_goes_while_stalled),
		TEST(test_close_while_stalled),
		TEST(test_no_stream),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

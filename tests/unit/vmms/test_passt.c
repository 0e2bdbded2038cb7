/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * passt(1) as it is installed, in a network namespace of the test's own that has a default route:
 * it is asked for an address over its socket. Skipped where there is no passt, or no namespace.
 */
#include "tests/unit/unit.h"
#include "vmms/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASST "/usr/bin/passt"

static sd_event *loop;
static struct definition_adapter adapter;
static char last_words[PASST_WORDS_MAX];
static bool ended;

static int set_up(void **state)
{
	adapter = (struct definition_adapter){ .mtu = 1400 };
	ended = false;
	return sd_event_new(&loop);
}

static int tear_down(void **state)
{
	loop = sd_event_unref(loop);
	return 0;
}

static void on_end(void *owner, const char *words)
{
	ended = true;
	snprintf(last_words, sizeof(last_words), "%s", words);
	assert_ptr_equal(owner, &adapter);
}

static int start(const char *program, struct passt **ret_passt, int *ret_fd)
{
	const struct passt_config config = {
		.program = program, .adapter = &adapter, .ended = on_end, .owner = &adapter
	};

	return passt_start(loop, &config, ret_passt, ret_fd);
}

static void wait_end(void)
{
	for (int i = 0; i < 600 && !ended; i++)
		assert_true(sd_event_run(loop, 100000) >= 0);
	assert_true(ended);
}

static void need_network(void)
{
	if (access(PASST, X_OK) < 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	assert_int_equal(system("ip link set lo up && ip link add up0 type veth peer name up1 &&"
				"ip link set up1 up && ip link set up0 up &&"
				"ip address add 192.0.2.9/24 dev up0 &&"
				"ip route add default via 192.0.2.1"),
			 0);
}

/* A DHCPDISCOVER in UDP, IPv4 and Ethernet, behind its length as passt's stream has it. */
static size_t make_discover(uint8_t *frame)
{
	static const uint8_t headers[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0x56, 0x4d, 0,  0,  1,  8,
		0,    0x45, 0,    1,    16,   0,    1,    0,    0,    64, 17, 0,  0,
		0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0,    68, 0,  67, 0,
		252,  0,    0,    1,    1,    6,    0,    1,    2,    3,  4,
	};
	static const uint8_t options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 55, 2, 1, 3, 255 };
	const size_t size = 14 + 20 + 8 + 244;
	uint32_t sum = 0;

	memset(frame, 0, 4 + size);
	*(uint32_t *)frame = htonl((uint32_t)size);
	memcpy(frame + 4, headers, sizeof(headers));
	memcpy(frame + 4 + 14 + 20 + 8 + 28, headers + 6, 6);
	memcpy(frame + 4 + 14 + 20 + 8 + 236 - 4, options, sizeof(options));
	memcpy(frame + 4 + 14 + 20 + 8 + 236, options, 8);
	for (int i = 18; i < 38; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[28] = (uint8_t)(~sum >> 8);
	frame[29] = (uint8_t)~sum;
	return 4 + size;
}

/* The address that is offered, from the first DHCP answer in the stream. */
static uint32_t read_offer(int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	static uint8_t bytes[65536];
	size_t size = 0;
	uint32_t offer;

	while (size < sizeof(bytes)) {
		size_t at = 0;
		ssize_t n;

		assert_int_equal(poll(&ready, 1, 60000), 1);
		n = recv(fd, bytes + size, sizeof(bytes) - size, 0);
		assert_true(n > 0);
		size += (size_t)n;
		while (at + 4 <= size && at + 4 + ntohl(*(uint32_t *)(bytes + at)) <= size) {
			const uint8_t *frame = bytes + at + 4;

			if (frame[12] == 8 && frame[23] == 17 && frame[37] == 68) {
				memcpy(&offer, frame + 14 + 20 + 8 + 16, 4);
				return offer;
			}
			at += 4 + ntohl(*(uint32_t *)(bytes + at));
		}
	}
	fail();
	return 0;
}

static void test_gives_an_address(void **state)
{
	uint8_t frame[512];
	struct passt *passt;
	size_t size;
	int fd;

	need_network();
	assert_int_equal(start(PASST, &passt, &fd), 0);
	size = make_discover(frame);
	assert_int_equal(send(fd, frame, size, 0), size);
	assert_int_equal(ntohl(read_offer(fd)), 0xc0000209);
	/* It ends when the worker's end is closed. */
	close(fd);
	wait_end();
	passt_free(passt);
}

static void test_forwards(void **state)
{
	struct passt *passt;
	int fd;

	need_network();
	adapter.forward_count = 2;
	adapter.forwards[0] = (struct definition_forward){ DEFINITION_PROTOCOL_TCP, 2222, 22 };
	adapter.forwards[1] = (struct definition_forward){ DEFINITION_PROTOCOL_UDP, 5353, 53 };
	assert_int_equal(start(PASST, &passt, &fd), 0);
	assert_int_equal(system("for i in $(seq 600); do"
				" grep -q ':08AE 0*:0000 0A' /proc/net/tcp && exit;"
				" sleep 0.1; done; exit 1"),
			 0);
	assert_int_equal(system("grep -q ':14E9 ' /proc/net/udp"), 0);
	passt_free(passt);
	close(fd);
}

static void test_without_a_network(void **state)
{
	struct passt *passt;
	int fd;

	if (access(PASST, X_OK) < 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	assert_int_equal(start(PASST, &passt, &fd), 0);
	wait_end();
	assert_string_not_equal(last_words, "");
	print_message("passt without a network: %s\n", last_words);
	passt_free(passt);
	close(fd);
}

static void test_other_programs(void **state)
{
	struct passt *passt;
	int fd;

	assert_int_equal(start("/nonexistent", &passt, &fd), -ENOENT);
	assert_int_equal(start("/bin/false", &passt, &fd), 0);
	wait_end();
	assert_non_null(strstr(last_words, "status 1"));
	passt_free(passt);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_other_programs),
		TEST(test_gives_an_address),
		TEST(test_forwards),
		TEST(test_without_a_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

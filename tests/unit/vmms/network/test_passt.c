/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * passt(1) as it is installed, in a network namespace of the test's own that has a default route:
 * it is asked for an address over its socket. Skipped where there is no passt, or no namespace.
 */
#include "tests/unit/unit.h"
#include "vmms/network/network_guard.h"
#include "vmms/network/passt.h"

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

static void forward(const char *text)
{
	assert_int_equal(definition_forward_parse(text, &adapter.forwards[adapter.forward_count++]),
			 0);
}

/* Waits until one listens there: "7F000001:08AE", or the like, of /proc/net. */
static void wait_listener(const char *file, const char *address)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "for i in $(seq 600); do grep -q ' %s ' /proc/net/%s && exit; sleep 0.1; done; "
		 "exit 1",
		 address, file);
	assert_int_equal(system(command), 0);
}

static void test_forwards(void **state)
{
	struct passt *passt;
	int fd;

	need_network();
	forward("2222:22");
	forward("192.0.2.9:2223:22");
	forward("*:2224:22");
	forward("udp:5353:53");
	assert_int_equal(start(PASST, &passt, &fd), 0);
	wait_listener("tcp", "0100007F:08AE");
	wait_listener("tcp", "090200C0:08AF");
	wait_listener("tcp", "00000000:08B0");
	wait_listener("udp", "0100007F:14E9");
	assert_int_equal(system("! grep -q ' 00000000:08AE ' /proc/net/tcp"), 0);
	passt_free(passt);
	close(fd);
}

/* ---- What the guest reaches ---- */

#define GUEST_USER 2147287040u
#define PORT       7777

static int listen_at(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static bool has_connection(int fd, int timeout)
{
	struct pollfd ready = { fd, POLLIN, 0 };

	return poll(&ready, 1, timeout) == 1;
}

static void add_words(uint32_t *sum, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += 2)
		*sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

/* The first segment of a TCP connection from the guest, 192.0.2.9, to that address. */
static void send_syn(int fd, const char *to)
{
	static uint16_t port = 40000;
	uint8_t frame[4 + 14 + 40] = { 0, 0, 0,    54,   0x52, 0x54, 0, 0, 0,
				       1, 2, 0x56, 0x4d, 0,    0,    1, 8 };
	uint8_t *ip = frame + 18, *tcp = ip + 20;
	const uint8_t ip_head[] = { 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 9 };
	const uint8_t tcp_head[] = {
		(uint8_t)(port >> 8),
		(uint8_t)port,
		PORT >> 8,
		PORT & 0xff,
		0,
		0,
		0,
		1,
		0,
		0,
		0,
		0,
		0x50,
		2,
		0x20,
	};
	uint32_t sum = 0;

	port++;
	memcpy(ip, ip_head, sizeof(ip_head));
	assert_int_equal(inet_pton(AF_INET, to, ip + 16), 1);
	memcpy(tcp, tcp_head, sizeof(tcp_head));
	add_words(&sum, ip, 20);
	put_sum(ip + 10, sum);
	sum = 6 + 20;
	add_words(&sum, ip + 12, 8);
	add_words(&sum, tcp, 20);
	put_sum(tcp + 16, sum);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
}

/*
 * Whether what listens on 127.0.0.1 alone is reached at that address. Anybody reaches 192.0.2.10.
 */
static bool reaches_loopback(const char *to)
{
	int loopback = listen_at("127.0.0.1"), other = listen_at("192.0.2.10"), fd;
	const struct passt_config config = { .program = PASST,
					     .adapter = &adapter,
					     .user = GUEST_USER,
					     .ended = on_end,
					     .owner = &adapter };
	struct passt *passt;
	bool reached;

	assert_int_equal(passt_start(loop, &config, &passt, &fd), 0);
	send_syn(fd, to);
	send_syn(fd, "192.0.2.10");
	assert_true(has_connection(other, 60000));
	reached = has_connection(loopback, 0);
	passt_free(passt);
	close(fd);
	close(loopback);
	close(other);
	return reached;
}

static void test_the_router_is_not_the_host(void **state)
{
	need_network();
	assert_int_equal(system("ip address add 192.0.2.10/24 dev up0"), 0);
	assert_false(reaches_loopback("192.0.2.1"));
	adapter.host_loopback = true;
	assert_true(reaches_loopback("192.0.2.1"));
}

/* passt(1) connects to wherever a guest of ill will sends; the rules are for its user. */
static void test_nor_is_127_0_0_1(void **state)
{
	struct network_guard *guard;

	need_network();
	assert_int_equal(system("ip address add 192.0.2.10/24 dev up0"), 0);
	if (network_guard_new("/var/lib/test", &guard) < 0)
		skip();
	assert_true(reaches_loopback("127.0.0.1"));
	assert_int_equal(network_guard_close_loopback(guard, GUEST_USER, true), 0);
	assert_false(reaches_loopback("127.0.0.1"));
	assert_false(reaches_loopback("127.1.2.3"));
	assert_false(reaches_loopback("0.0.0.0"));
	assert_int_equal(network_guard_close_loopback(guard, GUEST_USER + 1, true), 0);
	assert_int_equal(network_guard_close_loopback(guard, GUEST_USER, false), 0);
	assert_true(reaches_loopback("127.0.0.1"));
	network_guard_free(guard);
	assert_int_equal(system("nft list tables | grep -q 'inet vmms_kept'"), 0);
}

/* One of the host's own users still reaches what is forwarded, under the same rules. */
static void test_forwards_are_answered(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(2222),
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct passt_config config = { .program = PASST,
					     .adapter = &adapter,
					     .user = GUEST_USER,
					     .ended = on_end,
					     .owner = &adapter };
	struct network_guard *guard;
	struct passt *passt;
	int fd, client;

	need_network();
	if (network_guard_new("/var/lib/test", &guard) < 0)
		skip();
	assert_int_equal(network_guard_close_loopback(guard, GUEST_USER, true), 0);
	forward("2222:22");
	assert_int_equal(passt_start(loop, &config, &passt, &fd), 0);
	wait_listener("tcp", "0100007F:08AE");
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	close(client);
	passt_free(passt);
	close(fd);
	assert_int_equal(network_guard_close_loopback(guard, GUEST_USER, false), 0);
	network_guard_free(guard);
	assert_int_equal(system("! nft list tables | grep -q vmms_"), 0);
}

static void test_its_user(void **state)
{
	struct passt_config config = { .program = PASST,
				       .adapter = &adapter,
				       .user = GUEST_USER,
				       .ended = on_end,
				       .owner = &adapter };
	char command[256];
	struct passt *passt;
	int fd;

	need_network();
	forward("2222:22");
	assert_int_equal(passt_start(loop, &config, &passt, &fd), 0);
	wait_listener("tcp", "0100007F:08AE");
	snprintf(command, sizeof(command), "grep -q '^Uid:.%u.%u' /proc/%d/status", GUEST_USER,
		 GUEST_USER, (int)passt_process(passt)->pid);
	assert_int_equal(system(command), 0);
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
		TEST(test_other_programs),   TEST(test_gives_an_address),
		TEST(test_forwards),         TEST(test_the_router_is_not_the_host),
		TEST(test_nor_is_127_0_0_1), TEST(test_forwards_are_answered),
		TEST(test_its_user),         TEST(test_without_a_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tap interface as a network, with the kernel and a packet socket at the other end, in a network
 * namespace of the test's own. Skipped where none may be made.
 */
#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "tests/unit/unit.h"
#include "vsp/network/net_backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND  1000000000ull
#define QUEUES  2
#define BUFFERS 4
#define TYPE    0x88b5 /* for experiments; nobody else sends it */

struct buffer {
	struct net_buffer buffer;
	struct iovec iov[3];
	uint8_t room[70000];
	int result;
	bool out;
};

static struct fixture {
	struct loop *loop;
	struct net_backend *backend; /* NULL: the test is skipped */
	char name[IFNAMSIZ];
	int fds[QUEUES];
	int packet; /* a socket with virtio headers, which sees what passes the interface */
	bool closed;
	unsigned ended;

	struct net_frame frame;
	struct iovec frame_iov[3];
	uint8_t bytes[70000];
	unsigned sent;
	int sent_result;

	struct buffer buffers[BUFFERS];
	unsigned filled;
	struct buffer *last;
} f;

static void sent(struct net_frame *frame, int result)
{
	f.sent++;
	f.sent_result = result;
}

static void filled(struct net_buffer *net_buffer, int result)
{
	f.last = container_of(net_buffer, struct buffer, buffer);
	f.last->result = result;
	f.last->out = false;
	f.filled++;
}

static void ended(void *data)
{
	f.ended++;
}

static void closed(void *data)
{
	f.closed = true;
}

/* Runs the loop until something is as it should be. */
#define await(condition)                                                          \
	do {                                                                      \
		for (uint64_t end = loop_now() + 10 * SECOND; !(condition);) {    \
			assert_true(loop_now() < end);                            \
			assert_int_equal(loop_run_once(f.loop, SECOND / 100), 0); \
		}                                                                 \
	} while (0)

/* ---- The interface ---- */

/* Return: -1: not possible here. */
static int open_tap(const char *name, int flags)
{
	struct ifreq request = { .ifr_flags = (short)flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(request.ifr_name, name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	close_fdp(&fd);
	return -1;
}

static void set_up(const char *name, bool up)
{
	AUTO_CLOSE int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = up ? IFF_UP : 0 };

	strcpy(request.ifr_name, name);
	assert_int_equal(ioctl(control, SIOCSIFFLAGS, &request), 0);
}

/* The kernel is to send nothing of its own. */
static void silence(void)
{
	static const char *const files[] = { "/proc/sys/net/ipv6/conf/all/disable_ipv6",
					     "/proc/sys/net/ipv6/conf/default/disable_ipv6" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int fd = open(files[i], O_WRONLY | O_CLOEXEC);

		if (fd >= 0)
			assert_int_equal(write(fd, "1", 1), 1);
		close_fdp(&fd);
	}
}

static int open_packet_socket(const char *name)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	const struct sockaddr_ll address = { .sll_family = AF_PACKET,
					     .sll_protocol = htons(ETH_P_ALL),
					     .sll_ifindex = (int)if_nametoindex(name) };
	int on = 1;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	return fd;
}

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.packet = -1;
	for (size_t i = 0; i < sizeof(f.bytes); i++)
		f.bytes[i] = (uint8_t)(i * 5 + i / 253);
	memset(f.bytes, 0xff, 6);
	memset(f.bytes + 6, 0x02, 6);
	f.bytes[12] = TYPE >> 8;
	f.bytes[13] = TYPE & 0xff;
	assert_int_equal(loop_new(64, &f.loop), 0);
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	silence();
	strcpy(f.name, "tap0");
	for (unsigned i = 0; i < QUEUES; i++) {
		f.fds[i] = open_tap(f.name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
		if (f.fds[i] < 0)
			return 0;
	}
	set_up(f.name, true);
	f.packet = open_packet_socket(f.name);
	assert_int_equal(net_tap_new(f.loop, f.fds, QUEUES, &f.backend), 0);
	f.backend->ended = ended;
	return 0;
}

static int teardown(void **state)
{
	if (f.backend) {
		net_backend_close(f.backend, closed, NULL);
		await(f.closed);
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_false(f.buffers[i].out);
	loop_free(f.loop);
	close_fdp(&f.packet);
	return 0;
}

#define NEEDS_TAP       \
	if (!f.backend) \
	skip()

/* ---- Frames ---- */

static void send_frame(unsigned queue, size_t size, const struct virtio_net_hdr *header)
{
	f.sent = 0;
	f.frame = (struct net_frame){ .iov = f.frame_iov, .iov_count = 3, .sent = sent };
	if (header)
		f.frame.header = *header;
	f.frame_iov[0] = (struct iovec){ &f.frame.header, NET_HEADER_SIZE };
	f.frame_iov[1] = (struct iovec){ f.bytes, 40 };
	f.frame_iov[2] = (struct iovec){ f.bytes + 40, size - 40 };
	net_backend_send(f.backend, queue, &f.frame);
	await(f.sent);
	assert_int_equal(f.sent, 1);
}

static void give_buffer(unsigned queue, unsigned number, size_t size)
{
	struct buffer *buffer = &f.buffers[number];

	assert_false(buffer->out);
	buffer->out = true;
	buffer->buffer =
		(struct net_buffer){ .iov = buffer->iov, .iov_count = 3, .filled = filled };
	buffer->iov[0] = (struct iovec){ &buffer->buffer.header, NET_HEADER_SIZE };
	buffer->iov[1] = (struct iovec){ buffer->room, 1000 };
	buffer->iov[2] = (struct iovec){ buffer->room + 1000, size - 1000 };
	net_backend_receive(f.backend, queue, &buffer->buffer);
}

static void host_sends(const struct virtio_net_hdr *header, size_t size)
{
	static uint8_t packet[NET_HEADER_SIZE + sizeof(f.bytes)];

	memset(packet, 0, NET_HEADER_SIZE);
	if (header)
		memcpy(packet, header, NET_HEADER_SIZE);
	memcpy(packet + NET_HEADER_SIZE, f.bytes, size);
	assert_int_equal(write(f.packet, packet, NET_HEADER_SIZE + size), NET_HEADER_SIZE + size);
}

static size_t host_receives(struct virtio_net_hdr *header, uint8_t *frame, size_t size)
{
	static uint8_t packet[NET_HEADER_SIZE + sizeof(f.bytes)];

	struct pollfd readable = { .fd = f.packet, .events = POLLIN };
	ssize_t result;

	assert_int_equal(poll(&readable, 1, 10000), 1);
	result = read(f.packet, packet, sizeof(packet)) - NET_HEADER_SIZE;
	assert_in_range(result, NET_FRAME_MIN, size);
	memcpy(header, packet, NET_HEADER_SIZE);
	memcpy(frame, packet + NET_HEADER_SIZE, (size_t)result);
	return (size_t)result;
}

/* An IPv4 packet of TCP, whose checksum is to be filled in; its headers have 54 bytes. */
static struct virtio_net_hdr fill_tcp(size_t size, uint16_t segment_size)
{
	static const uint8_t ip[] = { 0x45, 0, 0,  0, 0, 1, 0x40, 0, 64, 6,
				      0,    0, 10, 0, 0, 1, 10,   0, 0,  2 };
	uint8_t *tcp = f.bytes + 34;
	uint32_t sum = 0;

	f.bytes[12] = 0x08;
	f.bytes[13] = 0x00;
	memcpy(f.bytes + 14, ip, sizeof(ip));
	f.bytes[16] = (uint8_t)((size - 14) >> 8);
	f.bytes[17] = (uint8_t)(size - 14);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)(f.bytes[i] << 8 | f.bytes[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	f.bytes[24] = (uint8_t)(sum >> 8);
	f.bytes[25] = (uint8_t)sum;
	memset(tcp, 0, 20);
	tcp[1] = 80;
	tcp[12] = 5 << 4;
	tcp[13] = 0x10;
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = segment_size ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE,
		.hdr_len = segment_size ? 54 : 0,
		.gso_size = segment_size,
		.csum_start = 34,
		.csum_offset = 16,
	};
}

/* ---- Tests ---- */

static void frames_to_the_host(void **state)
{
	struct virtio_net_hdr header;
	uint8_t frame[2000];

	NEEDS_TAP;
	for (unsigned queue = 0; queue < QUEUES + 1; queue++) {
		send_frame(queue, 1514, NULL);
		assert_int_equal(f.sent_result, 0);
		assert_int_equal(host_receives(&header, frame, sizeof(frame)), 1514);
		assert_memory_equal(frame, f.bytes, 1514);
		assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	}
}

/* What is left to the network goes to the host as it is: nothing here looks into frames. */
static void large_frames_to_the_host(void **state)
{
	static uint8_t frame[70000];
	struct virtio_net_hdr wanted, header;

	NEEDS_TAP;
	wanted = fill_tcp(60054, 1448);
	send_frame(0, 60054, &wanted);
	assert_int_equal(f.sent_result, 0);
	assert_int_equal(host_receives(&header, frame, sizeof(frame)), 60054);
	assert_memory_equal(frame, f.bytes, 60054);
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(header.gso_size, 1448);
	assert_int_equal(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(header.csum_start, 34);
	assert_int_equal(header.csum_offset, 16);
}

/* A header that makes no sense costs its frame, and nothing else. */
static void headers_that_are_refused(void **state)
{
	static const struct virtio_net_hdr headers[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 2000, .csum_offset = 16 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0, .hdr_len = 54 },
		{ .gso_type = 0x7f, .gso_size = 1448 },
	};
	struct virtio_net_hdr header;
	uint8_t frame[2000];

	NEEDS_TAP;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		send_frame(0, 1514, &headers[i]);
		assert_int_equal(f.sent_result, -EINVAL);
	}
	send_frame(0, 100, NULL);
	assert_int_equal(f.sent_result, 0);
	assert_int_equal(host_receives(&header, frame, sizeof(frame)), 100);
	assert_int_equal(f.ended, 0);
}

static void frames_to_the_guest(void **state)
{
	NEEDS_TAP;
	/* More than one read waits for, and the buffers before the frames and after them. */
	for (unsigned round = 0; round < 3; round++) {
		f.filled = 0;
		for (unsigned i = 0; i < BUFFERS; i++)
			give_buffer(i % QUEUES, i, 2000);
		for (unsigned i = 0; i < 40 && f.filled < BUFFERS / QUEUES; i++) {
			host_sends(NULL, 1000 + round);
			assert_int_equal(loop_run_once(f.loop, SECOND / 100), 0);
		}
		await(f.filled >= BUFFERS / QUEUES);
		assert_int_equal(f.last->result, 1000 + round);
		assert_memory_equal(f.last->room, f.bytes, 1000 + round);
		assert_int_equal(f.last->buffer.header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		net_backend_withdraw(f.backend);
		await(f.filled == BUFFERS);
	}
	assert_int_equal(f.ended, 0);
}

/* A guest that takes large frames gets them whole. */
static void large_frames_to_the_guest(void **state)
{
	struct virtio_net_hdr header;

	NEEDS_TAP;
	net_backend_set_offloads(f.backend, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);
	for (unsigned i = 0; i < QUEUES; i++)
		give_buffer(i, i, sizeof(f.buffers[i].room));
	header = fill_tcp(30054, 1448);
	host_sends(&header, 30054);
	await(f.filled == 1);
	assert_int_equal(f.last->result, 30054);
	assert_memory_equal(f.last->room, f.bytes, 30054);
	assert_int_equal(f.last->buffer.header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(f.last->buffer.header.gso_size, 1448);
}

/* For one that does not, the kernel cuts them up, and fills checksums in. */
static void large_frames_cut_for_the_guest(void **state)
{
	struct virtio_net_hdr header;
	size_t payload = 0;

	NEEDS_TAP;
	net_backend_set_offloads(f.backend, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);
	net_backend_set_offloads(f.backend, 0);
	header = fill_tcp(54 + 3 * 1000, 1000);
	host_sends(&header, 54 + 3 * 1000);
	for (unsigned i = 0; i < 3; i++) {
		f.filled = 0;
		/* The frames of a flow are in one queue. */
		give_buffer(0, 0, 2000);
		give_buffer(1, 1, 2000);
		await(f.filled == 1);
		payload += (size_t)f.last->result - 54;
		assert_int_equal(f.last->buffer.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_true(f.last->room[50] | f.last->room[51]);
		net_backend_withdraw(f.backend);
		await(f.filled == 2);
	}
	assert_int_equal(payload, 3000);
}

/* It fills the buffer to its end, by which the adapter knows it. */
static void frame_that_is_too_long(void **state)
{
	NEEDS_TAP;
	for (unsigned i = 0; i < QUEUES; i++)
		give_buffer(i, i, 1200);
	host_sends(NULL, 1500);
	await(f.filled == 1);
	assert_int_equal(f.last->result, 1200);
	assert_int_equal(f.ended, 0);
}

static void interface_that_is_down(void **state)
{
	uint8_t packet[2000];

	NEEDS_TAP;
	for (unsigned i = 0; i < QUEUES; i++)
		give_buffer(i, i, 2000);
	set_up(f.name, false);
	send_frame(0, 1514, NULL);
	assert_true(f.sent_result < 0);
	assert_int_equal(f.ended, 0);
	set_up(f.name, true);
	send_frame(0, 1514, NULL);
	assert_int_equal(f.sent_result, 0);
	/* The packet socket has been told that the interface was down. */
	while (read(f.packet, packet, sizeof(packet)) >= 0 || errno == ENETDOWN)
		;
	host_sends(NULL, 64);
	await(f.filled);
	assert_int_equal(f.last->result, 64);
}

static void interface_that_goes(void **state)
{
	NEEDS_TAP;
	for (unsigned i = 0; i < BUFFERS; i++)
		give_buffer(i % QUEUES, i, 2000);
	assert_int_equal(system("ip link delete tap0"), 0);
	await(f.ended);
	assert_int_equal(f.ended, 1);
	send_frame(0, 100, NULL);
	assert_true(f.sent_result < 0);
	net_backend_withdraw(f.backend);
	await(f.filled == BUFFERS);
	assert_int_equal(f.last->result, -ECANCELED);
}

static void buffers_that_come_back(void **state)
{
	NEEDS_TAP;
	for (unsigned round = 0; round < 3; round++) {
		f.filled = 0;
		for (unsigned i = 0; i < BUFFERS; i++)
			give_buffer(i % QUEUES, i, 2000);
		if (round > 0) /* with reads under way, too */
			assert_int_equal(loop_run_once(f.loop, 0), 0);
		net_backend_withdraw(f.backend);
		await(f.filled == BUFFERS);
		for (unsigned i = 0; i < BUFFERS; i++)
			assert_int_equal(f.buffers[i].result, -ECANCELED);
	}
	/* And those that teardown takes back. */
	for (unsigned i = 0; i < BUFFERS; i++)
		give_buffer(i % QUEUES, i, 2000);
	assert_int_equal(loop_run_once(f.loop, 0), 0);
}

/*
 * The caller keeps what was refused. A tap without IFF_NO_PI cannot be told from one with it: to
 * TUNGETIFF the bit means IFF_NOFILTER, too.
 */
static void descriptors_that_are_none(void **state)
{
	static const int flags[] = { IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, IFF_TAP | IFF_NO_PI };
	int pipes[2], many[NET_QUEUE_MAX + 1] = { 0 };
	struct net_backend *backend;

	NEEDS_TAP;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(net_tap_new(f.loop, pipes, 1, &backend), -EINVAL);
	assert_int_equal(net_tap_new(f.loop, &(int){ -1 }, 1, &backend), -EINVAL);
	assert_int_equal(net_tap_new(f.loop, many, 0, &backend), -EINVAL);
	assert_int_equal(net_tap_new(f.loop, many, NET_QUEUE_MAX + 1, &backend), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		AUTO_CLOSE int fd = open_tap("other%d", flags[i]);
		const int fds[] = { f.fds[0], fd };

		assert_true(fd >= 0);
		assert_int_equal(net_tap_new(f.loop, fds, 2, &backend), -EINVAL);
		assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	}
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_to_the_host),        TEST(large_frames_to_the_host),
		TEST(headers_that_are_refused),  TEST(frames_to_the_guest),
		TEST(large_frames_to_the_guest), TEST(large_frames_cut_for_the_guest),
		TEST(frame_that_is_too_long),    TEST(interface_that_is_down),
		TEST(interface_that_goes),       TEST(buffers_that_come_back),
		TEST(descriptors_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest, and who is on the host, may do to Hyper-V sockets.
 *
 * Input: steps, each a byte that says what, and what it needs: the guest connects, opens, closes,
 * sends (data, or a packet of the fuzzer's), reads or breaks its ring; the host connects, dials
 * with a line of the fuzzer's, answers, writes, reads, shuts down or goes. At the end the machine
 * is reset, and nothing may be left.
 */
#include "tests/fake/socket_guest.h"
#include "vsp/socket/socket_listener.h"
#include "vsp/socket/sockets.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define END_COUNT     4
#define CHANNEL_COUNT 4
#define RAM           (256 * HV_PAGE_SIZE)

struct input {
	const uint8_t *bytes;
	size_t size;
};

static struct fake *fake;
static struct sockets *sockets;
static struct socket_listener *listener;
static struct sockaddr_un listen_address;
static struct fake_channel channels[CHANNEL_COUNT];
static bool open_channels[CHANNEL_COUNT];
static int ends[END_COUNT]; /* of the host's programs */
static uint32_t last_request;
static unsigned waiting; /* connections that are to be told of */

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

static void asked(void *data, uint32_t request, uint32_t port)
{
	assert(port <= HV_SOCKET_PORT_MAX);
	last_request = request;
}

static void connected(void *data, int result, int fd, uint32_t port)
{
	assert(waiting > 0);
	assert((result == 0) == (fd >= 0));
	waiting--;
}

static int new_end(struct input *input)
{
	size_t i = take(input, 1) % END_COUNT;
	int pair[2];

	if (ends[i] >= 0)
		close(ends[i]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	ends[i] = pair[1];
	(void)!fcntl(ends[i], F_SETFL, O_NONBLOCK);
	return pair[0];
}

/* ---- The host's steps ---- */

static void host_connects(struct input *input)
{
	waiting++;
	sockets_connect(sockets, take(input, 1) << (take(input, 1) % 32), new_end(input), connected,
			NULL);
}

static void host_dials(struct input *input)
{
	static const char command[] = "CONNECT ";
	size_t i = take(input, 1) % END_COUNT, size = take(input, 1) % 48, known = size % 9;
	char line[64];

	if (ends[i] >= 0)
		close(ends[i]);
	ends[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (ends[i] < 0 ||
	    connect(ends[i], (struct sockaddr *)&listen_address, sizeof(listen_address)) < 0)
		return;
	memcpy(line, command, known);
	for (size_t j = known; j < size; j++)
		line[j] = (char)take(input, 1);
	(void)!write(ends[i], line, size);
	fake_run(fake);
}

static void make_listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	listen_address.sun_family = AF_UNIX;
	snprintf(listen_address.sun_path + 1, sizeof(listen_address.sun_path) - 1,
		 "fuzz-sockets-%d", (int)getpid());
	if (bind(fd, (struct sockaddr *)&listen_address, sizeof(listen_address)) < 0 ||
	    listen(fd, 64) < 0 || socket_listener_new(fake->loop, sockets, fd, 0, &listener) < 0)
		abort();
}

static void host_answers(struct input *input)
{
	uint8_t how = (uint8_t)take(input, 1);

	sockets_answer(sockets, how & 1 ? last_request : how / 2, how & 2 ? new_end(input) : -1);
}

static void host_writes(struct input *input)
{
	static const uint8_t bytes[8192];
	int end = ends[take(input, 1) % END_COUNT];

	if (end >= 0)
		(void)!write(end, bytes, take(input, 2) % sizeof(bytes));
}

static void host_reads(struct input *input)
{
	static uint8_t bytes[8192];
	int end = ends[take(input, 1) % END_COUNT];

	if (end >= 0)
		(void)!read(end, bytes, sizeof(bytes));
}

static void host_ends(struct input *input)
{
	uint8_t how = (uint8_t)take(input, 1);
	int *end = &ends[how % END_COUNT];

	if (*end < 0)
		return;
	if (how & 0x80) {
		close(*end);
		*end = -1;
	} else {
		(void)!shutdown(*end, how & 0x40 ? SHUT_WR : SHUT_RD);
	}
}

/* ---- The guest's steps ---- */

static void guest_connects(struct input *input)
{
	uint8_t bytes[sizeof(struct vmbus_message_tl_connect_request)] = { 0 };
	uint32_t type = VMBUS_MESSAGE_TL_CONNECT_REQUEST;

	if (take(input, 1) % 4) {
		socket_guest_connect(fake, take(input, 1), take(input, 1));
		return;
	}
	memcpy(bytes, &type, sizeof(type));
	for (size_t i = sizeof(struct vmbus_message_header); i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)take(input, 1);
	fake_post(fake, bytes, sizeof(bytes));
}

static void guest_opens(struct input *input)
{
	size_t i = take(input, 1) % CHANNEL_COUNT;

	fake_run(fake);
	if (open_channels[i] || fake->offer_count == 0 ||
	    fake->ram_used + 64 * 4096 > fake->ram_size)
		return;
	open_channels[i] = fake_open(fake, &fake->offers[take(input, 1) % fake->offer_count], 3,
				     2 + take(input, 1) % 3, 0, &channels[i]) == 0;
}

static void guest_closes(struct input *input)
{
	size_t i = take(input, 1) % CHANNEL_COUNT;
	struct vmbus_message_relid message = {
		.header.type = take(input, 1) & 1 ? VMBUS_MESSAGE_CLOSE_CHANNEL
						  : VMBUS_MESSAGE_RELID_RELEASED,
		.relid = channels[i].relid,
	};

	if (!open_channels[i])
		return;
	fake_post(fake, &message, sizeof(message));
	open_channels[i] = message.header.type != VMBUS_MESSAGE_RELID_RELEASED;
}

static void guest_sends(struct input *input)
{
	static const uint8_t bytes[4096];
	size_t i = take(input, 1) % CHANNEL_COUNT;
	uint32_t size = take(input, 2) % sizeof(bytes);

	if (open_channels[i])
		(void)socket_guest_send(&channels[i], bytes, size);
}

static void guest_says_anything(struct input *input)
{
	size_t i = take(input, 1) % CHANNEL_COUNT;
	uint8_t message[32];
	uint32_t size = take(input, 1) % sizeof(message);
	uint8_t how = (uint8_t)take(input, 1);

	for (uint32_t j = 0; j < size; j++)
		message[j] = (uint8_t)take(input, 1);
	if (!open_channels[i])
		return;
	if (how & 2)
		channels[i].out.control->write_index = how * 24u;
	fake_send(&channels[i], how & 1 ? RING_PACKET_COMPLETION : RING_PACKET_INBAND, 0, 0,
		  message, size);
}

static void guest_reads(struct input *input)
{
	size_t i = take(input, 1) % CHANNEL_COUNT;
	uint8_t bytes[16];

	if (open_channels[i])
		while (socket_guest_receive_now(&channels[i], bytes, sizeof(bytes)) >= 0)
			;
}

static void guest_goes(struct input *input)
{
	uint32_t version = take(input, 1) & 1 ? VMBUS_VERSION_5_3 : VMBUS_VERSION_3_0;

	(void)fake_connect(fake, version);
	(void)fake_request_offers(fake);
	memset(open_channels, 0, sizeof(open_channels));
}

static void (*const steps[])(struct input *input) = {
	host_connects,  host_answers, host_writes,  host_reads,  host_ends,
	guest_connects, guest_opens,  guest_closes, guest_sends, guest_says_anything,
	guest_reads,    guest_goes,   host_dials,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sockets_callbacks callbacks = { .connect = asked };
	struct input input = { .bytes = data, .size = size };
	bool ok;

	if (!fake) {
		signal(SIGPIPE, SIG_IGN);
		fake = fake_new(1, RAM);
		if (sockets_new(fake->bus, 0, &callbacks, NULL, &sockets) < 0)
			abort();
		make_listener();
	}
	fake_choose_waits(fake, data, size);
	for (unsigned i = 0; i < END_COUNT; i++)
		ends[i] = -1;
	memset(open_channels, 0, sizeof(open_channels));
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake);
	assert(ok);
	while (input.size > 0) {
		steps[take(&input, 1) % ARRAY_SIZE(steps)](&input);
		fake_run(fake);
		assert(sockets_count(sockets) <= SOCKETS_MAX);
	}
	fake_stop(fake);
	assert(waiting == 0);
	assert(sockets_count(sockets) == 0);
	for (unsigned i = 0; i < END_COUNT; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	fake->ram_used = HV_PAGE_SIZE;
	memset(fake->ram, 0, fake->ram_size);
	return 0;
}

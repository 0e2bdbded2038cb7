/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V sockets: connections both ways, back-pressure, half-close, ends that vanish, guests that
 * do not play along, and the listening socket of the host.
 */
#include "common/base/json.h"
#include "common/base/state.h"
#include "tests/fake/socket_guest.h"
#include "tests/unit/unit.h"
#include "vsp/socket/socket_listener.h"
#include "vsp/socket/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT    5000u
#define SHORTLY 1000000u /* nanoseconds: a time-out that is to run out */

struct fixture {
	struct fake *fake;
	struct sockets *sockets;
	struct socket_listener *listener;
	struct fake_channel channel;
	int host; /* the host's program's end of a connection, non-blocking; or -1 */

	/* What the provider told. */
	unsigned asked, connected;
	uint32_t request, asked_port, port;
	int result;
};

static void asked(void *data, uint32_t request, uint32_t port)
{
	struct fixture *f = data;

	f->asked++;
	f->request = request;
	f->asked_port = port;
}

static const struct sockets_callbacks callbacks = { .connect = asked };

static void connected(void *data, int result, int fd, uint32_t port)
{
	struct fixture *f = data;

	assert_true((result == 0) == (fd >= 0));
	f->connected++;
	f->result = result;
	f->port = port;
}

static void make(struct fixture *f, uint64_t timeout_ns, uint32_t version)
{
	f->fake = fake_new(2, 16 << 20);
	assert_int_equal(sockets_new(f->fake->bus, timeout_ns, &callbacks, f, &f->sockets), 0);
	assert_true(fake_connect(f->fake, version));
	assert_true(fake_request_offers(f->fake));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->host = -1;
	make(f, 0, VMBUS_VERSION_5_3);
	*state = f;
	return 0;
}

static void unmake(struct fixture *f)
{
	fake_stop(f->fake);
	assert_int_equal(sockets_count(f->sockets), 0);
	socket_listener_free(f->listener);
	f->listener = NULL;
	sockets_free(f->sockets);
	fake_free(f->fake);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unmake(f);
	if (f->host >= 0)
		close(f->host);
	free(f);
	return 0;
}

/* Makes it all anew. */
static void make_again(struct fixture *f, uint64_t timeout_ns, uint32_t version)
{
	unmake(f);
	make(f, timeout_ns, version);
}

/* ---- The host's program ---- */

/* Return: the end for the provider; f->host is the other. */
static int host_pair(struct fixture *f)
{
	int pair[2];

	if (f->host >= 0)
		close(f->host);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->host = pair[1];
	assert_int_equal(fcntl(f->host, F_SETFL, O_NONBLOCK), 0);
	return pair[0];
}

struct reading {
	struct fixture *f;
	char *bytes;
	size_t size, have;
	bool end;
};

static bool has_read(void *data)
{
	struct reading *reading = data;
	ssize_t n = read(reading->f->host, reading->bytes + reading->have,
			 reading->size - reading->have);

	if (n > 0)
		reading->have += (size_t)n;
	reading->end = n == 0 || (n < 0 && errno == ECONNRESET);
	return reading->have == reading->size || reading->end;
}

/* Runs the host until its program has read that text. */
static void expect_at_host(struct fixture *f, const char *text)
{
	char bytes[256] = "";
	struct reading reading = { .f = f, .bytes = bytes, .size = strlen(text) };

	assert_true(fake_run_until(f->fake, has_read, &reading));
	assert_string_equal(bytes, text);
}

/* No more comes. */
static void expect_end_at_host(struct fixture *f)
{
	char byte;
	struct reading reading = { .f = f, .bytes = &byte, .size = 1 };

	assert_true(fake_run_until(f->fake, has_read, &reading));
	assert_true(reading.end);
}

static void host_writes(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->host, text, strlen(text)), strlen(text));
}

/* ---- The guest's program ---- */

static void expect_at_guest(struct fixture *f, const char *text)
{
	char bytes[256] = "";

	assert_int_equal(socket_guest_receive(&f->channel, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void expect_end_at_guest(struct fixture *f)
{
	assert_int_equal(socket_guest_receive(&f->channel, NULL, 0), 0);
}

static bool is_rescinded(void *data)
{
	struct fixture *f = data;

	for (size_t i = 0; i < f->fake->offer_count; i++)
		if (f->fake->offers[i].relid == f->channel.relid)
			return false;
	return true;
}

static void expect_rescission(struct fixture *f)
{
	assert_true(fake_run_until(f->fake, is_rescinded, f));
}

static bool was_connected(void *data)
{
	struct fixture *f = data;

	return f->connected > 0;
}

static void expect_connected(struct fixture *f, int result)
{
	assert_true(fake_run_until(f->fake, was_connected, f));
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->result, result);
	f->connected = 0;
}

static void connect_to_guest(struct fixture *f, uint32_t ring_pages)
{
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	assert_true(
		socket_guest_open(f->fake, HV_SOCKET_SERVICE(PORT), NULL, ring_pages, &f->channel));
	expect_connected(f, 0);
}

static void connect_to_host(struct fixture *f, uint32_t guest_port)
{
	const struct guid instance = HV_SOCKET_SERVICE(guest_port);

	socket_guest_connect(f->fake, guest_port, PORT);
	assert_int_equal(f->asked, 1);
	assert_int_equal(f->asked_port, PORT);
	f->asked = 0;
	sockets_answer(f->sockets, f->request, host_pair(f));
	assert_true(socket_guest_open(f->fake, HV_SOCKET_SERVICE(PORT), &instance, 7, &f->channel));
	fake_run(f->fake);
}

static void expect_refusal(struct fixture *f)
{
	struct vmbus_message_tl_connect_result result;

	assert_true(fake_await(f->fake, VMBUS_MESSAGE_TL_CONNECT_RESULT, &result, sizeof(result)));
	assert_int_equal(result.status, VMBUS_STATUS_CONNECTION_REFUSED);
}

/* ---- Connections ---- */

static void test_host_connects(void **state)
{
	struct fixture *f = *state;
	const struct vmbus_message_offer_channel *offer;
	struct hv_socket_offer parameters;

	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	offer = fake_find_offer(f->fake, &HV_SOCKET_SERVICE(PORT), NULL, 0);
	assert_non_null(offer);
	assert_int_equal(offer->flags,
			 VMBUS_OFFER_ENUMERATE | VMBUS_OFFER_NAMED_PIPE | VMBUS_OFFER_SOCKET);
	memcpy(&parameters, offer->user_defined, sizeof(parameters));
	assert_int_equal(parameters.pipe_mode, VMBUS_PIPE_MODE_BYTE);
	assert_int_equal(parameters.from_host, 1);
	assert_int_equal(f->connected, 0);
	/* What is written before the guest has taken it is not lost. */
	host_writes(f, "early");
	assert_int_equal(fake_open(f->fake, offer, 7, 7, 0, &f->channel), 0);
	expect_connected(f, 0);
	assert_true(f->port > HV_SOCKET_PORT_MAX);
	assert_true(guid_equal(&offer->instance, &HV_SOCKET_SERVICE(f->port)));
	expect_at_guest(f, "early");
	assert_true(socket_guest_send(&f->channel, "answer", 6));
	expect_at_host(f, "answer");
	host_writes(f, "odd");
	expect_at_guest(f, "odd");
}

static void test_guest_connects(void **state)
{
	struct fixture *f = *state;
	struct hv_socket_offer parameters;
	const struct guid endpoint = HV_SOCKET_SERVICE(1024);

	connect_to_host(f, 1024);
	memcpy(&parameters,
	       fake_find_offer(f->fake, &HV_SOCKET_SERVICE(PORT), &endpoint, 0)->user_defined,
	       sizeof(parameters));
	assert_int_equal(parameters.from_host, 0);
	assert_true(socket_guest_send(&f->channel, "hello", 5));
	expect_at_host(f, "hello");
	host_writes(f, "you");
	expect_at_guest(f, "you");
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_TL_CONNECT_RESULT));
}

static int64_t number(struct json_object *tree, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(tree, key, &value));
	return json_object_get_int64(value);
}

static void test_inspection(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *connections = NULL;
	struct json_object *connection;
	uint32_t next = 7;

	connect_to_guest(f, 7);
	assert_true(socket_guest_send(&f->channel, NULL, 0));
	expect_end_at_host(f);
	connections = sockets_inspect(f->sockets, 0, 64, &next);
	assert_int_equal(next, 0);
	assert_int_equal(json_object_array_length(connections), 1);
	connection = json_object_array_get_idx(connections, 0);
	assert_int_equal(number(connection, "guest_port"), PORT);
	assert_int_equal(number(connection, "relid"), f->channel.relid);
	assert_int_equal(number(connection, "guest_done"), 1);
	assert_int_equal(number(connection, "host_done"), 0);
	json_object_put(connections);
	connections = sockets_inspect(f->sockets, 1, 64, &next);
	assert_int_equal(json_object_array_length(connections), 0);
}

/* Either side says its last first; the other goes on. Only then the offer is taken back. */
static void test_half_close(void **state)
{
	struct fixture *f = *state;

	connect_to_guest(f, 7);
	assert_true(socket_guest_send(&f->channel, "last", 4));
	assert_true(socket_guest_send(&f->channel, NULL, 0));
	expect_at_host(f, "last");
	expect_end_at_host(f);
	host_writes(f, "more");
	expect_at_guest(f, "more");
	assert_false(is_rescinded(f));
	assert_int_equal(shutdown(f->host, SHUT_WR), 0);
	expect_end_at_guest(f);
	expect_rescission(f);
	socket_guest_close(&f->channel);
	assert_int_equal(sockets_count(f->sockets), 0);

	connect_to_guest(f, 7);
	host_writes(f, "last");
	assert_int_equal(shutdown(f->host, SHUT_WR), 0);
	expect_at_guest(f, "last");
	expect_end_at_guest(f);
	assert_true(socket_guest_send(&f->channel, "more", 4));
	expect_at_host(f, "more");
	assert_false(is_rescinded(f));
	assert_true(socket_guest_send(&f->channel, NULL, 0));
	expect_end_at_host(f);
	expect_rescission(f);
	socket_guest_close(&f->channel);
	assert_int_equal(sockets_count(f->sockets), 0);
}

/* The guest may read at leisure what came before the end, with the host's program long gone. */
static void test_data_outlive_the_host(void **state)
{
	struct fixture *f = *state;
	char bytes[4096];
	uint32_t sum = 0;
	int n;

	connect_to_guest(f, 7);
	assert_true(socket_guest_send(&f->channel, NULL, 0));
	expect_end_at_host(f);
	memset(bytes, 'x', sizeof(bytes));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(write(f->host, bytes, sizeof(bytes)), sizeof(bytes));
	close(f->host);
	f->host = -1;
	expect_rescission(f);
	while ((n = socket_guest_receive(&f->channel, bytes, sizeof(bytes))) > 0)
		sum += (uint32_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(sum, 4 * sizeof(bytes));
	assert_int_equal(sockets_count(f->sockets), 1);
	socket_guest_close(&f->channel);
	assert_int_equal(sockets_count(f->sockets), 0);
}

/* ---- Back-pressure ---- */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + at / 4093);
}

static void fill_pattern(uint8_t *bytes, size_t size, uint64_t at)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern(at + i);
}

static void check_pattern(const uint8_t *bytes, size_t size, uint64_t at)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], pattern(at + i));
}

/* The host's program writes until it has to wait, whatever the guest reads of it later. */
static void test_guest_does_not_read(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[4096];
	uint64_t written = 0, received = 0;
	ssize_t n;
	int size;

	connect_to_guest(f, 2);
	fill_pattern(bytes, sizeof(bytes), 0);
	while ((n = write(f->host, bytes, sizeof(bytes))) > 0) {
		written += (uint64_t)n;
		fill_pattern(bytes, sizeof(bytes), written);
		fake_settle(f->fake);
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(shutdown(f->host, SHUT_WR), 0);
	while ((size = socket_guest_receive(&f->channel, bytes, sizeof(bytes))) > 0) {
		check_pattern(bytes, (size_t)size, received);
		received += (uint64_t)size;
	}
	assert_int_equal(size, 0);
	assert_int_equal(received, written);
}

/* The guest writes until its ring is full, and nothing grows meanwhile. */
static void test_host_does_not_read(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[4088];
	uint64_t sent = 0, received = 0;
	bool fits = true;
	ssize_t n;

	connect_to_guest(f, 7);
	while (fits) {
		uint32_t size = 1 + (uint32_t)(sent * 7 % sizeof(bytes));

		fill_pattern(bytes, size, sent);
		fits = socket_guest_send(&f->channel, bytes, size);
		if (!fits) {
			fake_settle(f->fake);
			fits = socket_guest_send(&f->channel, bytes, size);
		}
		sent += fits ? size : 0;
	}
	assert_true(sent < 4 << 20);
	while (received < sent) {
		n = read(f->host, bytes, sizeof(bytes));
		if (n < 0)
			fake_run(f->fake);
		assert_true(n != 0);
		if (n > 0) {
			check_pattern(bytes, (size_t)n, received);
			received += (uint64_t)n;
		}
	}
	assert_true(socket_guest_send(&f->channel, NULL, 0));
	expect_end_at_host(f);
}

/* ---- Ends that vanish ---- */

/* What the guest still sends goes nowhere; the host's end of the connection is not waited for. */
static void test_host_vanishes(void **state)
{
	struct fixture *f = *state;

	connect_to_guest(f, 7);
	close(f->host);
	f->host = -1;
	expect_end_at_guest(f);
	assert_false(is_rescinded(f));
	assert_true(socket_guest_send(&f->channel, "nobody", 6));
	expect_rescission(f);
	socket_guest_close(&f->channel);
	assert_int_equal(sockets_count(f->sockets), 0);
}

static void test_guest_closes(void **state)
{
	struct fixture *f = *state;

	connect_to_guest(f, 7);
	fake_run(f->fake);
	assert_true(fake_close(&f->channel));
	expect_end_at_host(f);
	expect_rescission(f);
	assert_int_equal(sockets_count(f->sockets), 0);
	/* While a write is under way. */
	connect_to_guest(f, 64);
	for (unsigned i = 0; i < 200; i++) {
		uint8_t bytes[4088] = { 0 };

		(void)socket_guest_send(&f->channel, bytes, sizeof(bytes));
		fake_run(f->fake);
	}
	assert_true(fake_close(&f->channel));
	assert_int_equal(sockets_count(f->sockets), 0);
}

static void test_guest_leaves(void **state)
{
	struct fixture *f = *state;

	connect_to_guest(f, 7);
	assert_true(fake_unload(f->fake));
	expect_end_at_host(f);
	assert_int_equal(sockets_count(f->sockets), 0);
	/* Of what was under way the next guest hears nothing. */
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	socket_guest_connect(f->fake, 1024, PORT);
	assert_int_equal(f->asked, 1);
	fake_stop(f->fake);
	expect_connected(f, SOCKETS_E_GONE);
	expect_end_at_host(f);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_int_equal(f->fake->offer_count, 0);
	sockets_answer(f->sockets, f->request, host_pair(f));
	expect_end_at_host(f);
	assert_int_equal(sockets_count(f->sockets), 0);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_TL_CONNECT_RESULT));
}

/* ---- Refusals ---- */

static void test_nobody_listens_in_the_guest(void **state)
{
	struct fixture *f = *state;

	make_again(f, SHORTLY, VMBUS_VERSION_5_3);
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	expect_connected(f, SOCKETS_E_REFUSED);
	expect_end_at_host(f);
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 0);
	assert_int_equal(sockets_count(f->sockets), 0);
}

static void test_nobody_answers_the_guest(void **state)
{
	struct fixture *f = *state;

	make_again(f, SHORTLY, VMBUS_VERSION_5_3);
	socket_guest_connect(f->fake, 1024, PORT);
	assert_int_equal(f->asked, 1);
	expect_refusal(f);
	/* And what comes too late goes nowhere. */
	sockets_answer(f->sockets, f->request, host_pair(f));
	expect_end_at_host(f);
}

static void test_guest_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_tl_connect_request request = {
		.header.type = VMBUS_MESSAGE_TL_CONNECT_REQUEST,
		.service = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
	};

	socket_guest_connect(f->fake, 1024, PORT);
	sockets_answer(f->sockets, f->request, -1);
	expect_refusal(f);
	assert_int_equal(f->asked, 1);
	/* No service of a port; no port to listen on. */
	fake_post(f->fake, &request, sizeof(request));
	expect_refusal(f);
	socket_guest_connect(f->fake, 1024, HV_SOCKET_PORT_MAX + 1);
	expect_refusal(f);
	assert_int_equal(f->asked, 1);
	/* Twice the same, while it is asked for and while it is there. */
	socket_guest_connect(f->fake, 1024, PORT);
	socket_guest_connect(f->fake, 1024, PORT);
	expect_refusal(f);
	assert_int_equal(f->asked, 2);
	sockets_answer(f->sockets, f->request, host_pair(f));
	socket_guest_connect(f->fake, 1024, PORT);
	expect_refusal(f);
	assert_int_equal(f->asked, 2);
	assert_int_equal(sockets_count(f->sockets), 1);
}

static void test_old_guests(void **state)
{
	struct fixture *f = *state;

	make_again(f, 0, VMBUS_VERSION_3_0);
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	expect_connected(f, SOCKETS_E_ABSENT);
	socket_guest_connect(f->fake, 1024, PORT);
	expect_refusal(f);
	assert_int_equal(f->asked, 0);
	make_again(f, 0, VMBUS_VERSION_4_0);
	connect_to_host(f, 1024);
	assert_true(fake_unload(f->fake));
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	expect_connected(f, SOCKETS_E_ABSENT);
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < SOCKETS_ASKED_MAX + 3; i++)
		socket_guest_connect(f->fake, 1024 + i, PORT);
	assert_int_equal(f->asked, SOCKETS_ASKED_MAX);
	for (unsigned i = 0; i < 3; i++)
		expect_refusal(f);
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	assert_int_equal(f->connected, 0);
	sockets_connect(f->sockets, PORT, host_pair(f), connected, f);
	expect_connected(f, SOCKETS_E_LIMIT);
	assert_int_equal(sockets_count(f->sockets), SOCKETS_MAX);
	sockets_answer(f->sockets, f->request, host_pair(f));
	expect_refusal(f);
	assert_int_equal(f->connected, 0);
	fake_stop(f->fake);
	assert_int_equal(f->connected, SOCKETS_MAX);
}

/* A guest that never gives a relid back loses the relid, and we lose nothing. */
static void test_descriptors_do_not_leak(void **state)
{
	struct fixture *f = *state;
	int before, after;

	connect_to_guest(f, 2);
	assert_true(fake_close(&f->channel));
	fake_settle(f->fake);
	before = dup(0);
	close(before);
	for (unsigned i = 0; i < 20; i++) {
		connect_to_guest(f, 2);
		assert_true(fake_close(&f->channel));
		fake_settle(f->fake);
		assert_int_equal(sockets_count(f->sockets), 0);
	}
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

static void test_guest_breaks_the_protocol(void **state)
{
	static const struct {
		uint16_t type;
		struct hv_socket_header header;
		uint32_t size;
	} packets[] = {
		{ RING_PACKET_INBAND, { 2, 0 }, 8 },
		{ RING_PACKET_INBAND, { HV_SOCKET_DATA, 1 }, 8 },
		{ RING_PACKET_INBAND, { HV_SOCKET_DATA, UINT32_MAX }, 8 },
		{ RING_PACKET_INBAND, { HV_SOCKET_DATA, 0 }, 0 },
		{ RING_PACKET_COMPLETION, { HV_SOCKET_DATA, 0 }, 8 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		connect_to_guest(f, 7);
		assert_true(fake_send(&f->channel, packets[i].type, 0, 0, &packets[i].header,
				      packets[i].size));
		expect_end_at_host(f);
		expect_rescission(f);
		assert_int_equal(sockets_count(f->sockets), 0);
	}
	connect_to_guest(f, 7);
	f->channel.out.control->write_index = 12;
	fake_signal(&f->channel);
	expect_end_at_host(f);
	assert_int_equal(sockets_count(f->sockets), 0);
}

/* ---- The listening socket ---- */

static struct sockaddr_un listen_address;

static void make_listener(struct fixture *f, uint64_t timeout_ns)
{
	static unsigned number;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* An abstract one, which leaves nothing behind; the kernel may keep it for a moment. */
	memset(&listen_address, 0, sizeof(listen_address));
	listen_address.sun_family = AF_UNIX;
	snprintf(listen_address.sun_path + 1, sizeof(listen_address.sun_path) - 1,
		 "test-sockets-%d-%u", (int)getpid(), number++);
	assert_int_equal(bind(fd, (struct sockaddr *)&listen_address, sizeof(listen_address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(
		socket_listener_new(f->fake->loop, f->sockets, fd, timeout_ns, &f->listener), 0);
}

static void dial(struct fixture *f)
{
	if (f->host >= 0)
		close(f->host);
	f->host = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(f->host, (struct sockaddr *)&listen_address, sizeof(listen_address)), 0);
	assert_int_equal(fcntl(f->host, F_SETFL, O_NONBLOCK), 0);
}

static void test_listener(void **state)
{
	struct fixture *f = *state;
	char ok[64];
	uint32_t port;

	make_listener(f, 0);
	for (unsigned i = 0; i < 3; i++) {
		const struct vmbus_message_offer_channel *offer;

		dial(f);
		/* In pieces, and with what is not of the line. */
		host_writes(f, "CONN");
		fake_settle(f->fake);
		host_writes(f, "ECT 5000\nbeyond");
		offer = fake_find_offer(f->fake, &HV_SOCKET_SERVICE(PORT), NULL, 0);
		assert_non_null(offer);
		memcpy(&port, offer->instance.bytes, sizeof(port));
		assert_int_equal(fake_open(f->fake, offer, 7, 7, 0, &f->channel), 0);
		snprintf(ok, sizeof(ok), "OK %u\n", port);
		expect_at_host(f, ok);
		expect_at_guest(f, "beyond");
		assert_true(socket_guest_send(&f->channel, "there", 5));
		expect_at_host(f, "there");
		assert_true(fake_close(&f->channel));
	}
}

static void test_listener_hangs_up(void **state)
{
	static const char *const lines[] = {
		"\n",
		"CONNECT \n",
		"CONNECT 5x\n",
		"connect 5\n",
		"CONNECT -5\n",
		"CONNECT 4294967296\n",
		"CONNECT 99999999999999999999999999999\n",
		"CONNECT 2147483648\n",
	};
	struct fixture *f = *state;

	make_listener(f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		dial(f);
		host_writes(f, lines[i]);
		expect_end_at_host(f);
	}
	assert_int_equal(sockets_count(f->sockets), 0);
}

/* Who says nothing keeps others waiting, but not for ever. */
static void test_listener_is_bounded(void **state)
{
	struct fixture *f = *state;
	int silent[SOCKET_LISTENER_MAX];

	make_listener(f, SHORTLY);
	for (unsigned i = 0; i < SOCKET_LISTENER_MAX; i++) {
		dial(f);
		silent[i] = TAKE_FD(f->host);
	}
	dial(f);
	host_writes(f, "CONNECT 5000\n");
	assert_true(socket_guest_open(f->fake, HV_SOCKET_SERVICE(PORT), NULL, 7, &f->channel));
	expect_at_host(f, "OK 2147483648\n");
	for (unsigned i = 0; i < SOCKET_LISTENER_MAX; i++)
		close(silent[i]);
}

static void test_listener_wants_a_listening_socket(void **state)
{
	struct fixture *f = *state;
	int fd = host_pair(f);

	assert_int_equal(socket_listener_new(f->fake->loop, f->sockets, fd, 0, &f->listener),
			 -EINVAL);
	close(fd);
}

/* ---- State ---- */

static void nothing(void *data)
{
}

static void save(struct fixture *f, struct state_writer *writer)
{
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	sockets_quiesce(f->sockets);
	fake_settle(f->fake);
	fake_save_bus(f->fake, writer);
	sockets_save(f->sockets, "sockets", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

static void restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	assert_int_equal(sockets_count(f->sockets), 0);
	sockets_free(f->sockets);
	fake_arrive(f->fake);
	assert_int_equal(sockets_new(f->fake->bus, 0, &callbacks, f, &f->sockets), 0);
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	assert_int_equal(sockets_restore(f->sockets, "sockets", &reader), 0);
}

static void move(struct fixture *f)
{
	struct state_writer first, second;

	save(f, &first);
	restore(f, &first);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
	fake_go_on(f->fake);
	sockets_resume(f->sockets);
}

static void test_streams_end_when_the_guest_moves(void **state)
{
	struct fixture *f = *state;
	uint32_t port;

	connect_to_guest(f, 7);
	port = f->port;
	assert_true(socket_guest_send(&f->channel, "before", 6));
	expect_at_host(f, "before");
	move(f);
	expect_rescission(f);
	socket_guest_close(&f->channel);
	/* And it connects anew, both ways. */
	connect_to_guest(f, 7);
	assert_true(f->port > port);
	assert_true(socket_guest_send(&f->channel, "after", 5));
	expect_at_host(f, "after");
	host_writes(f, "too");
	expect_at_guest(f, "too");
	connect_to_host(f, 1024);
	assert_true(socket_guest_send(&f->channel, "hello", 5));
	expect_at_host(f, "hello");
}

static void test_what_was_not_answered_is_refused(void **state)
{
	struct fixture *f = *state;

	socket_guest_connect(f->fake, 1024, PORT);
	assert_int_equal(f->asked, 1);
	f->asked = 0;
	move(f);
	expect_refusal(f);
	sockets_answer(f->sockets, f->request, -1);
	connect_to_host(f, 1024);
}

/* What comes meanwhile is not lost where the VM was only stopped for a while. */
static void test_quiet_streams(void **state)
{
	struct fixture *f = *state;
	char bytes[8];

	connect_to_guest(f, 7);
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	sockets_quiesce(f->sockets);
	host_writes(f, "later");
	assert_true(socket_guest_send(&f->channel, "then", 4));
	fake_settle(f->fake);
	assert_int_equal(socket_guest_receive_now(&f->channel, bytes, sizeof(bytes)), -1);
	vmbus_resume(f->fake->bus);
	sockets_resume(f->sockets);
	expect_at_guest(f, "later");
	expect_at_host(f, "then");
}

static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused = 0;

	socket_guest_connect(f->fake, 1024, PORT);
	save(f, &writer);
	restore(f, &writer);
	for (size_t at = 0; at < writer.size; at++) {
		writer.bytes[at] ^= 0x81;
		if (state_reader_init(&reader, writer.bytes, writer.size) == 0)
			refused += sockets_restore(f->sockets, "sockets", &reader) != 0;
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 8);
	sockets_resume(f->sockets);
	state_writer_deinit(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_host_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_streams_end_when_the_guest_moves, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_was_not_answered_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_quiet_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_record_is_survived, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inspection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_data_outlive_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_vanishes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_listens_in_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_answers_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_do_not_leak, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_breaks_the_protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listener, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listener_hangs_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listener_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listener_wants_a_listening_socket, setup,
						teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The adapters of a machine: as they are attached, connected, disconnected and taken away. */
#include "common/base/cc.h"
#include "tests/fake/netvsc.h"
#include "tests/unit/unit.h"
#include "vmwp/device/devices.h"
#include "vmwp/resource/resources.h"
#include "vsp/network/network.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fixture {
	struct fake *fake;
	struct definition *definition;
	struct resources *resources;
	struct device_config config;
	struct adapters *adapters;
	struct failure failure;
	unsigned ended, connected, gone;
	char ended_name[DEFINITION_ADAPTER_NAME_MAX + 1];
} f;

static void take_ended(void *data, const char *name)
{
	f.ended++;
	snprintf(f.ended_name, sizeof(f.ended_name), "%s", name);
}

static void take_connected(void *data, const char *name)
{
	f.connected++;
}

static void take_gone(void *data)
{
	f.gone++;
}

/* nic0 with a socket, nic1 with nothing. */
static int setup(void **state)
{
	static const struct devices_callbacks callbacks = { .network_ended = take_ended,
							    .network_connected = take_connected };
	static const char text[] =
		"{\"name\": \"t\", \"boot\": {\"kernel\": \"/k\"}, \"processors\": {\"count\": 2}, "
		"\"network_adapters\": [{\"mac\": \"02:56:4d:00:00:0a\"}, {}]}";
	struct json_error error;
	char name[RESOURCES_NAME_MAX];
	int pair[2];

	memset(&f, 0, sizeof(f));
	f.fake = fake_new(2, 16 << 20);
	assert_int_equal(definition_parse(text, strlen(text), &f.definition, &error), 0);
	assert_int_equal(resources_new(&f.resources), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	resources_socket_name("nic0", name);
	assert_int_equal(resources_put(f.resources, name, pair[0]), 0);
	f.config = (struct device_config){
		.loop = f.fake->loop,
		.bus = f.fake->bus,
		.definition = f.definition,
		.resources = f.resources,
		.callbacks = &callbacks,
	};
	assert_int_equal(adapters_ops.make(&f.config, (void **)&f.adapters, &f.failure), 0);
	assert_true(fake_connect(f.fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f.fake));
	*state = (void *)(intptr_t)pair[1];
	return 0;
}

static int teardown(void **state)
{
	fake_stop(f.fake);
	adapters_ops.free(f.adapters);
	resources_free(f.resources);
	definition_free(f.definition);
	fake_free(f.fake);
	return 0;
}

static int peer_of(void **state)
{
	return (int)(intptr_t)*state;
}

/* What the status says of the adapter that has this place in it. */
static const char *status_of(struct json_object *status, size_t index, const char *key)
{
	struct json_object *object = json_object_array_get_idx(status, index);

	return json_object_get_string(json_object_object_get(object, key));
}

static void assert_adapter(size_t index, const char *name, const char *backend)
{
	struct json_object *tree = json_object_new_object(), *status;

	adapters_ops.status(f.adapters, &tree);
	status = json_object_object_get(tree, "network");
	assert_true(index < json_object_array_length(status));
	assert_string_equal(status_of(status, index, "name"), name);
	assert_string_equal(status_of(status, index, "backend"), backend);
	assert_string_equal(status_of(status, index, "link"),
			    strcmp(backend, "none") == 0 ? "false" : "true");
	json_object_put(tree);
}

/* What the statistics say of all adapters, those that have gone too. */
static uint64_t counter_of(const char *key)
{
	struct json_object *tree = json_object_new_object(), *network;
	uint64_t value;

	adapters_ops.counters(f.adapters, &tree);
	network = json_object_object_get(tree, "network");
	assert_true(json_object_object_get_ex(network, key, NULL));
	value = json_object_get_uint64(json_object_object_get(network, key));
	json_object_put(tree);
	return value;
}

static int attach(const char *name, enum control_backend backend, const int *fds, unsigned count)
{
	char text[100];
	struct definition_adapter adapter;
	struct json_error error;
	struct json_object *object;
	int r;

	snprintf(text, sizeof(text), "{\"name\": \"%s\"}", name);
	object = json_tokener_parse(text);
	assert_int_equal(definition_adapter_from_json(object, NULL, &adapter, &error), 0);
	memset(&f.failure, 0, sizeof(f.failure));
	r = adapters_attach(f.adapters, &adapter, backend, fds, count, &f.failure);
	definition_adapter_deinit(&adapter);
	json_object_put(object);
	return r;
}

static void test_as_defined(void **state)
{
	assert_adapter(0, "nic0", "socket");
	assert_adapter(1, "nic1", "none");
	assert_int_equal(f.connected, 2);
	assert_string_equal(adapters_name(f.adapters, 0), "nic0");
	assert_null(adapters_name(f.adapters, 2));
	assert_memory_equal(adapters_mac(f.adapters, 0), "\x02\x56\x4d\x00\x00\x0a", 6);
	/* The other's is derived, and not the first one's. */
	assert_memory_equal(adapters_mac(f.adapters, 1), "\x02\x56\x4d", 3);
	assert_memory_not_equal(adapters_mac(f.adapters, 1), adapters_mac(f.adapters, 0), 6);
	close(peer_of(state));
}

/* Whoever is at the other end goes: the link is down, and its owner may bring another. */
static void test_network_ends(void **state)
{
	static struct netvsc netvsc;
	int pair[2];

	close(peer_of(state));
	assert_true(netvsc_start(&netvsc, f.fake, NVSP_VERSION_6_1, false));
	fake_settle(f.fake);
	assert_int_equal(f.ended, 1);
	assert_string_equal(f.ended_name, "nic0");
	assert_adapter(0, "nic0", "none");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(
		adapters_connect(f.adapters, "nic0", CONTROL_BACKEND_SOCKET, pair, 1, &f.failure),
		0);
	assert_adapter(0, "nic0", "socket");
	assert_int_equal(f.connected, 3);
	assert_int_equal(
		adapters_connect(f.adapters, "nic0", CONTROL_BACKEND_NONE, NULL, 0, &f.failure), 0);
	assert_adapter(0, "nic0", "none");
	fake_settle(f.fake);
	assert_int_equal(f.ended, 1);
	close(pair[1]);
}

/* What a guest sends to nowhere is sent, and its link is up. */
static void test_nowhere(void **state)
{
	static struct netvsc netvsc;
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint8_t frame[64] = { 0x02, 0x56, 0x4d }, packet[128];
	size_t size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);

	assert_int_equal(
		adapters_connect(f.adapters, "nic0", CONTROL_BACKEND_SOCKET, &file, 1, &f.failure),
		0);
	assert_adapter(0, "nic0", "null");
	assert_true(netvsc_start(&netvsc, f.fake, NVSP_VERSION_6_1, true));
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(netvsc_send_section(&netvsc, 0, i, i % 16, packet, size));
		assert_int_equal(netvsc_await_sent(&netvsc, 0, i), NVSP_STATUS_SUCCESS);
	}
	assert_int_equal(counter_of("sent_frames"), 1000);
	assert_int_equal(counter_of("sent_dropped"), 0);
	assert_int_equal(
		adapters_connect(f.adapters, "nic0", CONTROL_BACKEND_NONE, NULL, 0, &f.failure), 0);
	assert_adapter(0, "nic0", "none");
	assert_int_equal(fcntl(file, F_GETFD), -1); /* it was taken over */
	close(peer_of(state));
}

static void test_refusals(void **state)
{
	int pipes[2], file = open("/dev/null", O_RDWR | O_CLOEXEC);
	int other = open("/dev/zero", O_RDWR | O_CLOEXEC);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(attach("nic1", CONTROL_BACKEND_NONE, NULL, 0), ADAPTERS_E_TAKEN);
	assert_non_null(strstr(f.failure.message, "nic1"));
	/* Descriptors that are no network stay the caller's, and leave no adapter. */
	assert_int_equal(attach("new", CONTROL_BACKEND_SOCKET, pipes, 2), ADAPTERS_E_REFUSED);
	assert_int_equal(attach("new", CONTROL_BACKEND_SOCKET, pipes, 1), ADAPTERS_E_REFUSED);
	assert_int_equal(attach("new", CONTROL_BACKEND_SOCKET, &other, 1), ADAPTERS_E_REFUSED);
	assert_int_equal(attach("new", CONTROL_BACKEND_TAP, &file, 1), ADAPTERS_E_REFUSED);
	assert_int_equal(attach("new", CONTROL_BACKEND_TAP, NULL, 0), ADAPTERS_E_REFUSED);
	assert_int_equal(
		adapters_connect(f.adapters, "nic1", CONTROL_BACKEND_TAP, &file, 1, &f.failure),
		ADAPTERS_E_REFUSED);
	assert_adapter(1, "nic1", "none");
	assert_true(fcntl(file, F_GETFD) >= 0 && fcntl(pipes[0], F_GETFD) >= 0);
	fake_settle(f.fake);
	assert_int_equal(attach("new", CONTROL_BACKEND_NONE, NULL, 0), 0);
	for (unsigned i = 3; i < DEFINITION_ADAPTERS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", i);
		assert_int_equal(attach(name, CONTROL_BACKEND_NONE, NULL, 0), 0);
	}
	assert_int_equal(attach("another", CONTROL_BACKEND_NONE, NULL, 0), ADAPTERS_E_REFUSED);
	assert_int_equal(adapters_detach(f.adapters, "another", NULL, NULL, &f.failure),
			 ADAPTERS_E_ABSENT);
	assert_int_equal(
		adapters_connect(f.adapters, "another", CONTROL_BACKEND_NONE, NULL, 0, &f.failure),
		ADAPTERS_E_ABSENT);
	close(file);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
	close(peer_of(state));
}

static bool is_gone(void *data)
{
	return f.gone == 1;
}

/* A name is free again when the guest has let go; what was counted stays counted. */
static void test_taken_away(void **state)
{
	static struct netvsc netvsc;
	uint8_t frame[64] = { 0x02, 0x56, 0x4d }, packet[128];

	assert_true(netvsc_start(&netvsc, f.fake, NVSP_VERSION_6_1, false));
	assert_true(netvsc_send_section(&netvsc, 0, 1, 0, packet,
					netvsc_wrap(packet, frame, sizeof(frame), 0, NULL)));
	assert_int_equal(netvsc_await_sent(&netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	assert_int_equal(counter_of("sent_frames"), 1);
	assert_int_equal(adapters_detach(f.adapters, "nic0", take_gone, NULL, &f.failure), 0);
	assert_int_equal(f.gone, 0);
	assert_null(adapters_name(f.adapters, 0));
	assert_adapter(0, "nic1", "none");
	assert_int_equal(adapters_detach(f.adapters, "nic0", take_gone, NULL, &f.failure),
			 ADAPTERS_E_ABSENT);
	assert_int_equal(attach("nic0", CONTROL_BACKEND_NONE, NULL, 0), ADAPTERS_E_TAKEN);
	fake_stop(f.fake);
	assert_true(fake_run_until(f.fake, is_gone, NULL));
	assert_int_equal(attach("nic0", CONTROL_BACKEND_NONE, NULL, 0), 0);
	assert_int_equal(counter_of("sent_frames"), 1);
	close(peer_of(state));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_as_defined), TEST(test_network_ends), TEST(test_nowhere),
		TEST(test_refusals),   TEST(test_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

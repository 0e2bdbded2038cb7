/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control framing: every kind of message, descriptors, and a peer that means harm. */
#include "common/base/cc.h"
#include "common/control.h"
#include "tests/fake/control_pair.h"
#include "tests/fake/control_send.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct pair {
	int sockets[2];
	size_t open_fds; /* before the test */
};

static size_t count_open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair->open_fds = count_open_fds();
	assert_int_equal(control_pair(pair->sockets), 0);
	*state = pair;
	return 0;
}

/* Every test ends with the descriptors it began with. */
static int teardown(void **state)
{
	struct pair *pair = *state;
	size_t open_fds;

	close_fdp(&pair->sockets[0]);
	close_fdp(&pair->sockets[1]);
	open_fds = pair->open_fds;
	free(pair);
	return count_open_fds() == open_fds ? 0 : -1;
}

static void test_request(void **state)
{
	struct pair *pair = *state;
	AUTO_JSON struct json_object *arguments = json_make("lun", json_object_new_int(7), NULL);
	struct control_message message;
	struct json_object *lun;

	assert_int_equal(
		control_send_request(pair->sockets[0], UINT32_MAX, "detach", arguments, NULL, 0),
		0);
	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_int_equal(message.kind, CONTROL_REQUEST);
	assert_int_equal(message.id, UINT32_MAX);
	assert_string_equal(message.name, "detach");
	assert_true(json_object_object_get_ex(message.body, "lun", &lun));
	assert_int_equal(json_object_get_int(lun), 7);
	assert_int_equal(message.fd_count, 0);
	control_message_deinit(&message);
}

static void test_reply_error_event(void **state)
{
	struct pair *pair = *state;
	struct control_message message;

	assert_int_equal(control_send_reply(pair->sockets[0], 3, NULL), 0);
	assert_int_equal(control_send_error(pair->sockets[0], 4, "busy", "not \"now\""), 0);
	assert_int_equal(control_send_event(pair->sockets[0], "state", NULL), 0);

	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_int_equal(message.kind, CONTROL_REPLY);
	assert_int_equal(message.id, 3);
	assert_true(json_object_is_type(message.body, json_type_object));
	control_message_deinit(&message);

	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_int_equal(message.kind, CONTROL_ERROR);
	assert_int_equal(message.id, 4);
	assert_string_equal(message.name, "busy");
	assert_string_equal(message.text, "not \"now\"");
	control_message_deinit(&message);

	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_int_equal(message.kind, CONTROL_EVENT);
	assert_string_equal(message.name, "state");
	control_message_deinit(&message);
}

static void test_descriptors_travel(void **state)
{
	struct pair *pair = *state;
	struct control_message message;
	int fds[CONTROL_FDS_MAX], pipes[2], taken;
	char byte = 0;

	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = pipes[1];
	assert_int_equal(control_send_request(pair->sockets[0], 1, "descriptors", NULL, fds,
					      ARRAY_SIZE(fds)),
			 0);
	close(pipes[1]);
	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_int_equal(message.fd_count, CONTROL_FDS_MAX);
	assert_true(fcntl(message.fds[63], F_GETFD) & FD_CLOEXEC);
	taken = TAKE_FD(message.fds[63]);
	control_message_deinit(&message);
	assert_int_equal(write(taken, "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(taken);
	/* The taken one was the last writer. */
	assert_int_equal(read(pipes[0], &byte, 1), 0);
	close(pipes[0]);
}

static void test_too_many_descriptors(void **state)
{
	struct pair *pair = *state;
	int fds[CONTROL_FDS_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = 0;
	assert_int_equal(control_send_request(pair->sockets[0], 1, "descriptors", NULL, fds,
					      ARRAY_SIZE(fds)),
			 -EMSGSIZE);
}

static void test_empty_and_closed(void **state)
{
	struct pair *pair = *state;
	struct control_message message;

	assert_int_equal(control_receive(pair->sockets[1], &message), CONTROL_E_EMPTY);
	assert_int_equal(control_send_event(pair->sockets[0], "last", NULL), 0);
	close_fdp(&pair->sockets[0]);
	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	control_message_deinit(&message);
	assert_int_equal(control_receive(pair->sockets[1], &message), CONTROL_E_CLOSED);
	assert_int_equal(control_send_event(pair->sockets[1], "late", NULL), -EPIPE);
}

static void test_peer_that_does_not_read(void **state)
{
	struct pair *pair = *state;
	int r;

	do
		r = control_send_event(pair->sockets[0], "state", NULL);
	while (r == 0);
	assert_int_equal(r, -EAGAIN);
}

static struct json_object *large(size_t size)
{
	AUTO_FREE char *text = malloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	return json_make("text", json_object_new_string(text), NULL);
}

static void test_largest_message(void **state)
{
	struct pair *pair = *state;
	AUTO_JSON struct json_object *fits = large(CONTROL_MESSAGE_MAX - 100);
	AUTO_JSON struct json_object *too_large = large(CONTROL_MESSAGE_MAX);
	struct control_message message;

	assert_int_equal(control_send_request(pair->sockets[0], 1, "configure", too_large, NULL, 0),
			 -EMSGSIZE);
	assert_int_equal(control_send_request(pair->sockets[0], 1, "configure", fits, NULL, 0), 0);
	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	assert_string_equal(message.name, "configure");
	control_message_deinit(&message);
}

/* As a peer that does not go by the rules would send it. */
static void send_raw(int socket, const void *data, size_t size, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(253 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd_count > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	assert_int_equal(sendmsg(socket, &header, 0), size);
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
		"x",
		"[]",
		"{",
		"{}",
		"{\"id\": -1, \"method\": \"start\"}",
		"{\"id\": 4294967296, \"method\": \"start\"}",
		"{\"id\": \"1\", \"method\": \"start\"}",
		"{\"id\": 1, \"method\": 5}",
		"{\"id\": 1, \"method\": \"start\", \"arguments\": []}",
		"{\"id\": 1, \"result\": 5}",
		"{\"id\": 1, \"error\": \"busy\"}",
		"{\"id\": 1, \"error\": {\"code\": \"busy\"}}",
		"{\"id\": 1, \"error\": {\"message\": \"busy\"}}",
		"{\"event\": {}}",
		"{\"event\": \"state\", \"data\": 1}",
		"{\"event\": \"state\", \"data\": {}} {}",
		"{\"event\": \"\xff\"}",
		"{\"event\": \"a\\u0000b\"}",
	};
	struct pair *pair = *state;
	struct control_message message;
	int fds[3] = { 0, 1, 2 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		send_raw(pair->sockets[0], texts[i], strlen(texts[i]), fds, ARRAY_SIZE(fds));
		if (control_receive(pair->sockets[1], &message) != CONTROL_E_MALFORMED)
			fail_msg("%s", texts[i]);
	}
	/* What comes after is understood. */
	assert_int_equal(control_send_event(pair->sockets[0], "state", NULL), 0);
	assert_int_equal(control_receive(pair->sockets[1], &message), 0);
	control_message_deinit(&message);
}

static void test_hostile_sizes(void **state)
{
	static const char text[] = "{\"event\":\"state\"}";
	struct pair *pair = *state;
	AUTO_FREE char *large_text = malloc(CONTROL_MESSAGE_MAX + 4096);
	struct control_message message;
	int fds[200], size = 1 << 20;

	assert_int_equal(setsockopt(pair->sockets[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
			 0);
	memset(large_text, ' ', CONTROL_MESSAGE_MAX + 4096);
	memcpy(large_text, text, strlen(text));
	send_raw(pair->sockets[0], large_text, CONTROL_MESSAGE_MAX + 4096, NULL, 0);
	assert_int_equal(control_receive(pair->sockets[1], &message), CONTROL_E_MALFORMED);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = 0;
	send_raw(pair->sockets[0], text, strlen(text), fds, ARRAY_SIZE(fds));
	assert_int_equal(control_receive(pair->sockets[1], &message), CONTROL_E_MALFORMED);
}

static void test_decode(void **state)
{
	static const char text[] = "{\"id\":9,\"result\":{\"state\":\"running\"}}";
	struct control_message message;

	assert_int_equal(control_decode(text, strlen(text), &message), 0);
	assert_int_equal(message.kind, CONTROL_REPLY);
	control_message_deinit(&message);
	assert_int_equal(control_decode("", 0, &message), CONTROL_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reply_error_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_travel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_and_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_largest_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decode, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

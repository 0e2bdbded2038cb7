/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker under a daemon: what it answers over its control socket, good requests and bad ones.
 * Those with a machine need the host's KVM, and are skipped without.
 */
#include "common/base/cc.h"
#include "common/control_contract.h"
#include "common/wire/vmbus.h"
#include "tests/fake/control_pair.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "tests/unit/vmwp/machine/guest_code.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vsp/vmbus/vmbus.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SECOND      1000000000ull
#define SOCKET_PATH "test_control_server.socket" /* in the test's working directory */

struct fixture {
	struct worker worker;
	int socket; /* the daemon's end; -1: closed */
	int serial; /* the daemon's end of the console */
	uint32_t id;
	bool ended;
	struct control_message answer; /* the last one */
	unsigned states, crashes, resets, vmbus;
	char state[32], reason[32], crash[64];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int sockets[2];

	assert_non_null(fixture);
	assert_int_equal(control_pair(sockets), 0);
	assert_int_equal(worker_init(&fixture->worker), 0);
	assert_int_equal(control_server_new(&fixture->worker, sockets[1], &fixture->worker.control),
			 0);
	fixture->socket = sockets[0];
	fixture->serial = -1;
	*state = fixture;
	return 0;
}

static int setup_listening(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int listener;

	assert_non_null(fixture);
	assert_int_equal(control_listen(SOCKET_PATH, &listener), 0);
	assert_int_equal(control_connect(SOCKET_PATH, &fixture->socket), 0);
	assert_int_equal(worker_init(&fixture->worker), 0);
	assert_int_equal(control_server_new(&fixture->worker, listener, &fixture->worker.control),
			 0);
	fixture->serial = -1;
	*state = fixture;
	return 0;
}

static void copy_member(struct json_object *object, const char *key, char *buffer, size_t size)
{
	struct json_object *member;

	if (json_object_object_get_ex(object, key, &member))
		snprintf(buffer, size, "%s", json_object_get_string(member));
}

static void take_event(struct fixture *fixture, const struct control_message *message)
{
	if (strcmp(message->name, "state") == 0) {
		fixture->states++;
		copy_member(message->body, "state", fixture->state, sizeof(fixture->state));
		copy_member(message->body, "reason", fixture->reason, sizeof(fixture->reason));
	} else if (strcmp(message->name, "reset") == 0) {
		fixture->resets++;
	} else if (strcmp(message->name, "vmbus") == 0) {
		fixture->vmbus++;
	} else if (strcmp(message->name, "crash") == 0) {
		fixture->crashes++;
		copy_member(message->body, "parameters", fixture->crash, sizeof(fixture->crash));
	}
}

/* Takes what the worker sent. Return: whether an answer to the last request was there. */
static bool take_messages(struct fixture *fixture)
{
	struct control_message message;
	bool answered = false;

	while (fixture->socket >= 0 && control_receive(fixture->socket, &message) == 0) {
		if (message.kind == CONTROL_EVENT) {
			take_event(fixture, &message);
			control_message_deinit(&message);
			continue;
		}
		assert_int_equal(message.id, fixture->id);
		assert_false(answered);
		control_message_deinit(&fixture->answer);
		fixture->answer = message;
		answered = true;
	}
	return answered;
}

static void iteration(struct fixture *fixture)
{
	assert_int_equal(loop_run_once(fixture->worker.loop, SECOND / 100), 0);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;

	worker_stop(&fixture->worker);
	while (fixture->worker.machine && loop_now() < end &&
	       machine_state(fixture->worker.machine) != MACHINE_STOPPED)
		iteration(fixture);
	iteration(fixture); /* for what was cancelled with the machine */
	control_message_deinit(&fixture->answer);
	worker_deinit(&fixture->worker);
	close_fdp(&fixture->socket);
	close_fdp(&fixture->serial);
	unlink(SOCKET_PATH);
	free(fixture);
	return 0;
}

/* Sends a request and waits for its answer: "" for success, or the error's code. */
static const char *ask_with(struct fixture *fixture, const char *method, const char *arguments,
			    const int *fds, size_t count)
{
	AUTO_JSON struct json_object *tree = arguments ? json_tokener_parse(arguments) : NULL;
	uint64_t end = loop_now() + 60 * SECOND;

	assert_true(!arguments || tree);
	assert_int_equal(
		control_send_request(fixture->socket, ++fixture->id, method, tree, fds, count), 0);
	while (!take_messages(fixture) && loop_now() < end)
		iteration(fixture);
	assert_int_equal(fixture->answer.id, fixture->id);
	if (fixture->answer.kind != CONTROL_ERROR)
		return "";
	print_message("%s: %s\n", method, fixture->answer.text);
	return fixture->answer.name;
}

static const char *ask(struct fixture *fixture, const char *method, const char *arguments)
{
	return ask_with(fixture, method, arguments, NULL, 0);
}

static void wait_state(struct fixture *fixture, const char *state)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (strcmp(fixture->state, state) != 0 && loop_now() < end) {
		iteration(fixture);
		take_messages(fixture);
	}
	assert_string_equal(fixture->state, state);
}

#define DEFINITION                                                                    \
	"{\"definition\": {\"version\": 1, \"name\": \"t\", "                         \
	"\"uuid\": \"01234567-89ab-cdef-0123-456789abcdef\", \"memory\": {\"size\": " \
	"\"16M\", \"pages\": \"small\"}, \"boot\": {\"kernel\": \"/nowhere\"}%s}}"

/* Gives the worker a guest of this code. more: further members of the definition. */
static void configure(struct fixture *fixture, const void *code, size_t size, const char *more)
{
	struct kernel_image image;
	char definition[1024];
	int fds[3], sockets[2];

	fds[0] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fds[0] < 0)
		skip();
	kernel_image_elf(&image, ELFCLASS64, code, size);
	fds[1] = kernel_image_file(&image);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	fds[2] = sockets[1];
	fixture->serial = sockets[0];
	assert_string_equal(ask_with(fixture, "descriptors",
				     "{\"names\": [\"kvm\", \"kernel\", \"serial\"]}", fds, 3),
			    "");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	snprintf(definition, sizeof(definition), DEFINITION, more);
	assert_string_equal(ask(fixture, "configure", definition), "");
}

static int make_disk(size_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static const uint8_t endless[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };

/* ---- Bad requests ---- */

static void unknown_methods(void **state)
{
	assert_string_equal(ask(*state, "explode", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(*state, "", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(*state, "startle", NULL), CONTROL_ERROR_INVALID);
}

static void what_needs_a_machine(void **state)
{
	static const char *const methods[] = { "start",
					       "pause",
					       "resume",
					       "reset",
					       "nmi",
					       "shutdown",
					       "attach",
					       "detach",
					       "insert",
					       "eject",
					       "status",
					       "statistics",
					       "processors",
					       "inspect",
					       "attach_adapter",
					       "detach_adapter",
					       "connect_adapter",
					       "disconnect_adapter",
					       "capabilities",
					       "list_values",
					       "get_value",
					       "set_value",
					       "delete_value",
					       "freeze",
					       "thaw",
					       "copy_file",
					       "cancel_copy",
					       "open_socket",
					       "answer_socket",
					       "change_actions",
					       "pin" };

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		assert_string_equal(ask(*state, methods[i], NULL), CONTROL_ERROR_INVALID_STATE);
}

static void descriptors_and_their_names(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int fd = make_disk(512);
	const int fds[] = { fd, fd };

	assert_string_equal(ask(fixture, "descriptors", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "descriptors", "{\"names\": \"kvm\"}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "descriptors", "{\"names\": [\"kvm\"]}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "descriptors", "{\"names\": [\"kvm\"]}", fds, 2),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "descriptors", "{\"names\": [7]}", fds, 1),
			    CONTROL_ERROR_INVALID);
	for (const char *const *name =
		     (const char *const[]){ "", "disk", "disk:0", "disk:4:0", "disk:0:64",
					    "disk:00:1", "disk:0:0x", "kernel2", NULL };
	     *name; name++) {
		char arguments[64];

		snprintf(arguments, sizeof(arguments), "{\"names\": [\"%s\"]}", *name);
		assert_string_equal(ask_with(fixture, "descriptors", arguments, fds, 1),
				    CONTROL_ERROR_INVALID);
	}
	assert_string_equal(ask_with(fixture, "descriptors",
				     "{\"names\": [\"disk:3:63\", \"disk:3:63\"]}", fds, 2),
			    "");
	assert_string_equal(ask(fixture, "descriptors", "{\"names\": [], \"more\": 1}"),
			    CONTROL_ERROR_INVALID);
}

static void definitions_that_are_none(void **state)
{
	struct fixture *fixture = *state;

	assert_string_equal(ask(fixture, "configure", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "configure", "{\"definition\": []}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "configure", "{\"definition\": {\"version\": 99}}"),
			    CONTROL_ERROR_INVALID);
	assert_non_null(strstr(fixture->answer.text, "version"));
	assert_string_equal(ask(fixture, "start", NULL), CONTROL_ERROR_INVALID_STATE);
}

static void bytes_that_are_no_message(void **state)
{
	struct fixture *fixture = *state;
	static const char *const junk[] = { "x",
					    "{",
					    "[]",
					    "{}",
					    "{\"id\": 1}",
					    "{\"event\": \"state\"}",
					    "{\"id\": 1, \"result\": {}}",
					    "\xff\xfe" };

	for (size_t i = 0; i < ARRAY_SIZE(junk); i++)
		assert_true(send(fixture->socket, junk[i], strlen(junk[i]), 0) > 0);
	for (int i = 0; i < 10; i++)
		iteration(fixture);
	assert_string_equal(ask(fixture, "explode", NULL), CONTROL_ERROR_INVALID);
}

static void a_socket_that_is_none(void **state)
{
	struct fixture *fixture = *state;
	struct control_server *server;
	int sockets[2];

	assert_int_equal(control_server_new(&fixture->worker, make_disk(512), &server), -ENOTSOCK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(control_server_new(&fixture->worker, sockets[0], &server), -ENOTSOCK);
	close(sockets[1]);
}

/* ---- A VM's life ---- */

/* Of a guest that runs no services. */
static void ask_the_guest(struct fixture *fixture)
{
	static const struct {
		const char *method, *arguments, *error;
	} rows[] = {
		{ "list_values", "{\"pool\": \"auto\"}", CONTROL_ERROR_NOT_CONNECTED },
		{ "list_values", "{\"pool\": \"motor\"}", CONTROL_ERROR_INVALID },
		{ "get_value", "{\"pool\": \"guest\", \"key\": \"k\"}",
		  CONTROL_ERROR_NOT_CONNECTED },
		{ "get_value", "{\"pool\": \"guest\"}", CONTROL_ERROR_INVALID },
		{ "set_value", "{\"pool\": \"external\", \"key\": \"k\", \"value\": \"v\"}",
		  CONTROL_ERROR_NOT_CONNECTED },
		{ "delete_value", "{\"pool\": \"external\", \"key\": \"k\"}",
		  CONTROL_ERROR_NOT_CONNECTED },
		{ "freeze", "{\"limit\": 10}", CONTROL_ERROR_NOT_CONNECTED },
		{ "freeze", "{\"limit\": 0}", CONTROL_ERROR_INVALID },
		{ "freeze", NULL, CONTROL_ERROR_INVALID },
		{ "thaw", NULL, CONTROL_ERROR_NOT_CONNECTED },
		{ "copy_file", "{\"path\": \"/x\"}", CONTROL_ERROR_INVALID },
		{ "copy_file", NULL, CONTROL_ERROR_INVALID },
		{ "cancel_copy", NULL, "" },
		{ "open_socket", "{\"port\": 5000}", CONTROL_ERROR_INVALID },
		{ "open_socket", NULL, CONTROL_ERROR_INVALID },
		{ "answer_socket", "{\"request\": 7}", "" },
		{ "answer_socket", "{\"request\": -1}", CONTROL_ERROR_INVALID },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(ask(fixture, rows[i].method, rows[i].arguments), rows[i].error);
}

static uint64_t counted(struct fixture *fixture, const char *group, const char *name)
{
	struct json_object *members, *number;

	assert_string_equal(ask(fixture, "statistics", NULL), "");
	assert_true(json_object_object_get_ex(fixture->answer.body, group, &members));
	assert_true(json_object_object_get_ex(members, name, &number));
	assert_true(json_object_is_type(number, json_type_int));
	return json_object_get_uint64(number);
}

/* The guest writes to its serial port without end, which takes exits. */
static void ask_for_statistics(struct fixture *fixture)
{
	uint64_t before = counted(fixture, "exits", "io-port");

	while (counted(fixture, "exits", "io-port") <= before)
		iteration(fixture);
	assert_int_equal(counted(fixture, "exits", "error"), 0);
	/* 0 where KVM counts nothing: before Linux 5.14. */
	if (counted(fixture, "kernel_exits", "all") > 0)
		assert_true(counted(fixture, "kernel_exits", "all") >= before);
	assert_int_equal(counted(fixture, "disk", "reads"), 0);
	assert_int_equal(counted(fixture, "network", "sent_frames"), 0);
	assert_int_equal(counted(fixture, "vmbus", "interrupts"), 0);
}

/* Of a definition without CX16, which every host has. */
static void ask_for_processors(struct fixture *fixture)
{
	struct json_object *removed, *states;

	assert_string_equal(ask(fixture, "processors", NULL), "");
	assert_true(json_object_object_get_ex(fixture->answer.body, "enlightenments", &states));
	assert_int_equal(json_object_object_length(states), _ENLIGHTENMENT_COUNT);
	assert_string_equal(json_object_get_string(json_object_object_get(states, "crash_msrs")),
			    "on");
	assert_string_equal(json_object_get_string(json_object_object_get(states, "reset")), "off");
	assert_string_equal(json_object_get_string(json_object_object_get(states, "idle")),
			    "not-offered");
	assert_true(json_object_object_get_ex(fixture->answer.body, "removed", &removed));
	assert_string_equal(json_object_to_json_string_ext(removed, JSON_C_TO_STRING_PLAIN),
			    "[\"cx16\"]");
}

/* Of a machine of one vp, whose guest knows no VMBus. */
static void ask_for_inspection(struct fixture *fixture)
{
	struct json_object *part, *vp, *running;

	assert_string_equal(ask(fixture, "inspect", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "inspect", "{\"part\": \"soul\"}"), CONTROL_ERROR_INVALID);
	for (size_t i = 0; control_part_names[i]; i++) {
		const char *name = control_part_names[i];
		char arguments[64];

		snprintf(arguments, sizeof(arguments), "{\"part\": \"%s\"}", name);
		assert_string_equal(ask(fixture, "inspect", arguments), "");
		assert_true(json_object_object_get_ex(fixture->answer.body, name, &part));
		assert_false(json_object_object_get_ex(fixture->answer.body, "next", NULL));
		if (i != CONTROL_PART_VPS)
			continue;
		assert_int_equal(json_object_array_length(part), 1);
		vp = json_object_array_get_idx(part, 0);
		assert_true(json_object_object_get_ex(vp, "running", &running));
		assert_true(json_object_object_get_ex(vp, "synic", NULL));
		assert_true(json_object_object_get_ex(vp, "exits", NULL));
		assert_true(json_object_object_get_ex(vp, "registers", &part));
		assert_int_equal(json_object_object_length(part), 18);
		assert_true(json_object_object_get_ex(vp, "segments", &part));
		assert_int_equal(json_object_object_length(part), 8);
		assert_true(json_object_object_get_ex(vp, "control", &part));
		assert_true(json_object_object_get_ex(part, "cr3", NULL));
	}
	assert_string_equal(ask(fixture, "inspect", "{\"part\": \"vps\", \"first\": 4294967295}"),
			    "");
	assert_true(json_object_object_get_ex(fixture->answer.body, "vps", &part));
	assert_int_equal(json_object_array_length(part), 0);
}

/* Abstract ones, which leave nothing behind. Return: the descriptor. */
static int make_listener(struct sockaddr_un *ret_address)
{
	static unsigned number;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
		 "test-control-server-%d-%u", (int)getpid(), number++);
	assert_int_equal(bind(fd, (struct sockaddr *)ret_address, sizeof(*ret_address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Into a guest that knows no sockets: whoever connects is hung up on. */
static void sockets_of_the_guest(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address;
	AUTO_CLOSE int listener = make_listener(&address), client = -1, end = -1;
	uint64_t timeout = loop_now() + 60 * SECOND;
	int pair[2];
	char byte;

	assert_string_equal(
		ask_with(fixture, "descriptors", "{\"names\": [\"sockets\"]}", &listener, 1), "");
	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(client, "CONNECT 5000\n", 13), 13);
	while (recv(client, &byte, 1, MSG_DONTWAIT) != 0 && loop_now() < timeout)
		iteration(fixture);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	end = pair[0];
	assert_string_equal(ask_with(fixture, "open_socket", "{\"port\": 5000}", &pair[1], 1),
			    CONTROL_ERROR_NOT_CONNECTED);
	close(pair[1]);
	assert_int_equal(recv(end, &byte, 1, MSG_DONTWAIT), 0);
}

/* By the definition there are none. */
static void no_sockets_of_the_guest(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address;
	int listener = make_listener(&address), pair[2];
	AUTO_CLOSE int client = -1, end = -1, far = -1;

	assert_string_equal(
		ask_with(fixture, "descriptors", "{\"names\": [\"sockets\"]}", &listener, 1), "");
	close(listener);
	configure(fixture, endless, sizeof(endless), ", \"services\": {\"sockets\": false}");
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	end = pair[0];
	far = pair[1];
	assert_string_equal(ask_with(fixture, "open_socket", "{\"port\": 5000}", &far, 1),
			    CONTROL_ERROR_NOT_CONNECTED);
	assert_string_equal(ask_with(fixture, "answer_socket", "{\"request\": 5}", &far, 1), "");
}

static void a_life(void **state)
{
	struct fixture *fixture = *state;
	char byte;

	configure(fixture, endless, sizeof(endless),
		  ", \"processors\": {\"without\": [\"cx16\"]}, "
		  "\"hyper_v\": {\"reset\": false}");
	assert_string_equal(ask(fixture, "configure", "{\"definition\": {}}"),
			    CONTROL_ERROR_INVALID_STATE);
	assert_string_equal(ask(fixture, "pause", NULL), CONTROL_ERROR_INVALID_STATE);
	assert_string_equal(ask(fixture, "start", NULL), "");
	wait_state(fixture, "running");
	assert_string_equal(ask(fixture, "start", NULL), CONTROL_ERROR_INVALID_STATE);
	assert_string_equal(ask(fixture, "status", NULL), "");
	ask_for_statistics(fixture);
	ask_for_processors(fixture);
	ask_for_inspection(fixture);
	assert_string_equal(ask(fixture, "shutdown", "{\"force\": true}"),
			    CONTROL_ERROR_NOT_CONNECTED);
	ask_the_guest(fixture);
	while (recv(fixture->serial, &byte, 1, MSG_DONTWAIT) != 1)
		iteration(fixture);
	assert_int_equal(byte, '.');
	assert_string_equal(ask(fixture, "pause", NULL), "");
	wait_state(fixture, "paused");
	assert_string_equal(ask(fixture, "resume", NULL), "");
	wait_state(fixture, "running");
	assert_string_equal(ask(fixture, "reset", NULL), "");
	while (!fixture->resets) {
		iteration(fixture);
		take_messages(fixture);
	}
	assert_string_equal(ask(fixture, "stop", NULL), "");
	wait_state(fixture, "stopped");
	assert_string_equal(fixture->reason, "stopped");
}

/* The guest goes on as if nobody had asked. */
static void dump_into_a_file_with_content(void **state)
{
	struct fixture *fixture = *state;
	int file = make_disk(1), states;

	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	wait_state(fixture, "running");
	states = fixture->states;
	assert_string_equal(ask_with(fixture, "dump", NULL, &file, 1), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "status", NULL), "");
	assert_int_equal(fixture->states, states);
	close(file);
}

static void guest_that_crashes(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_HALT };
	struct fixture *fixture = *state;

	configure(fixture, code, sizeof(code),
		  ", \"actions\": {\"crash\": \"stop\", \"crash_grace\": 0}");
	assert_string_equal(ask(fixture, "start", NULL), "");
	wait_state(fixture, "stopped");
	assert_string_equal(fixture->reason, "crash");
	assert_int_equal(fixture->crashes, 1);
	assert_non_null(strstr(fixture->crash, "0x42"));
}

/* Contacts the VMBus and leaves it, as fast as it can. */
static void contact_vmbus(struct fixture *fixture)
{
	const struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_4_0,
	};

	for (int i = 0; i < 5000; i++)
		vmbus_receive_message(machine_bus(fixture->worker.machine),
				      VMBUS_CONNECTION_ID_MESSAGE, &contact, sizeof(contact));
}

/* The daemon takes nothing while the guest makes happen what it can, and then asks for a pause. */
static void guest_that_floods(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(34) };
	struct fixture *fixture = *state;
	uint64_t end;

	configure(fixture, code, sizeof(code),
		  ", \"actions\": {\"crash\": \"keep\", \"crash_grace\": 60}");
	assert_string_equal(ask(fixture, "start", NULL), "");
	for (end = loop_now() + SECOND; loop_now() < end;)
		iteration(fixture);
	contact_vmbus(fixture);
	assert_string_equal(ask(fixture, "pause", NULL), "");
	assert_string_equal(fixture->state, "paused");
	assert_string_equal(ask(fixture, "resume", NULL), "");
	assert_string_equal(fixture->state, "running");
	/* A few a second. */
	assert_in_range(fixture->crashes, 1, 100);
	assert_in_range(fixture->vmbus, 2, 100);
}

/* Who asks and does not listen is not asked after until it does. */
static void daemon_that_does_not_listen(void **state)
{
	struct fixture *fixture = *state;
	struct control_message message;
	uint32_t sent = 0, answered = 0;
	uint64_t end = loop_now() + 60 * SECOND;

	for (int quiet = 0; quiet < 10; iteration(fixture)) {
		if (control_send_request(fixture->socket, sent + 1, "explode", NULL, NULL, 0) < 0) {
			quiet++;
			continue;
		}
		sent++;
		quiet = 0;
	}
	fixture->id = sent;
	while (answered < sent && loop_now() < end) {
		if (control_receive(fixture->socket, &message) == 0) {
			assert_int_equal(message.id, ++answered);
			control_message_deinit(&message);
		} else {
			iteration(fixture);
		}
	}
	assert_int_equal(answered, sent);
	assert_string_equal(ask(fixture, "explode", NULL), CONTROL_ERROR_INVALID);
}

static void actions_are_changed(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_HALT };
	struct fixture *fixture = *state;

	configure(fixture, code, sizeof(code),
		  ", \"actions\": {\"crash\": \"keep\", \"crash_grace\": 0}");
	assert_string_equal(ask(fixture, "change_actions", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "change_actions", "{\"actions\": {\"crash\": \"burn\"}}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "change_actions", "{\"actions\": {\"crash\": \"stop\"}}"),
			    "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	wait_state(fixture, "stopped");
	assert_string_equal(fixture->reason, "crash");
}

static void vps_are_pinned(void **state)
{
	static const uint8_t code[] = { GUEST_HALT };
	struct fixture *fixture = *state;

	configure(fixture, code, sizeof(code), "");
	assert_string_equal(ask(fixture, "pin", NULL), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "pin", "{\"pinning\": {}}"), CONTROL_ERROR_INVALID);
	assert_string_equal(
		ask(fixture, "pin", "{\"pinning\": [{\"vps\": \"9\", \"cpus\": \"0\"}]}"),
		CONTROL_ERROR_INVALID);
	/* There are no vps yet. */
	assert_string_equal(
		ask(fixture, "pin", "{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"1023\"}]}"), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	wait_state(fixture, "running");
	assert_string_equal(
		ask(fixture, "pin", "{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"1023\"}]}"),
		CONTROL_ERROR_FAILED);
	assert_string_equal(ask(fixture, "pin", "{\"pinning\": []}"), "");
}

static void daemon_that_goes_away(void **state)
{
	struct fixture *fixture = *state;

	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	close_fdp(&fixture->socket);
	assert_int_equal(worker_run(&fixture->worker), 0); /* which ends by itself */
	assert_int_equal(machine_state(fixture->worker.machine), MACHINE_STOPPED);
}

static void adopt_connected(struct fixture *fixture)
{
	AUTO_CLOSE int error = dup(STDERR_FILENO);
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	AUTO_CLOSE int far = sockets[1];
	fixture->serial = sockets[0];
	const int fds[] = { far, error };
	assert_string_equal(ask_with(fixture, "adopt", NULL, fds, 2), "");
}

/* A daemon that comes to a worker that has had another. */
static void adopt(struct fixture *fixture)
{
	assert_int_equal(control_connect(SOCKET_PATH, &fixture->socket), 0);
	adopt_connected(fixture);
}

static void leave(struct fixture *fixture)
{
	close_fdp(&fixture->socket);
	close_fdp(&fixture->serial);
	fixture->socket = fixture->serial = -1;
	for (int i = 0; i < 10; i++)
		iteration(fixture);
}

static unsigned told_number(struct fixture *fixture, const char *key)
{
	struct json_object *told;

	assert_true(json_object_object_get_ex(fixture->answer.body, key, &told));
	return (unsigned)json_object_get_int64(told);
}

/* Of what it was asked for, the next daemon is told the last change that was made. */
static void changes_before_the_next_daemon(void **state)
{
	struct fixture *fixture = *state;
	unsigned id;

	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	assert_string_equal(ask(fixture, "change_actions", "{\"actions\": {\"crash\": \"keep\"}}"),
			    "");
	id = fixture->id;
	assert_string_equal(ask(fixture, "change_actions", "{\"actions\": {\"crash\": \"burn\"}}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "pause", NULL), "");
	leave(fixture);
	adopt(fixture);
	assert_int_equal(told_number(fixture, "changed"), id);
	leave(fixture);
	adopt(fixture);
	assert_int_equal(told_number(fixture, "changed"), 0);
}

/* A worker that cannot take a connection now, for want of descriptors, takes it later. */
static void daemon_that_cannot_be_taken_at_once(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_PATH };
	int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct fixture *fixture = *state;
	struct rlimit before, none;

	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = STDERR_FILENO + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	leave(fixture);
	assert_int_equal(connect(socket_, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int i = 0; i < 10; i++)
		iteration(fixture);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	fixture->socket = socket_;
	adopt_connected(fixture);
}

static void expect_dot(struct fixture *fixture)
{
	uint64_t end = loop_now() + 60 * SECOND;
	char byte = 0;

	while (recv(fixture->serial, &byte, 1, MSG_DONTWAIT) != 1 && loop_now() < end)
		iteration(fixture);
	assert_int_equal(byte, '.');
}

/* As the daemon makes it, but that it can be read. */
static int make_end(void)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = CONTROL_END_MAX };
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/vmms-test-%d", (int)getpid());
	fd = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
	assert_true(fd >= 0);
	mq_unlink(name);
	return fd;
}

static void daemon_that_is_followed_by_another(void **state)
{
	struct fixture *fixture = *state;
	const char left[] = "{\"reason\":\"stopped\",\"message\":\"\",\"used\":{\"boot_us\":";
	AUTO_CLOSE int end = make_end();
	char text[CONTROL_END_MAX + 1] = "";
	struct json_object *told;

	assert_string_equal(ask_with(fixture, "descriptors", "{\"names\": [\"end\"]}", &end, 1),
			    "");
	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	expect_dot(fixture);
	leave(fixture);
	assert_int_equal(machine_state(fixture->worker.machine), MACHINE_RUNNING);
	adopt(fixture);
	json_object_object_get_ex(fixture->answer.body, "state", &told);
	assert_string_equal(json_object_get_string(told), "running");
	assert_string_equal(ask(fixture, "reset", NULL), "");
	expect_dot(fixture); /* the guest, anew */
	leave(fixture);
	adopt(fixture);
	json_object_object_get_ex(fixture->answer.body, "resets", &told);
	assert_int_equal(json_object_get_int(told), 1);
	assert_string_equal(ask(fixture, "adopt", NULL), CONTROL_ERROR_INVALID);
	leave(fixture);
	worker_stop(&fixture->worker);
	assert_int_equal(worker_run(&fixture->worker), 0);
	assert_true(mq_receive(end, text, CONTROL_END_MAX, NULL) > 0);
	assert_memory_equal(text, left, strlen(left));
	assert_non_null(strstr(text, "\"disk\":{\"reads\":0,"));
}

/* What has not begun to run is of no use to the next daemon. */
static void daemon_that_leaves_a_vm_half_made(void **state)
{
	struct fixture *fixture = *state;

	configure(fixture, endless, sizeof(endless), "");
	close_fdp(&fixture->socket);
	assert_int_equal(worker_run(&fixture->worker), 0);
}

static void stop_ends_the_loop(void **state)
{
	struct fixture *fixture = *state;

	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");
	assert_string_equal(ask(fixture, "stop", NULL), "");
	assert_int_equal(worker_run(&fixture->worker), 0);
}

static void disk_without_an_image(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	char definition[1024];

	if (kvm < 0)
		skip();
	assert_string_equal(ask_with(fixture, "descriptors", "{\"names\": [\"kvm\"]}", &kvm, 1),
			    "");
	snprintf(definition, sizeof(definition), DEFINITION,
		 ", \"disks\": [{\"controller\": 0, \"lun\": 3, \"path\": \"/x\", \"format\": "
		 "\"raw\"}]");
	assert_string_equal(ask(fixture, "configure", definition), CONTROL_ERROR_FAILED);
	assert_non_null(strstr(fixture->answer.text, "0:3"));

	/* Nothing is left of it. */
	assert_string_equal(ask(fixture, "start", NULL), CONTROL_ERROR_INVALID_STATE);
	snprintf(definition, sizeof(definition), DEFINITION, "");
	assert_string_equal(ask_with(fixture, "descriptors", "{\"names\": [\"kvm\"]}", &kvm, 1),
			    "");
	assert_string_equal(ask(fixture, "configure", definition), "");
	assert_string_equal(ask(fixture, "start", NULL), CONTROL_ERROR_FAILED);
}

/* ---- Disks that come and go ---- */

#define DISK(lun, more)                                                                     \
	"{\"disk\": {\"controller\": 1, \"lun\": " #lun ", \"format\": \"raw\", \"path\": " \
	"\"/x\"" more "}}"

static void disks_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int image = make_disk(1 << 20), odd = make_disk(100), pipe_end = -1;
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pipe_end = pipes[0];
	close(pipes[1]);
	configure(fixture, endless, sizeof(endless), "");
	assert_string_equal(ask(fixture, "start", NULL), "");

	assert_string_equal(ask_with(fixture, "attach", DISK(5, ""), &image, 1), "");
	assert_string_equal(ask_with(fixture, "attach", DISK(5, ""), &image, 1),
			    CONTROL_ERROR_EXISTS);
	assert_string_equal(ask(fixture, "attach", DISK(6, "")), CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach", DISK(6, ""), &odd, 1),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach", DISK(6, ""), &pipe_end, 1),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach", DISK(64, ""), &image, 1),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach", "{}", &image, 1), CONTROL_ERROR_INVALID);

	assert_string_equal(ask(fixture, "detach", "{\"controller\": 1, \"lun\": 4}"),
			    CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask(fixture, "detach", "{\"controller\": 2, \"lun\": 5}"),
			    CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask(fixture, "detach", "{\"controller\": 4, \"lun\": 5}"),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "detach", "{\"lun\": 5}"), CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "detach", "{\"controller\": 1, \"lun\": 5}"), "");
	assert_string_equal(ask(fixture, "detach", "{\"controller\": 1, \"lun\": 5}"),
			    CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask_with(fixture, "attach", DISK(5, ""), &image, 1), "");
}

#define PLACE(lun) "{\"controller\": 0, \"lun\": " #lun "}"

static void media_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int image = make_disk(1 << 20);

	configure(fixture, endless, sizeof(endless),
		  ", \"disks\": [{\"controller\": 0, \"lun\": 1, \"type\": \"dvd\"}]");
	assert_string_equal(ask(fixture, "start", NULL), "");
	assert_string_equal(ask(fixture, "insert", PLACE(1)), CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "insert", PLACE(2), &image, 1),
			    CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask_with(fixture, "insert", PLACE(1), &image, 1), "");
	assert_string_equal(ask_with(fixture, "insert", PLACE(1), &image, 1), "");
	assert_string_equal(ask(fixture, "eject", PLACE(1)), "");
	assert_string_equal(ask(fixture, "eject", PLACE(1)), "");
	assert_string_equal(ask(fixture, "eject", PLACE(7)), CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask_with(fixture, "attach",
				     "{\"disk\": {\"controller\": 0, \"lun\": 2, \"format\": "
				     "\"raw\", \"path\": \"/x\"}}",
				     &image, 1),
			    "");
	assert_string_equal(ask_with(fixture, "insert", PLACE(2), &image, 1),
			    CONTROL_ERROR_INVALID);
}

/* ---- Adapters that come, go and change networks ---- */

#define ADAPTER(name, backend) \
	"{\"adapter\": {\"name\": \"" name "\"}, \"backend\": \"" backend "\"}"
#define CONNECT(name, backend) "{\"name\": \"" name "\", \"backend\": \"" backend "\"}"
#define NAME(name)             "{\"name\": \"" name "\"}"

/* The worker's end of a network's socket goes with the request. Return: the other end. */
static int ask_with_network(struct fixture *fixture, const char *method, const char *arguments,
			    const char *error)
{
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_string_equal(ask_with(fixture, method, arguments, &sockets[1], 1), error);
	close(sockets[1]);
	return sockets[0];
}

/* Whether the worker has its end of a network. */
static bool is_held(int network)
{
	char byte;

	return recv(network, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void assert_kept(struct fixture *fixture, int network)
{
	for (int i = 0; i < 5; i++)
		iteration(fixture);
	assert_true(is_held(network));
}

/* The kernel may have to cancel what is under way on it, and the guest brings turns of its own. */
static void assert_let_go(struct fixture *fixture, int network)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (is_held(network) && loop_now() < end)
		iteration(fixture);
	assert_false(is_held(network));
}

/* "nic0 socket, nic1 none" */
static void assert_adapters(struct fixture *fixture, const char *expected)
{
	char text[256] = "";
	struct json_object *list;

	assert_string_equal(ask(fixture, "status", NULL), "");
	assert_true(json_object_object_get_ex(fixture->answer.body, "network", &list));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *adapter = json_object_array_get_idx(list, i);
		const char *backend =
			json_object_get_string(json_object_object_get(adapter, "backend"));
		bool up = json_object_get_boolean(json_object_object_get(adapter, "link"));
		size_t used = strlen(text);

		assert_int_equal(up, strcmp(backend, "none") != 0);
		snprintf(text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "",
			 json_object_get_string(json_object_object_get(adapter, "name")), backend);
	}
	assert_string_equal(text, expected);
}

static void adapters_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	int first, second;

	configure(fixture, endless, sizeof(endless), ", \"network_adapters\": [{}]");
	assert_adapters(fixture, "nic0 none");
	assert_string_equal(ask(fixture, "start", NULL), "");
	first = ask_with_network(fixture, "attach_adapter", ADAPTER("lan", "socket"), "");
	assert_string_equal(ask(fixture, "attach_adapter", ADAPTER("dark", "none")), "");
	assert_adapters(fixture, "nic0 none, lan socket, dark none");
	assert_kept(fixture, first);

	/* Another network in place of the first. */
	second = ask_with_network(fixture, "connect_adapter", CONNECT("lan", "socket"), "");
	assert_kept(fixture, second);
	assert_let_go(fixture, first);
	close(first);
	assert_string_equal(ask(fixture, "disconnect_adapter", NAME("lan")), "");
	assert_adapters(fixture, "nic0 none, lan none, dark none");
	assert_let_go(fixture, second);
	close(second);
	first = ask_with_network(fixture, "connect_adapter", CONNECT("lan", "socket"), "");
	assert_string_equal(ask(fixture, "connect_adapter", CONNECT("lan", "none")), "");
	assert_let_go(fixture, first);
	close(first);

	first = ask_with_network(fixture, "connect_adapter", CONNECT("nic0", "socket"), "");
	assert_string_equal(ask(fixture, "detach_adapter", NAME("nic0")), "");
	assert_let_go(fixture, first);
	close(first);
	assert_adapters(fixture, "lan none, dark none");
	assert_string_equal(ask(fixture, "attach_adapter", ADAPTER("nic0", "none")), "");
	assert_string_equal(ask(fixture, "detach_adapter", NAME("lan")), "");
	assert_string_equal(ask(fixture, "detach_adapter", NAME("dark")), "");
	assert_adapters(fixture, "nic0 none");
}

/* What was refused leaves the adapters as they were, and the worker without the descriptors. */
static void adapters_that_are_refused(void **state)
{
	static const struct {
		const char *method, *arguments, *error;
	} rows[] = {
		{ "attach_adapter", NULL, CONTROL_ERROR_INVALID },
		{ "attach_adapter", "{\"adapter\": [], \"backend\": \"socket\"}",
		  CONTROL_ERROR_INVALID },
		{ "attach_adapter", "{\"adapter\": {\"mac\": \"x\"}, \"backend\": \"socket\"}",
		  CONTROL_ERROR_INVALID },
		{ "attach_adapter", ADAPTER("../x", "socket"), CONTROL_ERROR_INVALID },
		{ "attach_adapter", ADAPTER("x", "none"), CONTROL_ERROR_INVALID },
		{ "attach_adapter", ADAPTER("x", "tap"), CONTROL_ERROR_INVALID },
		{ "attach_adapter", ADAPTER("x", "pigeon"), CONTROL_ERROR_INVALID },
		{ "attach_adapter", ADAPTER("nic0", "socket"), CONTROL_ERROR_EXISTS },
		{ "connect_adapter", NULL, CONTROL_ERROR_INVALID },
		{ "connect_adapter", NAME("nic0"), CONTROL_ERROR_INVALID },
		{ "connect_adapter", CONNECT("nic0", "none"), CONTROL_ERROR_INVALID },
		{ "connect_adapter", CONNECT("nic0", "tap"), CONTROL_ERROR_INVALID },
		{ "connect_adapter", CONNECT("x", "socket"), CONTROL_ERROR_NOT_FOUND },
		{ "disconnect_adapter", NAME("nic0"), CONTROL_ERROR_INVALID },
	};
	struct fixture *fixture = *state;
	AUTO_CLOSE int disk = make_disk(512);
	const int two[] = { disk, disk };
	char adapter[64];

	configure(fixture, endless, sizeof(endless), ", \"network_adapters\": [{}]");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_CLOSE int network =
			ask_with_network(fixture, rows[i].method, rows[i].arguments, rows[i].error);

		assert_let_go(fixture, network);
	}
	assert_string_equal(ask(fixture, "attach_adapter", ADAPTER("x", "socket")),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "connect_adapter", CONNECT("nic0", "tap")),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach_adapter", ADAPTER("x", "socket"), two, 2),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask_with(fixture, "attach_adapter", ADAPTER("x", "socket"), two, 1),
			    CONTROL_ERROR_INVALID);
	assert_string_equal(ask(fixture, "detach_adapter", NAME("x")), CONTROL_ERROR_NOT_FOUND);
	assert_string_equal(ask(fixture, "disconnect_adapter", NAME("x")), CONTROL_ERROR_NOT_FOUND);
	assert_adapters(fixture, "nic0 none");

	for (unsigned i = 1; i <= DEFINITION_ADAPTERS_MAX; i++) {
		snprintf(adapter, sizeof(adapter),
			 "{\"adapter\": {\"name\": \"n%u\"}, \"backend\": \"none\"}", i);
		assert_string_equal(ask(fixture, "attach_adapter", adapter),
				    i < DEFINITION_ADAPTERS_MAX ? "" : CONTROL_ERROR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unknown_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(what_needs_a_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(descriptors_and_their_names, setup, teardown),
		cmocka_unit_test_setup_teardown(definitions_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_that_are_no_message, setup, teardown),
		cmocka_unit_test_setup_teardown(a_socket_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_life, setup, teardown),
		cmocka_unit_test_setup_teardown(sockets_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(no_sockets_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(dump_into_a_file_with_content, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_that_crashes, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_that_floods, setup, teardown),
		cmocka_unit_test_setup_teardown(daemon_that_does_not_listen, setup, teardown),
		cmocka_unit_test_setup_teardown(actions_are_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(vps_are_pinned, setup, teardown),
		cmocka_unit_test_setup_teardown(daemon_that_goes_away, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_before_the_next_daemon, setup_listening,
						teardown),
		cmocka_unit_test_setup_teardown(daemon_that_cannot_be_taken_at_once,
						setup_listening, teardown),
		cmocka_unit_test_setup_teardown(daemon_that_is_followed_by_another, setup_listening,
						teardown),
		cmocka_unit_test_setup_teardown(daemon_that_leaves_a_vm_half_made, setup_listening,
						teardown),
		cmocka_unit_test_setup_teardown(stop_ends_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(disk_without_an_image, setup, teardown),
		cmocka_unit_test_setup_teardown(disks_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(media_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(adapters_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(adapters_that_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

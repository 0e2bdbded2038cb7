/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The console between serial port and descriptors: order, back-pressure, readers that stall. */
#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/serial.h"
#include "vmwp/chipset/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000ull

struct fixture {
	struct loop *loop;
	struct chipset *chipset;
	struct console *console;
	int ours; /* the other end of the console's socket */
	struct terminal terminal;
	bool drained;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
}

static void console_output(void *data)
{
	console_output_ready(((struct fixture *)data)->console);
}

static void console_room(void *data)
{
	console_input_room(((struct fixture *)data)->console);
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = console_output,
	.console_room = console_room,
};

static size_t filter(void *data, uint8_t *bytes, size_t size)
{
	struct fixture *fixture = data;

	return terminal_filter(&fixture->terminal, bytes, size);
}

static int setup_any(void **state, bool with_filter)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct console_config config = { .filter = with_filter ? filter : NULL, .data = fixture };
	int sockets[2];

	assert_non_null(fixture);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(fcntl(sockets[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(sockets[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(loop_new(64, &fixture->loop), 0);
	assert_int_equal(chipset_new(CHIPSET_SYNTHETIC, &callbacks, fixture, &fixture->chipset), 0);
	fixture->ours = sockets[0];
	config.loop = fixture->loop;
	config.chipset = fixture->chipset;
	config.input_fd = config.output_fd = sockets[1];
	assert_int_equal(console_new(&config, &fixture->console), 0);
	*state = fixture;
	return 0;
}

static int setup(void **state)
{
	return setup_any(state, false);
}

static int setup_terminal(void **state)
{
	return setup_any(state, true);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	loop_free(fixture->loop);
	console_free(fixture->console);
	chipset_free(fixture->chipset);
	close(fixture->ours);
	free(fixture);
	return 0;
}

static uint8_t port(struct fixture *fixture, uint16_t number, bool write, uint8_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = number, .size = 1, .write = write, .count = 1, .data = &value },
	};

	assert_int_equal(chipset_access(fixture->chipset, &exit), POWER_NOTHING);
	return value;
}

static void transmit(struct fixture *fixture, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		port(fixture, PLATFORM_SERIAL_PORT, true, bytes[i]);
}

/* Turns the loop until there are `size` bytes at our end. A minute is for ever. */
static void expect(struct fixture *fixture, const void *data, size_t size)
{
	AUTO_FREE uint8_t *got = malloc(size);
	uint64_t end = loop_now() + 60 * SECOND;
	size_t n = 0;

	assert_non_null(got);
	while (n < size && loop_now() < end) {
		ssize_t r = read(fixture->ours, got + n, size - n);

		if (r > 0)
			n += (size_t)r;
		else
			assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	}
	assert_int_equal(n, size);
	assert_memory_equal(got, data, size);
}

static bool guest_has_input(struct fixture *fixture)
{
	return port(fixture, PLATFORM_SERIAL_PORT + 5, false, 0) & 1;
}

static void expect_input(struct fixture *fixture, const char *text)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (*text && loop_now() < end) {
		if (guest_has_input(fixture))
			assert_int_equal(port(fixture, PLATFORM_SERIAL_PORT, false, 0), *text++);
		else
			assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	}
	assert_string_equal(text, "");
}

static void output_arrives_in_order(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[10000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 5);
	transmit(fixture, "hello", 5);
	expect(fixture, "hello", 5);
	transmit(fixture, bytes, sizeof(bytes));
	expect(fixture, bytes, sizeof(bytes));
}

static void input_waits_for_the_guest(void **state)
{
	struct fixture *fixture = *state;
	const char text[] = "The quick brown fox jumps over the lazy dog, twice or thrice a day.";

	assert_int_equal(write(fixture->ours, text, strlen(text)), (ssize_t)strlen(text));
	expect_input(fixture, text);
	assert_int_equal(write(fixture->ours, "more", 4), 4);
	expect_input(fixture, "more");
}

static void input_ends_and_output_goes_on(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(write(fixture->ours, "x", 1), 1);
	assert_int_equal(shutdown(fixture->ours, SHUT_WR), 0);
	expect_input(fixture, "x");
	transmit(fixture, "still here", 10);
	expect(fixture, "still here", 10);
	assert_false(guest_has_input(fixture));
}

static void guest_runs_on_when_nobody_reads(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;
	size_t sent = 0;

	/* More than socket and buffer hold: sooner or later the port is ready all the same. */
	while (sent < 4u << 20 && loop_now() < end) {
		if (port(fixture, PLATFORM_SERIAL_PORT + 5, false, 0) & 0x20) {
			transmit(fixture, "x", 1);
			sent++;
		} else {
			assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
		}
	}
	assert_int_equal(sent, 4u << 20);
}

static void reader_that_goes_away_is_no_reader(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->ours);
	fixture->ours = -1;
	guest_runs_on_when_nobody_reads(state);
}

static void set_drained(void *data)
{
	((struct fixture *)data)->drained = true;
}

static void draining_writes_all(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;

	transmit(fixture, "last words", 10);
	console_drain(fixture->console, set_drained, fixture);
	while (!fixture->drained && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_true(fixture->drained);
	expect(fixture, "last words", 10);
}

static void draining_does_not_wait_for_ever(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;

	for (int i = 0; i < 1000; i++) {
		static const uint8_t zeros[1024];

		transmit(fixture, zeros, sizeof(zeros));
		assert_int_equal(loop_run_once(fixture->loop, 0), 0);
	}
	console_drain(fixture->console, set_drained, fixture);
	while (!fixture->drained && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_true(fixture->drained);
}

static void no_descriptors_at_all(void **state)
{
	struct fixture *fixture = *state;
	const struct console_config config = {
		.loop = fixture->loop, .chipset = fixture->chipset, .input_fd = -1, .output_fd = -1
	};
	struct console *console;

	assert_int_equal(console_new(&config, &console), 0);
	fixture->drained = false;
	console_drain(console, set_drained, fixture);
	assert_true(fixture->drained);
	console_free(console);
}

static void terminal_keeps_its_keys(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(write(fixture->ours,
			       "a\x01\x01"
			       "b",
			       4),
			 4);
	expect_input(fixture, "a\x01"
			      "b");
	assert_false(fixture->terminal.quit);
	/* Across two reads, too. */
	assert_int_equal(write(fixture->ours, "\x01", 1), 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_false(guest_has_input(fixture));
	assert_int_equal(write(fixture->ours, "xyz", 3), 3);
	expect_input(fixture, "yz");
	assert_true(fixture->terminal.quit);
}

static void terminal_keys_work_when_the_guest_takes_none(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;
	char text[64];

	memset(text, 'n', sizeof(text));
	for (int i = 0; i < 200; i++) {
		assert_int_equal(write(fixture->ours, text, sizeof(text)), sizeof(text));
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
	}
	assert_int_equal(write(fixture->ours, "\x01x", 2), 2);
	while (!fixture->terminal.quit && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_true(fixture->terminal.quit);
	expect_input(fixture, "nnnn");
}

static void input_makes_the_other_end_wait(void **state)
{
	struct fixture *fixture = *state;
	static char text[64 * 1024];
	size_t sent = 0, taken = 0;
	uint64_t end = loop_now() + 60 * SECOND;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 11 + 1);
	while (taken < sizeof(text) && loop_now() < end) {
		ssize_t n = write(fixture->ours, text + sent, MIN(sizeof(text) - sent, 5000u));

		sent += n > 0 ? (size_t)n : 0;
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
		while (guest_has_input(fixture))
			assert_int_equal((char)port(fixture, PLATFORM_SERIAL_PORT, false, 0),
					 text[taken++]);
	}
	assert_int_equal(taken, sizeof(text)); /* nothing was lost */
}

/* Bytes are lost neither way, but for those that the old reader had taken. */
static void another_reader_takes_over(void **state)
{
	struct fixture *fixture = *state;
	int sockets[2];

	transmit(fixture, "one", 3);
	expect(fixture, "one", 3);
	close(fixture->ours);
	transmit(fixture, "two", 3);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
	fixture->ours = sockets[0];
	assert_int_equal(console_reconnect(fixture->console, sockets[1]), 0);
	transmit(fixture, "three", 5);
	expect(fixture, "twothree", 8);
	assert_int_equal(write(fixture->ours, "four", 4), 4);
	expect_input(fixture, "four");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(output_arrives_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(input_waits_for_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(input_ends_and_output_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_runs_on_when_nobody_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(reader_that_goes_away_is_no_reader, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_reader_takes_over, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_writes_all, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_does_not_wait_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(no_descriptors_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(input_makes_the_other_end_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(terminal_keeps_its_keys, setup_terminal, teardown),
		cmocka_unit_test_setup_teardown(terminal_keys_work_when_the_guest_takes_none,
						setup_terminal, teardown),
	};

	/* As the worker has it. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

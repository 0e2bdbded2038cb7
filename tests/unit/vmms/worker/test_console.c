/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The console: positions on the ring at its edges, clients that leave, and typing. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/base/log_file.h"
#include "vmms/worker/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	sd_event *loop;
	struct watches *watches;
	struct console *console;
	int worker; /* the worker's end; -1: not connected */
};

static const struct console_client_options types = { 0 };
static const struct console_client_options watcher = { .watch = true };
static const struct console_client_options takes = { .take = true };
static const struct console_client_options logs = { .log = true };
static const struct console_client_options until_off = { .until_off = true };

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_true(sd_event_new(&fixture->loop) >= 0);
	assert_int_equal(watches_new(fixture->loop, &fixture->watches), 0);
	assert_int_equal(console_new(fixture->watches, NULL, "", &fixture->console), 0);
	assert_int_equal(console_connect(fixture->console, &fixture->worker), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	console_free(fixture->console);
	close_fdp(&fixture->worker);
	watches_free(fixture->watches);
	sd_event_unref(fixture->loop);
	free(fixture);
	return 0;
}

/* Until nothing is left to do. */
static void settle(struct fixture *fixture)
{
	while (sd_event_run(fixture->loop, 0) > 0)
		;
}

static int open_client(struct fixture *fixture, const struct console_client_options *options,
		       bool typing)
{
	bool may_type;
	int fd;

	assert_int_equal(console_open(fixture->console, options, &fd, &may_type), 0);
	assert_int_equal(may_type, typing);
	return fd;
}

static void guest_says(struct fixture *fixture, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fixture->worker, bytes, size, MSG_DONTWAIT);

		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
		settle(fixture);
	}
}

/* Bytes that were written, and those that are said to be left out. */
static size_t count_kept(const char *text)
{
	size_t count = 0;

	while (*text != '\0') {
		if (strncmp(text, "\r\n[", 3) == 0) {
			count += strtoul(text + 3, NULL, 10);
			text = strstr(text, "]\r\n") + 3;
		} else {
			count++;
			text++;
		}
	}
	return count;
}

/* All that the client can read now. Return: bytes; -1: at once the end. */
static ssize_t client_reads(struct fixture *fixture, int fd, char *buffer, size_t size)
{
	size_t used = 0;
	ssize_t n;

	do {
		settle(fixture);
		n = recv(fd, buffer + used, size - used, MSG_DONTWAIT);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0);
	return n == 0 && used == 0 ? -1 : (ssize_t)used;
}

static void assert_reads(struct fixture *fixture, int fd, const char *expected)
{
	char buffer[1024];
	ssize_t size = client_reads(fixture, fd, buffer, sizeof(buffer) - 1);

	assert_true(size >= 0);
	buffer[size] = '\0';
	assert_string_equal(buffer, expected);
}

static void assert_ended(struct fixture *fixture, int fd)
{
	char byte;

	assert_int_equal(client_reads(fixture, fd, &byte, 1), -1);
}

static void test_everybody_gets_everything(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int first = open_client(fixture, &types, true);
	AUTO_CLOSE int second = -1;

	guest_says(fixture, "one ", 4);
	second = open_client(fixture, &types, false);
	guest_says(fixture, "two\n", 4);
	assert_reads(fixture, first, "one two\n");
	assert_reads(fixture, second, "one two\n");
}

/* The ring, byte for byte, around its size. */
static void test_scroll_back_at_its_edges(void **state)
{
	static const size_t sizes[] = { 1, CONSOLE_SCROLLBACK - 1, CONSOLE_SCROLLBACK,
					CONSOLE_SCROLLBACK + 1, 3 * CONSOLE_SCROLLBACK + 17 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		AUTO_FREE char *bytes = malloc(sizes[i]);
		AUTO_FREE char *read = malloc(2 * CONSOLE_SCROLLBACK);
		size_t kept = MIN(sizes[i], (size_t)CONSOLE_SCROLLBACK);
		AUTO_CLOSE int client = -1;
		struct fixture *fixture;

		setup((void **)&fixture);
		for (size_t j = 0; j < sizes[i]; j++)
			bytes[j] = (char)(j * 7 + j / 251);
		guest_says(fixture, bytes, sizes[i]);
		client = open_client(fixture, &logs, false);
		assert_int_equal(client_reads(fixture, client, read, 2 * CONSOLE_SCROLLBACK), kept);
		assert_memory_equal(read, bytes + sizes[i] - kept, kept);
		assert_ended(fixture, client);
		teardown((void **)&fixture);
	}
}

static void test_a_slow_client_is_told_what_it_lost(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int slow = open_client(fixture, &watcher, false);
	size_t total = 3 * 1024 * 1024, size = 2 * 1024 * 1024;
	AUTO_FREE char *bytes = malloc(total);
	AUTO_FREE char *read = malloc(size);
	unsigned long long lost = 0;
	char *notice;
	ssize_t got;

	memset(bytes, 'x', total);
	guest_says(fixture, bytes, total);
	got = client_reads(fixture, slow, read, size - 1);
	assert_true(got > CONSOLE_SCROLLBACK && (size_t)got < size - 1);
	read[got] = '\0';
	notice = strstr(read, "\r\n[");
	assert_non_null(notice);
	assert_int_equal(sscanf(notice, "\r\n[%llu bytes lost]\r\n", &lost), 1);
	notice = strstr(notice + 2, "\r\n") + 2;
	/* What came before the notice, what was lost, and what came after it is everything. */
	assert_int_equal((size_t)(strstr(read, "\r\n[") - read) + lost + strlen(notice), total);
}

static void test_typing(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int first = open_client(fixture, &types, true);
	AUTO_CLOSE int second = open_client(fixture, &types, false);
	AUTO_CLOSE int third = -1;

	assert_int_equal(send(second, "no", 2, 0), 2);
	assert_int_equal(send(first, "yes", 3, 0), 3);
	assert_reads(fixture, fixture->worker, "yes");
	third = open_client(fixture, &takes, true);
	assert_int_equal(send(first, "no", 2, 0), 2);
	assert_int_equal(send(third, "took", 4, 0), 4);
	assert_reads(fixture, fixture->worker, "took");
	close_fdp(&third);
	settle(fixture);
	third = open_client(fixture, &types, true);
}

/* A worker that does not read: what is typed waits in the client's own socket. */
static void test_typing_waits_for_the_worker(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int client = open_client(fixture, &types, true);
	size_t sent = 0, received = 0;
	char bytes[4096];
	ssize_t n;

	for (int idle = 0; idle < 2;) {
		memset(bytes, (char)('a' + sent / sizeof(bytes) % 26), sizeof(bytes));
		n = send(client, bytes, sizeof(bytes), MSG_DONTWAIT);
		idle = n < 0 ? idle + 1 : 0;
		sent += n > 0 ? (size_t)n : 0;
		settle(fixture);
	}
	do {
		n = recv(fixture->worker, bytes, sizeof(bytes), MSG_DONTWAIT);
		received += n > 0 ? (size_t)n : 0;
		settle(fixture);
	} while (n > 0);
	assert_int_equal(received, sent);
}

static void test_runs_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int stays = open_client(fixture, &types, true);
	AUTO_CLOSE int leaves = open_client(fixture, &until_off, false);

	guest_says(fixture, "first\n", 6);
	assert_int_equal(send(fixture->worker, "last words\n", 11, 0), 11);
	console_disconnect(fixture->console);
	close_fdp(&fixture->worker);
	assert_reads(fixture, leaves, "first\nlast words\n");
	assert_ended(fixture, leaves);
	assert_reads(fixture, stays, "first\nlast words\n");
	assert_int_equal(send(stays, "to nobody", 9, 0), 9);
	settle(fixture);
	assert_int_equal(console_connect(fixture->console, &fixture->worker), 0);
	guest_says(fixture, "second\n", 7);
	assert_reads(fixture, stays, "second\n");
	assert_int_equal(send(stays, "x", 1, 0), 1);
	assert_reads(fixture, fixture->worker, "x");
}

static void test_worker_closes_its_end(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int client = open_client(fixture, &types, true);

	guest_says(fixture, "bye", 3);
	close_fdp(&fixture->worker);
	assert_reads(fixture, client, "bye");
	assert_int_equal(send(client, "x", 1, 0), 1);
	settle(fixture);
	assert_reads(fixture, client, "");
}

static void test_until_off_without_a_run(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int client = -1;

	guest_says(fixture, "before", 6);
	console_disconnect(fixture->console);
	client = open_client(fixture, &until_off, true);
	assert_reads(fixture, client, "before");
	assert_ended(fixture, client);
}

static void test_log_of_a_vm_that_never_ran(void **state)
{
	struct fixture *fixture = *state;
	struct console *console;
	AUTO_CLOSE int client = -1;
	bool typing;
	char byte;

	assert_int_equal(console_new(fixture->watches, NULL, "", &console), 0);
	assert_int_equal(console_open(console, &logs, &client, &typing), 0);
	settle(fixture);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	console_free(console);
}

/* A guest that writes without end: what is kept of it is bounded, and told. */
static void test_the_log_has_a_rate(void **state)
{
	char directory[] = "/tmp/vmms-console-XXXXXX", path[64], old_path[64];
	struct fixture *fixture = *state;
	AUTO_FREE char *kept = NULL;
	struct log_file *log, *reader;
	size_t size, sent = 0;
	char block[4096];

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/console", directory);
	snprintf(old_path, sizeof(old_path), "%s/console.old", directory);
	assert_int_equal(log_file_new(directory, "console", 64 << 20, &log), 0);
	assert_int_equal(log_file_new(directory, "console", 64 << 20, &reader), 0);
	console_keep(fixture->console, log);
	memset(block, 'x', sizeof(block));
	for (; sent < 3 * CONSOLE_LOG_BOUND; sent += sizeof(block))
		guest_says(fixture, block, sizeof(block));
	console_disconnect(fixture->console);
	assert_int_equal(log_file_read(reader, 64 << 20, &kept, &size), 0);
	assert_true(size >= CONSOLE_LOG_BOUND);
	assert_non_null(strstr(kept, " bytes left out]\r\n"));
	assert_int_equal(count_kept(kept), sent);
	log_file_free(reader);
	unlink(path);
	unlink(old_path);
	rmdir(directory);
}

static void test_no_more_than_so_many(void **state)
{
	struct fixture *fixture = *state;
	int fds[CONSOLE_CLIENTS_MAX], fd = -1;
	bool typing;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = open_client(fixture, &watcher, false);
	assert_int_equal(console_open(fixture->console, &watcher, &fd, &typing), -EUSERS);
	assert_int_equal(fd, -1);
	close(fds[3]);
	settle(fixture);
	fds[3] = open_client(fixture, &watcher, false);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	settle(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everybody_gets_everything, setup, teardown),
		cmocka_unit_test(test_scroll_back_at_its_edges),
		cmocka_unit_test_setup_teardown(test_a_slow_client_is_told_what_it_lost, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_typing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_typing_waits_for_the_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_closes_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_until_off_without_a_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_of_a_vm_that_never_ran, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_log_has_a_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_so_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

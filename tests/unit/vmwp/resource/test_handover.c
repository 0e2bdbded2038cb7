/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptors that a worker hands over: all arrive by name, and nothing else does. */
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/control.h"
#include "tests/unit/unit.h"
#include "vmwp/resource/resources.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 150 /* more than go into two messages */

struct fixture {
	struct resources *resources;
	struct handover handover;
	int near, far;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	assert_non_null(f);
	assert_int_equal(resources_new(&f->resources), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->near = pair[0];
	f->far = pair[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < f->handover.count; i++)
		close(f->handover.items[i].fd);
	close(f->near);
	close(f->far);
	resources_free(f->resources);
	free(f);
	return 0;
}

static int new_file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static ino_t inode(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static void all_arrive(void **state)
{
	struct fixture *f = *state;
	char name[RESOURCES_NAME_MAX];

	assert_int_equal(handover_add(&f->handover, "initrd", -1), 0);
	assert_int_equal(f->handover.count, 0);
	for (unsigned i = 0; i < MANY; i++) {
		resources_disk_name(i / 64, i % 64, name);
		assert_int_equal(handover_add(&f->handover, name, new_file()), 0);
	}
	resources_memory_name(0, name);
	assert_int_equal(handover_add(&f->handover, name, new_file()), 0);
	assert_int_equal(handover_send(&f->handover, f->near), 0);
	assert_int_equal(handover_receive(f->resources, f->far), 0);
	for (unsigned i = 0; i < f->handover.count; i++) {
		int fd = resources_take(f->resources, f->handover.items[i].name);

		assert_true(fd >= 0);
		assert_int_equal(inode(fd), inode(f->handover.items[i].fd));
		close(fd);
	}
	assert_int_equal(resources_take(f->resources, "initrd"), -1);
}

static void there_is_room_for_so_many(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < HANDOVER_MAX; i++)
		assert_int_equal(handover_add(&f->handover, "end", new_file()), 0);
	assert_int_equal(handover_add(&f->handover, "end", f->near), -E2BIG);
	assert_int_equal(handover_send(&f->handover, f->near), 0);
	assert_int_equal(handover_receive(f->resources, f->far), 0);
}

/* Sends one message, of a method, with names as JSON and a descriptor. */
static void send_message(const struct fixture *f, const char *method, const char *names)
{
	AUTO_JSON struct json_object *arguments =
		json_make("names", json_tokener_parse(names), NULL);
	int fd = new_file();

	assert_int_equal(control_send_request(f->near, 1, method, arguments, &fd, 1), 0);
	close(fd);
}

static void nothing_else_is_taken(void **state)
{
	static const struct {
		const char *method, *names;
	} cases[] = {
		{ "start", "[\"end\"]" },
		{ "descriptors", "[]" },
		{ "descriptors", "[\"end\", \"serial\"]" },
		{ "descriptors", "\"end\"" },
		{ "descriptors", "[null]" },
		{ "descriptors", "[\"memory:128\"]" },
		{ "descriptors", "[\"memory:01\"]" },
		{ "descriptors", "[\"memory:\"]" },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		send_message(f, cases[i].method, cases[i].names);
		assert_int_equal(handover_receive(f->resources, f->far), -EINVAL);
	}
	assert_int_equal(write(f->near, "{", 1), 1);
	assert_int_equal(handover_receive(f->resources, f->far), -EINVAL);
	assert_int_equal(handover_receive(f->resources, f->far), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_room_for_so_many, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_else_is_taken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name servers for guests, by files of the test's own. */
#include "tests/unit/unit.h"
#include "vmms/network/resolvers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char found[RESOLVERS_MAX][INET6_ADDRSTRLEN];

static void write_file(char path[static 32], const char *text)
{
	int fd;

	snprintf(path, 32, "/tmp/resolvers-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "%s", text), (int)strlen(text));
	close(fd);
}

static size_t find(const char *own, const char *upstream)
{
	char paths[2][32];
	size_t count;

	write_file(paths[0], own);
	write_file(paths[1], upstream);
	count = resolvers_find_in(paths[0], paths[1], found, RESOLVERS_MAX);
	unlink(paths[0]);
	unlink(paths[1]);
	return count;
}

static const char stub[] = "# a stub\nnameserver 127.0.0.53\noptions edns0\nsearch .\n";

static void test_the_hosts_own_do(void **state)
{
	assert_int_equal(find("nameserver 192.0.2.53\n", "nameserver 192.0.2.54\n"), 0);
	assert_int_equal(
		find("nameserver 127.0.0.1\nnameserver 2001:db8::53\n", "nameserver 192.0.2.54\n"),
		0);
	assert_int_equal(find("", "nameserver 192.0.2.54\n"), 0);
}

static void test_on_the_loopback(void **state)
{
	assert_int_equal(find(stub, "nameserver 192.0.2.54\nnameserver 2001:db8::54\n"), 2);
	assert_string_equal(found[0], "192.0.2.54");
	assert_string_equal(found[1], "2001:db8::54");
	assert_int_equal(find("nameserver ::1\n",
			      "nameserver 127.0.0.1\nnameserver x\n"
			      "nameserver fe80::1%eth0\nnameserver 192.0.2.1\n"),
			 1);
	assert_string_equal(found[0], "192.0.2.1");
}

static void test_bounds(void **state)
{
	static char text[300 * 32];
	size_t size = 0;

	for (int i = 1; i < 250; i++)
		size += (size_t)snprintf(text + size, sizeof(text) - size,
					 "nameserver 192.0.2.%d\n", i);
	assert_int_equal(find(stub, text), RESOLVERS_MAX);
	assert_int_equal(resolvers_find_in("/nonexistent", "/nonexistent", found, 1), 0);
	memset(text, 'n', sizeof(text) - 1);
	assert_int_equal(find(stub, text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hosts_own_do),
		cmocka_unit_test(test_on_the_loopback),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of other hosts, and words for the shells there. */
#include "tests/unit/unit.h"

#include "common/base/parse.h"
#include "vmms/vmctl/remote_host.h"
#include "vmms/vmctl/remote_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_host(const char *text, const char *destination, const char *port)
{
	struct remote_host host;

	assert_int_equal(remote_host_parse(text, &host), 0);
	assert_string_equal(host.destination, destination);
	assert_string_equal(host.port, port);
}

static void test_hosts(void **state)
{
	assert_host("far", "far", "");
	assert_host("root@far.example:2222", "root@far.example", "2222");
	assert_host("a.b+c-d@corp.example@far_1", "a.b+c-d@corp.example@far_1", "");
	assert_host("192.0.2.1:1", "192.0.2.1", "1");
	assert_host("::1", "::1", "");
	assert_host("root@fe80::1%eth0.5", "root@fe80::1%eth0.5", "");
	assert_host("[2001:db8::1]", "2001:db8::1", "");
	assert_host("root@[2001:db8::1]:65535", "root@2001:db8::1", "65535");
}

static void test_what_is_none(void **state)
{
	static const char *const texts[] = {
		"",      "-",         "-oX=y",     "-v@far",  "far -v",   "far;x",
		"f'r",   "@far",      "root@",     "root@-x", "far:",     "far:0",
		"far:x", "far:65536", "[::1",      "[far]",   "[::1]22",  "::g",
		"::1%",  "::1%-x",    "ssh://far", "a/b",     "far\n",    "~",
		"$HOME", ".far",      "\xc3\xa9",  "far:+1",  "us er@far"
	};
	struct remote_host host;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(remote_host_parse(texts[i], &host), -EINVAL);
}

/* A user, and a host, as long as they may be; a byte more is refused. */
static void test_lengths(void **state)
{
	char text[400];
	struct remote_host host;

	memset(text, 'u', 64);
	text[64] = '@';
	memset(text + 65, 'h', 253);
	strcpy(text + 65 + 253, ":65535");
	assert_int_equal(remote_host_parse(text, &host), 0);
	assert_int_equal(strlen(host.destination), 64 + 1 + 253);
	memset(text + 65, 'h', 254);
	text[65 + 254] = '\0';
	assert_int_equal(remote_host_parse(text, &host), -EINVAL);
	memset(text, 'u', 65);
	strcpy(text + 65, "@h");
	assert_int_equal(remote_host_parse(text, &host), -EINVAL);
}

static void assert_words(const char *first, const char *second, const char *line)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	remote_word_print(stream, first);
	remote_word_print(stream, second);
	assert_int_equal(fclose(stream), 0);
	assert_string_equal(text, line);
	free(text);
}

static void test_words(void **state)
{
	assert_words("vmctl", "--name=web_1", "vmctl --name=web_1");
	assert_words("", "a b", "'' 'a b'");
	assert_words("it's", "\\", "'it'\\''s' \\\\");
	assert_words("=ls", "$x`y`", "'=ls' '$x`y`'");
	assert_words("'", "\n", "\\' '\n'");
	assert_words("~", "%1", "'~' '%1'");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hosts),
					    cmocka_unit_test(test_what_is_none),
					    cmocka_unit_test(test_lengths),
					    cmocka_unit_test(test_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

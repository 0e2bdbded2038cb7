/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a VM's AppArmor profile: what is refused, what is bounded, and that the parser
 * understands it.
 */
#include "tests/unit/unit.h"
#include "vmms/apparmor/apparmor_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "vmms-01234567-89ab-cdef-0123-456789abcdef-00000000000000ff"

static struct guid uuid_of(const char *text)
{
	struct guid uuid;

	assert_int_equal(guid_parse(text, &uuid), 0);
	return uuid;
}

static struct apparmor_programs programs_of(void)
{
	return (struct apparmor_programs){ "/usr/libexec/vmms/vmwp", "/usr/bin/server",
					   "/usr/libexec/vmms/image-guard.so", "/usr/bin/passt",
					   "/usr/libexec/vmms/vmms-screen" };
}

/* ---- Names ---- */

static void a_name_has_uuid_and_number(void **state)
{
	const struct guid uuid = uuid_of("01234567-89ab-cdef-0123-456789abcdef");
	char name[APPARMOR_NAME_SIZE];
	uint64_t number;

	apparmor_profile_name(&uuid, 0xff, name);
	assert_string_equal(name, NAME);
	assert_int_equal(apparmor_profile_number(name, &number), 0);
	assert_int_equal(number, 0xff);
	apparmor_profile_name(&uuid, UINT64_MAX, name);
	assert_int_equal(apparmor_profile_number(name, &number), 0);
	assert_true(number == UINT64_MAX);
	assert_true(strlen(name) + strlen(APPARMOR_IMAGE_SERVER) < APPARMOR_NAME_SIZE);
}

static void other_names_are_not_ours(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"..",
		"vmms-",
		"usr.bin.passt",
		NAME "0",
		"xmms-01234567-89ab-cdef-0123-456789abcdef-00000000000000ff",
		"vmms-01234567-89ab-cdef-0123-456789abcdef+00000000000000ff",
		"vmms-01234567-89ab-cdef-0123-456789abcdef-0000000000000xff",
		"vmms-01234567-89ab-cdef-0123-456789abcdef--0000000000000ff",
		"vmms-01234567-89ab-cdef-0123-456789abcdef-              ff",
		"vmms-01234567-89ab-cdef-0123-456789abcdeg-00000000000000ff",
		"vmms-01234567-89ab-cdef-0123-456789abcdef-0000000000000/ff",
	};
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(apparmor_profile_number(names[i], &number), -EINVAL);
}

/* ---- Paths ---- */

static void only_plain_paths_are_written(void **state)
{
	static const char forbidden[] = "\"'\\*?[]{}^@,#$()<>|&;:!%`\n\r\t\x01\x7f\x80\xff\xc3\xa4";
	char text[APPARMOR_PROFILE_SIZE], path[16];

	for (int i = 0; i < 5; i++) {
		for (const char *byte = forbidden; *byte; byte++) {
			struct apparmor_programs programs = programs_of();
			const char **each[] = { &programs.worker, &programs.image_server,
						&programs.image_guard, &programs.passt,
						&programs.screen };

			snprintf(path, sizeof(path), "/a%cb", *byte);
			*each[i] = path;
			assert_int_equal(apparmor_profile_write(NAME, &programs, text), -EINVAL);
		}
	}
	assert_false(apparmor_path_is_plain(""));
	assert_false(apparmor_path_is_plain("usr/bin/vmwp"));
	assert_true(apparmor_path_is_plain("/"));
	assert_true(apparmor_path_is_plain("/my build/lib+x_1.2-3/a=b~/vmwp"));
}

static void what_does_not_fit_is_refused(void **state)
{
	static char path[APPARMOR_PROFILE_SIZE];
	struct apparmor_programs programs = programs_of();
	char text[APPARMOR_PROFILE_SIZE];
	size_t fixed, room;

	assert_int_equal(apparmor_profile_write(NAME, &programs, text), 0);
	fixed = strlen(text) - strlen(programs.worker);
	room = APPARMOR_PROFILE_SIZE - 1 - fixed;
	memset(path, 'x', room);
	path[0] = '/';
	programs.worker = path;
	assert_int_equal(apparmor_profile_write(NAME, &programs, text), 0);
	assert_int_equal(strlen(text), APPARMOR_PROFILE_SIZE - 1);
	path[room] = 'x';
	assert_int_equal(apparmor_profile_write(NAME, &programs, text), -ENAMETOOLONG);
}

/* ---- The parser ---- */

/* It compiles the profile, and gives it to no kernel. */
static int parse(const struct apparmor_programs *programs, char *names, size_t size)
{
	char text[APPARMOR_PROFILE_SIZE], path[] = "/tmp/vmms-profile-XXXXXX", command[1024];
	int fd = mkstemp(path);
	size_t got;
	FILE *said;

	assert_true(fd >= 0);
	assert_int_equal(apparmor_profile_write(NAME, programs, text), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin; apparmor_parser -Q -T -K -I '%1$s' '%2$s' 2>&1 && "
		 "apparmor_parser -N -T -K -I '%1$s' '%2$s'",
		 VMMS_APPARMOR_SOURCE, path);
	said = popen(command, "r");
	assert_non_null(said);
	got = fread(names, 1, size - 1, said);
	names[got] = '\0';
	unlink(path);
	return pclose(said);
}

static void the_parser_takes_it(void **state)
{
	const struct apparmor_programs programs[] = {
		programs_of(),
		{ "/my build/bin/vmwp", "/opt/a=b~/q", "/x y/image-guard.so", "/+_-./passt",
		  "/a b/screen" },
	};
	char names[4096];

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		assert_int_equal(parse(&programs[i], names, sizeof(names)), 0);
		assert_non_null(strstr(names, NAME "\n"));
		assert_non_null(strstr(names, NAME APPARMOR_IMAGE_SERVER "\n"));
		assert_non_null(strstr(names, NAME APPARMOR_NETWORK "\n"));
		assert_non_null(strstr(names, NAME APPARMOR_SCREEN "\n"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_uuid_and_number),
		cmocka_unit_test(other_names_are_not_ours),
		cmocka_unit_test(only_plain_paths_are_written),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(the_parser_takes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

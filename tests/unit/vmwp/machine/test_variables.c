/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware's variables in their file: at first, later, and after a crash at any time. */
#include "tests/unit/unit.h"
#include "vmwp/machine/variables.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COPY_SIZE (sizeof(struct variables_head) + FLASH_SIZE)

struct fixture {
	struct loop *loop;
	struct variables *variables;
	int template_fd, fd;
	bool done;
	unsigned failures;
	struct failure failure;
};

static void copy(void *data, uint8_t ret_bytes[static FLASH_SIZE])
{
	memcpy(ret_bytes, variables_bytes(((struct fixture *)data)->variables), FLASH_SIZE);
}

static void failed(void *data, int error)
{
	assert_true(error < 0);
	((struct fixture *)data)->failures++;
}

static const struct variables_callbacks callbacks = { .copy = copy, .failed = failed };

static void done(void *data)
{
	((struct fixture *)data)->done = true;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new(64, &f->loop), 0);
	f->template_fd = memfd_create("template", MFD_CLOEXEC);
	f->fd = memfd_create("variables", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->template_fd, FLASH_SIZE), 0);
	assert_int_equal(pwrite(f->template_fd, "new", 3, 100), 3);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	variables_free(f->variables);
	loop_free(f->loop);
	close(f->template_fd);
	close(f->fd);
	free(f);
	return 0;
}

static int open_variables(struct fixture *f)
{
	variables_free(f->variables);
	f->variables = NULL;
	return variables_new(f->loop, f->template_fd, f->fd, &callbacks, f, &f->variables,
			     &f->failure);
}

static void flush(struct fixture *f)
{
	f->done = false;
	variables_flush(f->variables, done, f);
	while (!f->done)
		assert_int_equal(loop_run_once(f->loop, 1000000000), 0);
}

static void set(struct fixture *f, const char *text)
{
	strcpy((char *)variables_bytes(f->variables) + 100, text);
	variables_changed(f->variables);
}

static void assert_is(struct fixture *f, const char *text)
{
	assert_int_equal(open_variables(f), 0);
	assert_string_equal((const char *)variables_bytes(f->variables) + 100, text);
}

static void spoil(struct fixture *f, unsigned which, off_t offset)
{
	uint8_t byte;
	off_t at = (off_t)(which * COPY_SIZE) + offset;

	assert_int_equal(pread(f->fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(f->fd, &byte, 1, at), 1);
}

static void they_begin_as_the_packages(void **state)
{
	struct fixture *f = *state;

	assert_is(f, "new");
	flush(f);
	assert_int_equal(lseek(f->fd, 0, SEEK_END), 0);
}

static void they_are_kept(void **state)
{
	struct fixture *f = *state;

	assert_is(f, "new");
	set(f, "first");
	set(f, "second");
	flush(f);
	assert_is(f, "second");
	set(f, "third");
	flush(f);
	assert_is(f, "third");
	assert_int_equal(lseek(f->fd, 0, SEEK_END), 2 * COPY_SIZE);
}

/* Each one is written over the older copy alone, so that a piece of it harms nothing. */
static void a_copy_that_is_not_whole_leaves_the_one_before(void **state)
{
	static const off_t places[] = { 0, 8, 12, 16, 24, 28, 4096 + 100, COPY_SIZE - 1 };
	struct fixture *f = *state;

	assert_is(f, "new");
	set(f, "first");
	flush(f);
	set(f, "second");
	flush(f);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		spoil(f, 0, places[i]); /* sequence 2 */
		assert_is(f, "first");
		spoil(f, 0, places[i]);
		assert_is(f, "second");
	}
	assert_int_equal(ftruncate(f->fd, COPY_SIZE + 5000), 0);
	assert_is(f, "second");
}

static void a_first_copy_that_is_not_whole_is_none(void **state)
{
	struct fixture *f = *state;

	assert_is(f, "new");
	set(f, "first");
	flush(f);
	assert_int_equal(ftruncate(f->fd, COPY_SIZE + 5000), 0);
	assert_is(f, "new");
	set(f, "first");
	flush(f);
	assert_is(f, "first");
}

static void a_file_without_any_copy_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_is(f, "new");
	set(f, "first");
	flush(f);
	set(f, "second");
	flush(f);
	spoil(f, 0, 4096);
	spoil(f, 1, 4096);
	assert_int_equal(open_variables(f), -EINVAL);
	assert_non_null(strstr(f->failure.message, "damaged; 'vmctl firmware reset'"));
	f->failure = (struct failure){ 0 };
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(ftruncate(f->template_fd, 4096), 0);
	assert_int_equal(open_variables(f), -EINVAL);
	assert_non_null(strstr(f->failure.message, "OVMF_VARS_4M.fd"));
}

static void without_a_file_they_are_kept_nowhere(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	f->fd = -1;
	assert_is(f, "new");
	set(f, "first");
	flush(f);
	assert_is(f, "new");
}

static void a_file_that_cannot_be_written_is_told_of_once(void **state)
{
	struct fixture *f = *state;

	assert_is(f, "new");
	close(f->fd);
	f->fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(open_variables(f), 0);
	for (unsigned i = 0; i < 3; i++) {
		set(f, "lost");
		flush(f);
	}
	assert_int_equal(f->failures, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_begin_as_the_packages, setup, teardown),
		cmocka_unit_test_setup_teardown(they_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_that_is_not_whole_leaves_the_one_before,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_first_copy_that_is_not_whole_is_none, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_file_without_any_copy_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_a_file_they_are_kept_nowhere, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_be_written_is_told_of_once,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

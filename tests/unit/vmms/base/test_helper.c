/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work by short-lived processes: what they say, what they have, and when nobody waits any more. */
#include "tests/unit/unit.h"
#include "vmms/base/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOT_YET 1

static sd_event *loop;
static struct helpers *helpers;
static char said[HELPER_MESSAGE_MAX];
static unsigned messages;
static int descriptor, result;

static int set_up(void **state)
{
	said[0] = '\0';
	messages = 0;
	descriptor = -1;
	result = NOT_YET;
	if (sd_event_new(&loop) < 0)
		return -1;
	return helpers_new(loop, &helpers);
}

static int tear_down(void **state)
{
	helpers_free(helpers);
	sd_event_unref(loop);
	close_fdp(&descriptor);
	/* Whatever was killed with them. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	return 0;
}

static void heard(void *owner, const void *bytes, size_t size, int fd)
{
	assert_ptr_equal(owner, &messages);
	assert_true(size < sizeof(said));
	memcpy(said, bytes, size);
	said[size] = '\0';
	messages++;
	if (fd >= 0) {
		close_fdp(&descriptor);
		descriptor = fd;
	}
}

static void ended(void *owner, int how)
{
	assert_ptr_equal(owner, &messages);
	assert_int_equal(result, NOT_YET);
	result = how;
}

static const struct helper_callbacks callbacks = { .message = heard, .ended = ended };

static struct helper_config config_of(void (*work)(int socket, void *data), void *data)
{
	return (struct helper_config){ .whose = "somebody",
				       .work = work,
				       .data = data,
				       .callbacks = &callbacks,
				       .owner = &messages };
}

static time_t a_minute_from_now(void)
{
	return time(NULL) + 60;
}

static void run_until_end(void)
{
	for (time_t end = a_minute_from_now(); result == NOT_YET && time(NULL) < end;)
		assert_true(sd_event_run(loop, 100000) >= 0);
	assert_int_not_equal(result, NOT_YET);
}

/* ---- What a process says ---- */

static void say_numbers(int socket, void *data)
{
	int null = open("/dev/null", O_RDONLY);

	for (int i = 1; i <= 300; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		helper_send(socket, text, strlen(text), i % 2 ? null : -1);
	}
}

static void test_messages(void **state)
{
	const struct helper_config config = config_of(say_numbers, NULL);
	struct helper *helper;

	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	run_until_end();
	assert_int_equal(result, 0);
	assert_int_equal(messages, 300);
	assert_string_equal(said, "300");
	assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
}

/* A copy of what was in memory; of descriptors, those alone that are kept. */
static void look_around(int socket, void *data)
{
	const int *fds = data;
	char text[64];

	snprintf(text, sizeof(text), "%d %d %d %d", fcntl(fds[0], F_GETFD) >= 0,
		 fcntl(fds[1], F_GETFD) >= 0, fcntl(fds[2], F_GETFD) >= 0, getsid(0) == getpid());
	helper_send(socket, text, strlen(text), -1);
}

static void test_descriptors(void **state)
{
	int fds[3];
	struct helper_config config = config_of(look_around, fds);
	struct helper *helper;

	for (int i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	config.kept = &fds[1];
	config.kept_count = 1;
	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	run_until_end();
	assert_string_equal(said, "0 1 0 1");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void die(int socket, void *data)
{
	helper_send(socket, "x", 1, -1);
	kill(getpid(), SIGKILL);
}

static void test_a_process_that_is_killed(void **state)
{
	const struct helper_config config = config_of(die, NULL);
	struct helper *helper;

	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	run_until_end();
	assert_int_equal(result, 0);
	assert_int_equal(messages, 1);
}

/* ---- When it takes too long ---- */

static void wait_for_ever(int socket, void *data)
{
	helper_send(socket, "x", 1, -1);
	for (;;)
		pause();
}

static void test_its_time_is_over(void **state)
{
	struct helper_config config = config_of(wait_for_ever, NULL);
	struct helper *helper;

	config.timeout = 1;
	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	run_until_end();
	assert_int_equal(result, -ETIMEDOUT);
	assert_int_equal(messages, 1);
}

static void test_cancelling(void **state)
{
	const struct helper_config config = config_of(wait_for_ever, NULL);
	struct helper *helper;

	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	helper_cancel(helper);
	assert_int_equal(result, NOT_YET);
	run_until_end();
	assert_int_equal(result, -ECANCELED);
}

static void test_too_many_that_do_not_end(void **state)
{
	struct helper_config config = config_of(wait_for_ever, NULL), other = config;
	struct helper *helper;

	/* Killed they are; that they have ended, nobody has noticed yet. */
	for (int i = 0; i < HELPERS_STUCK_MAX; i++) {
		assert_int_equal(helper_new(helpers, &config, &helper), 0);
		helper_free(helper);
	}
	assert_int_equal(helper_new(helpers, &config, &helper), -EBUSY);
	other.whose = "another";
	assert_int_equal(helper_new(helpers, &other, &helper), 0);
	helper_free(helper);
	assert_int_equal(result, NOT_YET);
	for (time_t end = a_minute_from_now();
	     helper_new(helpers, &config, &helper) == -EBUSY && time(NULL) < end;)
		assert_true(sd_event_run(loop, 100000) >= 0);
	helper_cancel(helper);
	run_until_end();
	assert_int_equal(result, -ECANCELED);
}

/* Of many users together: then one who has some gets no more, and one who has none gets one. */
static void test_too_many_of_all(void **state)
{
	struct helper_config config = config_of(wait_for_ever, NULL);
	struct helper *helper;
	char whose[16];

	config.whose = whose;
	for (unsigned i = 0; i < HELPERS_STUCK_ALL_MAX; i++) {
		snprintf(whose, sizeof(whose), "user %u", i / (HELPERS_STUCK_MAX / 2));
		assert_int_equal(helper_new(helpers, &config, &helper), 0);
		helper_free(helper);
	}
	assert_int_equal(helpers_count_stuck(helpers, NULL), HELPERS_STUCK_ALL_MAX);
	assert_int_equal(helper_new(helpers, &config, &helper), -EBUSY);
	config.whose = "another";
	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	helper_free(helper);
	assert_int_equal(helper_new(helpers, &config, &helper), -EBUSY);
}

static void test_the_end_of_all(void **state)
{
	const struct helper_config config = config_of(wait_for_ever, NULL);
	struct helper *helper;

	assert_int_equal(helper_new(helpers, &config, &helper), 0);
	helpers_free(TAKE_PTR(helpers));
	assert_int_equal(result, -ECANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages),         TEST(descriptors),    TEST(a_process_that_is_killed),
		TEST(its_time_is_over), TEST(cancelling),     TEST(too_many_that_do_not_end),
		TEST(too_many_of_all),  TEST(the_end_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

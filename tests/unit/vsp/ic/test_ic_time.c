/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time synchronisation: what each version says, when, and to a guest that does not answer. */
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic_time.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000ull

static int64_t clock_offset; /* seconds, of the time of day */

/* In the place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	long r = syscall(SYS_clock_gettime, clock, ret_time);

	if (clock == CLOCK_REALTIME)
		ret_time->tv_sec += clock_offset;
	return (int)r;
}

struct fixture {
	struct fake *fake;
	struct ic_time *time;
	struct fake_channel channel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 4 << 20);
	assert_int_equal(ic_time_new(f->fake->bus, MILLISECOND, &f->time), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_time_free(f->time);
	fake_free(f->fake);
	free(f);
	return 0;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return IC_TIME_UNIX_EPOCH + (uint64_t)time.tv_sec * 10000000 + (uint64_t)time.tv_nsec / 100;
}

/* Return: the flags of the message that comes next, which is answered. */
static uint8_t exchange(struct fixture *f)
{
	struct ic_message message;

	assert_true(ic_guest_receive(&f->channel, &message));
	assert_int_equal(message.header.type, IC_MESSAGE_TIMESYNC);
	assert_int_equal(message.header.size, sizeof(struct ic_time_reference_body));
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	return message.reference_time.flags;
}

static void open_service(struct fixture *f)
{
	ic_guest_open(f->fake, IC_TIME_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 4, 0);
}

static void test_offer(void **state)
{
	struct fixture *f = *state;
	struct guid type = IC_TIME_TYPE, instance = IC_TIME_INSTANCE;
	static const struct ic_version versions[] = {
		{ 1, 0 }, { 3, 0 }, { 1, 0 }, { 3, 0 }, { 4, 0 }
	};
	struct ic_message message;

	assert_non_null(fake_find_offer(f->fake, &type, &instance, 0));
	ic_guest_open(f->fake, IC_TIME_TYPE, &f->channel);
	assert_true(ic_guest_receive(&f->channel, &message));
	assert_memory_equal(message.negotiate.versions, versions, sizeof(versions));
	assert_false(ic_time_is_connected(f->time));
}

static void test_time_of_day_and_its_reference(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;
	uint64_t before = now();

	f->fake->reference_time = 123456789;
	open_service(f);
	assert_true(ic_time_is_connected(f->time));
	assert_true(ic_guest_receive(&f->channel, &message));
	assert_int_equal(message.header.size, sizeof(struct ic_time_reference_body));
	assert_int_equal(message.header.message_version.major, 4);
	assert_int_equal(message.reference_time.flags, IC_TIME_SYNC);
	assert_int_equal(message.reference_time.reference_time, 123456789);
	assert_in_range(message.reference_time.host_time, before, now());
}

static void test_old_versions(void **state)
{
	struct fixture *f = *state;

	for (uint16_t major = 1; major <= 3; major += 2) {
		struct ic_message message;
		uint64_t before = now();

		ic_guest_open(f->fake, IC_TIME_TYPE, &f->channel);
		ic_guest_negotiate(&f->channel, major, 0);
		assert_true(ic_guest_receive(&f->channel, &message));
		assert_int_equal(message.header.size, sizeof(struct ic_time_body));
		assert_int_equal(message.time.flags, IC_TIME_SYNC);
		assert_in_range(message.time.host_time, before, now());
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
		assert_true(ic_guest_receive(&f->channel, &message));
		assert_int_equal(message.time.flags, IC_TIME_SAMPLE);
		assert_true(fake_close(&f->channel));
	}
}

/* The clock is set once; samples follow, in order. */
static void test_samples(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	open_service(f);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
	for (unsigned i = 0; i < 5; i++) {
		struct ic_message message;

		assert_true(ic_guest_receive(&f->channel, &message));
		assert_int_equal(message.reference_time.flags, IC_TIME_SAMPLE);
		assert_true(message.reference_time.host_time > last);
		last = message.reference_time.host_time;
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	}
}

static void iteration(struct fixture *f, unsigned times)
{
	while (times-- > 0)
		assert_int_equal(loop_run_once(f->fake->loop, 2 * MILLISECOND), 0);
}

static void test_silent_guest_is_not_buried(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_true(ic_guest_receive(&f->channel, &message));
	iteration(f, 20);
	assert_false(ic_guest_has_request(&f->channel));
	/* An answer that says it failed is an answer; one that comes twice is none. */
	ic_guest_answer(&f->channel, &message, IC_STATUS_FAIL);
	ic_guest_answer(&f->channel, &message, IC_STATUS_FAIL);
	assert_int_equal(exchange(f), IC_TIME_SAMPLE);
}

static void test_resume_sets_the_clock(void **state)
{
	struct fixture *f = *state;

	open_service(f);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
	assert_int_equal(exchange(f), IC_TIME_SAMPLE);
	/* Not paused at all. */
	ic_time_resume(f->time);
	assert_int_equal(exchange(f), IC_TIME_SAMPLE);

	ic_time_pause(f->time);
	fake_settle(f->fake);
	iteration(f, 20);
	while (ic_guest_has_request(&f->channel))
		exchange(f);
	iteration(f, 20);
	assert_false(ic_guest_has_request(&f->channel));
	ic_time_resume(f->time);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
	assert_int_equal(exchange(f), IC_TIME_SAMPLE);
}

/* The sample on its way when the guest was paused is answered first. */
static void test_resume_waits_for_the_answer(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
	assert_true(ic_guest_receive(&f->channel, &message));
	ic_time_pause(f->time);
	ic_time_resume(f->time);
	iteration(f, 5);
	assert_false(ic_guest_has_request(&f->channel));
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
}

/* Somebody sets the host's clock: forth, back, and by so little that it is no step. */
static void test_a_step_sets_the_clock(void **state)
{
	static const int64_t steps[] = { 3600, -7200, 3600, 1 };
	struct fixture *f = *state;

	open_service(f);
	assert_int_equal(exchange(f), IC_TIME_SYNC);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(exchange(f), IC_TIME_SAMPLE);
		clock_offset += steps[i];
		assert_int_equal(exchange(f), IC_TIME_SYNC);
		assert_int_equal(exchange(f), IC_TIME_SAMPLE);
	}
	clock_offset = 0;
}

static void test_new_guest_sets_its_clock(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++) {
		open_service(f);
		assert_int_equal(exchange(f), IC_TIME_SYNC);
		fake_stop(f->fake);
		assert_false(ic_time_is_connected(f->time));
		ic_time_pause(f->time);
		ic_time_resume(f->time);
		assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
		assert_true(fake_request_offers(f->fake));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_of_day_and_its_reference, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_old_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_samples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_guest_is_not_buried, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resume_sets_the_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resume_waits_for_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_step_sets_the_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_guest_sets_its_clock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

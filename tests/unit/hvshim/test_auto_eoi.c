/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts that end by themselves, in the user-space engine, over a hypervisor that is not there:
 * it says when a vp can take one, and counts kicks and interrupts. That a guest takes them so is
 * what test_hvshim and test_injection show.
 */
#include "common/base/json.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "tests/unit/hvshim/fake_vid.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/eventfd.h>

#define SECOND       1000000000ull
#define RAM          0x100000u
#define MESSAGE_PAGE 0x1000u
#define EVENT_PAGE   0x2000u
#define SINT         2u
#define OTHER_SINT   4u
#define VECTOR       0x50u
#define OTHER_VECTOR 0x80u

struct fixture {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vp;
	struct hvshim *hvshim;
};

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
}

static void on_slot_free(void *data, uint32_t vp)
{
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
}

static void on_reset(void *data)
{
}

static const struct hvshim_callbacks callbacks = {
	.message = on_message,
	.slot_free = on_slot_free,
	.crash = on_crash,
	.reset = on_reset,
};

static void write_msr(struct fixture *fixture, uint32_t index, uint64_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_MSR_WRITE,
		.msr = { .index = index, .value = value },
	};

	fixture->vp.answer = FAKE_NO_ANSWER;
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vp, &exit), 0);
	assert_int_equal(fixture->vp.answer, FAKE_VALUE);
}

static int setup(void **state)
{
	static struct fixture fixture;
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };
	struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };
	struct hvshim_config config = {
		.engine = HVSHIM_ENGINE_USER,
		.vp_count = 1,
		.callbacks = &callbacks,
		.enlightenments = ENLIGHTENMENTS_DEFAULT,
	};

	memset(&fixture, 0, sizeof(fixture));
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	assert_int_equal(vid_memory_new(&fixture.partition.memory), 0);
	assert_int_equal(vid_memory_add(fixture.partition.memory, ram, VID_MEMORY_SMALL, false), 0);
	fixture.vp.partition = &fixture.partition;
	config.partition = &fixture.partition;
	config.loop = fixture.loop;
	assert_int_equal(hvshim_new(&config, &fixture.hvshim), 0);
	assert_int_equal(hvshim_vp_attach(fixture.hvshim, &fixture.vp, &cpuid), 0);
	write_msr(&fixture, HV_MSR_SIMP, MESSAGE_PAGE | HV_MSR_ENABLE);
	write_msr(&fixture, HV_MSR_SIEFP, EVENT_PAGE | HV_MSR_ENABLE);
	write_msr(&fixture, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI);
	write_msr(&fixture, HV_MSR_SCONTROL, HV_MSR_ENABLE);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	hvshim_free(fixture->hvshim);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_run_once(fixture->loop, 0), 0);
	assert_int_equal(fixture->partition.interrupts, 0);
	loop_free(fixture->loop);
	vid_memory_free(fixture->partition.memory);
	return 0;
}

/* The vp comes out of the guest. Return: whether that was for an interrupt. */
static bool kicked(struct fixture *fixture)
{
	const struct vid_exit exit = { .kind = VID_EXIT_KICK };
	int r = hvshim_exit(fixture->hvshim, &fixture->vp, &exit);

	assert_true(r == 0 || r == HVSHIM_E_UNHANDLED);
	return r == 0;
}

static void turn_until_kicked(struct fixture *fixture, unsigned kicks)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (fixture->vp.kicks < kicks && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND), 0);
	assert_int_equal(fixture->vp.kicks, kicks);
}

static void test_it_is_injected(void **state)
{
	struct fixture *fixture = *state;
	uint64_t count;

	assert_false(kicked(fixture));
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	assert_int_equal(fixture->vp.kicks, 1);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 8); /* is with the first */
	assert_int_equal(fixture->vp.kicks, 1);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.interrupts, 1);
	assert_int_equal(fixture->vp.vector, VECTOR);
	assert_false(kicked(fixture));
	hvshim_signal_event(fixture->hvshim, 0, SINT, 9);
	assert_int_equal(fixture->vp.kicks, 2);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.interrupts, 2);
	/* And not by the LAPIC as well. */
	assert_int_equal(loop_run_once(fixture->loop, 0), 0);
	assert_int_equal(fixture->partition.newest->route, FAKE_UNROUTED);
	assert_true(eventfd_read(fixture->partition.newest->fd, &count) < 0);
}

static void test_a_message_too(void **state)
{
	struct fixture *fixture = *state;
	const struct hvshim_message message = { .type = 1, .size = 3, .payload = "abc" };

	assert_int_equal(hvshim_post_message(fixture->hvshim, 0, SINT, &message), 0);
	assert_int_equal(fixture->vp.kicks, 1);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.vector, VECTOR);
}

/* What `vmctl inspect` would say. */
static bool is_raised(struct fixture *fixture)
{
	struct json_object *vp = hvshim_inspect_vp(fixture->hvshim, 0), *sints, *raised;
	bool is;

	assert_true(json_object_object_get_ex(vp, "sints", &sints));
	assert_true(
		json_object_object_get_ex(json_object_array_get_idx(sints, 0), "raised", &raised));
	is = json_object_get_boolean(raised);
	json_object_put(vp);
	return is;
}

static void test_it_is_tried_again(void **state)
{
	struct fixture *fixture = *state;

	fixture->vp.refuses = true;
	assert_false(is_raised(fixture));
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	assert_true(is_raised(fixture));
	for (unsigned kicks = 2; kicks < 6; kicks++) {
		assert_true(kicked(fixture));
		turn_until_kicked(fixture, kicks);
	}
	fixture->vp.refuses = false;
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.interrupts, 1);
	assert_false(is_raised(fixture));
	assert_false(kicked(fixture));
}

/* The one of higher priority first; the other, as soon as can be. */
static void test_two_at_once(void **state)
{
	struct fixture *fixture = *state;

	write_msr(fixture, HV_MSR_SINT0 + OTHER_SINT, OTHER_VECTOR | HV_SINT_AUTO_EOI);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	hvshim_signal_event(fixture->hvshim, 0, OTHER_SINT, 7);
	assert_int_equal(fixture->vp.kicks, 2);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.vector, OTHER_VECTOR);
	turn_until_kicked(fixture, 3);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.vector, VECTOR);
	assert_int_equal(fixture->vp.interrupts, 2);
	assert_false(kicked(fixture));
}

static void test_masked_meanwhile(void **state)
{
	struct fixture *fixture = *state;

	fixture->vp.refuses = true;
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	assert_true(kicked(fixture));
	write_msr(fixture, HV_MSR_SINT0 + SINT, HV_SINT_MASKED | VECTOR | HV_SINT_AUTO_EOI);
	fixture->vp.refuses = false;
	assert_false(kicked(fixture));
	/* Nor does it come when the SINT is opened again, until there is something new. */
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI);
	assert_false(kicked(fixture));
	hvshim_signal_event(fixture->hvshim, 0, SINT, 8);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.interrupts, 1);
}

/* The flag is set, and nobody would say so again: what was on its way takes the other one. */
static void test_changed_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	struct vid_interrupt *interrupt;
	uint64_t count;

	fixture->vp.refuses = true;
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	assert_true(kicked(fixture));
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR);
	interrupt = fixture->partition.newest;
	assert_int_equal(interrupt->route, FAKE_VECTOR);
	assert_int_equal(eventfd_read(interrupt->fd, &count), 0);
	assert_int_equal(count, 1);
	fixture->vp.refuses = false;
	assert_false(kicked(fixture));

	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI);
	assert_int_equal(interrupt->route, FAKE_UNROUTED);
	assert_true(kicked(fixture));
	assert_int_equal(fixture->vp.interrupts, 1);
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI);
	assert_false(kicked(fixture));
}

static void test_polling_and_plain_ones_are_not_injected(void **state)
{
	struct fixture *fixture = *state;

	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI | HV_SINT_POLLING);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR);
	assert_int_equal(fixture->partition.newest->route, FAKE_VECTOR);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 8);
	assert_int_equal(fixture->vp.kicks, 0);
	assert_false(kicked(fixture));
}

/* Nothing is left of a timer that runs; the sanitizer sees. */
static void test_freed_while_it_waits(void **state)
{
	struct fixture *fixture = *state;

	fixture->vp.refuses = true;
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	assert_true(kicked(fixture));
	assert_int_equal(loop_run_once(fixture->loop, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_injected),
		TEST(test_a_message_too),
		TEST(test_it_is_tried_again),
		TEST(test_two_at_once),
		TEST(test_masked_meanwhile),
		TEST(test_changed_meanwhile),
		TEST(test_polling_and_plain_ones_are_not_injected),
		TEST(test_freed_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

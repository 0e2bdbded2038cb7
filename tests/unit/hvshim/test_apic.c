/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V's MSRs of the APIC in the user-space engine, over hypervisors that are not there: one
 * with MSRs of its own to end interrupts by, and one without. That real KVM's end interrupts of an
 * xAPIC is what stock guests show.
 */
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "tests/unit/hvshim/fake_vid.h"
#include "tests/unit/unit.h"

#include <string.h>

#define RAM    0x100000u
#define ASSIST 0x1000u

struct fixture {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vp;
	struct hvshim *hvshim;
};

static const struct hvshim_callbacks callbacks = { 0 };

static bool try_write(struct fixture *fixture, uint32_t index, uint64_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_MSR_WRITE,
		.msr = { .index = index, .value = value },
	};

	fixture->vp.answer = FAKE_NO_ANSWER;
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vp, &exit), 0);
	assert_int_not_equal(fixture->vp.answer, FAKE_NO_ANSWER);
	return fixture->vp.answer == FAKE_VALUE;
}

static bool is_recommended(struct fixture *fixture)
{
	const struct vid_cpuid_leaf *hints =
		vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_RECOMMENDATIONS, 0);
	const struct vid_cpuid_leaf *features =
		vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_FEATURES, 0);

	assert_int_equal(!!(hints->eax & HV_HINT_APIC_MSRS), !!(features->eax & HV_PRIVILEGE_APIC));
	return hints->eax & HV_HINT_APIC_MSRS;
}

static int make(void **state, bool vapic, bool x2apic_guest, bool told_before)
{
	static struct fixture fixture;
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };
	struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };
	struct hvshim_config config = {
		.engine = HVSHIM_ENGINE_USER,
		.vp_count = 1,
		.callbacks = &callbacks,
		.enlightenments = ENLIGHTENMENTS_DEFAULT,
		.x2apic_guest = x2apic_guest,
		.told_before = told_before,
	};

	memset(&fixture, 0, sizeof(fixture));
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	assert_int_equal(vid_memory_new(&fixture.partition.memory), 0);
	assert_int_equal(vid_memory_add(fixture.partition.memory, ram, VID_MEMORY_SMALL, false), 0);
	fixture.partition.vid.capabilities.hyperv_vapic = vapic;
	fixture.partition.vid.capabilities.apic_virtualization = told_before;
	fixture.vp.partition = &fixture.partition;
	config.partition = &fixture.partition;
	config.loop = fixture.loop;
	assert_int_equal(hvshim_new(&config, &fixture.hvshim), 0);
	assert_int_equal(hvshim_vp_attach(fixture.hvshim, &fixture.vp, &cpuid), 0);
	*state = &fixture;
	return 0;
}

static int setup_with(void **state)
{
	return make(state, true, true, false);
}

static int setup_without(void **state)
{
	return make(state, false, true, false);
}

static int setup_xapic(void **state)
{
	return make(state, true, false, false);
}

static int setup_told(void **state)
{
	return make(state, true, false, true);
}

static int setup_told_without(void **state)
{
	return make(state, false, false, true);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	hvshim_free(fixture->hvshim);
	assert_int_equal(loop_run_once(fixture->loop, 0), 0);
	loop_free(fixture->loop);
	vid_memory_free(fixture->partition.memory);
	return 0;
}

/* The MSR goes to KVM as it is, since only that does the right thing in each mode of the APIC. */
static void test_ends_are_kvms(void **state)
{
	struct fixture *fixture = *state;

	assert_true(is_recommended(fixture));
	assert_true(try_write(fixture, HV_MSR_VP_ASSIST_PAGE, ASSIST | HV_MSR_ENABLE));
	assert_true(fixture->vp.lazy_eoi);
	for (uint32_t index = HV_MSR_EOI; index <= HV_MSR_TPR; index++) {
		assert_true(try_write(fixture, index, 0));
		assert_int_equal(fixture->vp.apic_msr, index);
	}
	assert_int_equal(fixture->vp.apic_writes, 3);
}

/* What cannot be kept in an xAPIC is promised to nobody: the guest chooses the mode later. */
static void test_nothing_is_promised_without(void **state)
{
	struct fixture *fixture = *state;

	assert_false(is_recommended(fixture));
	assert_true(try_write(fixture, HV_MSR_VP_ASSIST_PAGE, ASSIST | HV_MSR_ENABLE));
	assert_false(fixture->vp.lazy_eoi);
	assert_false(try_write(fixture, HV_MSR_EOI, 0));
	assert_int_equal(fixture->vp.apic_writes, 0);
}

static void test_not_worth_it(void **state)
{
	assert_false(is_recommended(*state));
}

/* A guest that was told elsewhere goes on with it, whatever is faster here. */
static void test_told_before(void **state)
{
	assert_true(is_recommended(*state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ends_are_kvms, setup_with, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_promised_without, setup_without,
						teardown),
		cmocka_unit_test_setup_teardown(test_not_worth_it, setup_xapic, teardown),
		cmocka_unit_test_setup_teardown(test_told_before, setup_told, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_promised_without,
						setup_told_without, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

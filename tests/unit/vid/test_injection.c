/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts without an end, injected past the LAPIC: the priority that one must have, read off a
 * LAPIC's registers (Intel SDM volume 3, "Task and Processor Priorities"), and how a guest on this
 * machine's KVM takes them.
 */
#include "tests/unit/vid/puppet_fixture.h"
#include "vid/internal.h"

#include <string.h>
#include <sys/eventfd.h>

/* ---- Priorities ---- */

static void set_task_priority(struct kvm_lapic_state *lapic, uint8_t priority)
{
	lapic->regs[0x80] = (char)priority;
}

static void set_in_service(struct kvm_lapic_state *lapic, uint8_t vector)
{
	lapic->regs[0x100 + vector / 32 * 16 + vector / 8 % 4] |= (char)(1 << vector % 8);
}

static void test_nothing_to_do(void **state)
{
	const struct kvm_lapic_state lapic = { .regs = { 0 } };

	assert_int_equal(vid_lapic_priority_class(&lapic), 0);
}

static void test_task_priority(void **state)
{
	struct kvm_lapic_state lapic = { .regs = { 0 } };

	set_task_priority(&lapic, 0x5f);
	assert_int_equal(vid_lapic_priority_class(&lapic), 5);
	set_task_priority(&lapic, 0xff);
	assert_int_equal(vid_lapic_priority_class(&lapic), 15);
}

static void test_in_service(void **state)
{
	for (unsigned vector = 16; vector < 256; vector++) {
		struct kvm_lapic_state lapic = { .regs = { 0 } };

		set_in_service(&lapic, (uint8_t)vector);
		assert_int_equal(vid_lapic_priority_class(&lapic), vector / 16);
		set_in_service(&lapic, 0x21); /* below it, which it has interrupted */
		assert_int_equal(vid_lapic_priority_class(&lapic), MAX(vector / 16, 2u));
	}
}

static void test_the_higher_counts(void **state)
{
	struct kvm_lapic_state lapic = { .regs = { 0 } };

	set_in_service(&lapic, 0x60);
	set_task_priority(&lapic, 0x50);
	assert_int_equal(vid_lapic_priority_class(&lapic), 6);
	set_task_priority(&lapic, 0x70);
	assert_int_equal(vid_lapic_priority_class(&lapic), 7);
}

/* ---- A guest takes them ---- */

static int setup(void **state)
{
	struct vid_partition_config config = { 0 };
	int r = puppet_setup(state, &config);

	if (*state)
		puppet_enable_apic(*state);
	return r;
}

#define INJECTIONS_MAX 3u

/* Vectors to inject, the one after the other until one is taken, and what came of each. */
struct injections {
	uint8_t vectors[INJECTIONS_MAX];
	unsigned count;
	int results[INJECTIONS_MAX];
	bool taken;
};

/* All over again at each kick: where it comes before the guest takes interrupts, none is taken. */
static bool inject_exit(struct puppet *puppet, const struct vid_exit *exit)
{
	struct injections *injections = puppet->data;

	if (exit->kind != VID_EXIT_KICK)
		return false;
	for (unsigned i = 0; i < injections->count && !injections->taken; i++) {
		injections->results[i] =
			vid_vp_inject_interrupt(puppet->vp, injections->vectors[i]);
		injections->taken = injections->results[i] == 0;
	}
	return true;
}

/* Halts until one of the injections is taken. */
static void inject(struct puppet *puppet, struct injections *injections)
{
	puppet->exit = inject_exit;
	puppet->data = injections;
	assert_true(puppet_do_kicked(puppet, puppet_wait, NULL));
	puppet->exit = NULL;
	assert_true(injections->taken);
}

/* Two of the class of PUPPET_UNENDED or below, and one above it, which alone is to be taken. */
static void inject_around_the_class(struct puppet *puppet)
{
	struct injections injections = {
		.vectors = { PUPPET_UNENDED - 1, PUPPET_UNENDED + 15, PUPPET_UNENDED + 16 },
		.count = 3,
	};

	inject(puppet, &injections);
	assert_int_equal(injections.results[0], VID_E_NOT_NOW);
	assert_int_equal(injections.results[1], VID_E_NOT_NOW);
	assert_int_equal(injections.results[2], 0);
}

static void take_from_lapic(struct puppet *puppet, uint8_t vector)
{
	struct vid_interrupt *interrupt;

	assert_int_equal(vid_interrupt_new(puppet->partition, false, &interrupt), 0);
	assert_int_equal(vid_interrupt_route_vector(interrupt, 0, vector), 0);
	eventfd_write(vid_interrupt_fd(interrupt), 1);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	vid_interrupt_free(interrupt);
}

static void test_not_while_interrupts_are_off(void **state)
{
	struct puppet *puppet = PUPPET(state);

	assert_int_equal(vid_vp_inject_interrupt(puppet->vp, PUPPET_UNENDED), VID_E_NOT_NOW);
	assert_true(puppet_do(puppet, puppet_cpuid, NULL));
	assert_int_equal(puppet_counter(puppet), 0);
}

static void test_nothing_stays_in_service(void **state)
{
	struct puppet *puppet = PUPPET(state);

	for (unsigned i = 1; i <= 2; i++) {
		struct injections injections = { .vectors = { PUPPET_UNENDED }, .count = 1 };

		inject(puppet, &injections);
		assert_int_equal(puppet_counter(puppet), i);
	}
	/* Of a lower class. */
	take_from_lapic(puppet, PUPPET_UNENDED - 16);
	assert_int_equal(puppet_counter(puppet), 3);
}

static void test_below_the_task_priority(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct vid_registers priority = { .rdi = 0xfee00080, .rax = PUPPET_UNENDED };

	assert_true(puppet_do(puppet, puppet_store, &priority));
	inject_around_the_class(puppet);
	assert_int_equal(puppet_counter(puppet), 1);
}

/* The one that is in service is not ended by its handler. */
static void test_beside_one_in_service(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const char *kvm = vid_capabilities(puppet->vid)->implementation;

	if (strcmp(kvm, "kvm_amd") != 0 && strcmp(kvm, "kvm_intel") != 0) {
		print_message("%s: an APIC that keeps nothing in service\n", kvm);
		skip();
	}
	take_from_lapic(puppet, PUPPET_UNENDED);
	inject_around_the_class(puppet);
	assert_int_equal(puppet_counter(puppet), 2);
}

/* As INIT leaves a vp: what is injected now is forgotten. */
static void test_to_a_vp_that_waits(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_vp *ap;

	assert_int_equal(vid_vp_new(puppet->partition, 1, 1, &ap), 0);
	assert_int_equal(vid_vp_inject_interrupt(ap, PUPPET_UNENDED), 0);
	vid_vp_free(ap);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, puppet_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_to_do),    cmocka_unit_test(test_task_priority),
		cmocka_unit_test(test_in_service),       cmocka_unit_test(test_the_higher_counts),
		TEST(test_not_while_interrupts_are_off), TEST(test_nothing_stays_in_service),
		TEST(test_below_the_task_priority),      TEST(test_beside_one_in_service),
		TEST(test_to_a_vp_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The priority that an interrupt must have, read off a LAPIC's registers. Intel SDM volume 3, "Task
 * and Processor Priorities". How vps take interrupts is in test_partition.
 */
#include "tests/unit/unit.h"
#include "vid/internal.h"

#include <string.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_task_priority),
		cmocka_unit_test(test_in_service),
		cmocka_unit_test(test_the_higher_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which MSRs of a vp are saved, and in what order they are restored, over a KVM that is none: the
 * linker's --wrap has ioctl(2) end here.
 */
#include "tests/unit/unit.h"
#include "vid/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEVICE_FD 50
#define VP_FD     100

#define MSR_TSC         0x10u
#define MSR_COUNTER     0xc1u /* of the performance unit */
#define MSR_SYSENTER_CS 0x174u
#define MSR_BRANCH_FROM 0x1dbu /* this KVM tells it, and takes no value for it */
#define MSR_UNIT_ON     0x38fu
#define MSR_UNREADABLE  0x3a0u /* named, but not told */
#define MSR_VMX         0x480u
#define MSR_HYPERV      0x40000001u

static const uint32_t named[] = { MSR_UNIT_ON,     MSR_TSC,    MSR_COUNTER,
				  MSR_UNREADABLE,  MSR_VMX,    MSR_SYSENTER_CS,
				  MSR_BRANCH_FROM, MSR_HYPERV, VID_MSR_TSC_DEADLINE };
static const uint32_t told[] = { MSR_UNIT_ON, MSR_COUNTER, MSR_SYSENTER_CS, MSR_BRANCH_FROM,
				 VID_MSR_TSC_DEADLINE };

static struct {
	uint64_t values[ARRAY_SIZE(told)];
	uint32_t written[16];
	unsigned count;
} kvm;

int __wrap_ioctl(int fd, unsigned long request, ...);

static uint64_t *value_of(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		if (told[i] == index)
			return &kvm.values[i];
	return NULL;
}

static int get_list(struct kvm_msr_list *list)
{
	assert_true(list->nmsrs >= ARRAY_SIZE(named));
	list->nmsrs = ARRAY_SIZE(named);
	memcpy(list->indices, named, sizeof(named));
	return 0;
}

static int get_msrs(struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		const uint64_t *value = value_of(msrs->entries[i].index);

		if (!value)
			return (int)i;
		msrs->entries[i].data = *value;
	}
	return (int)msrs->nmsrs;
}

static int set_msrs(const struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		uint64_t *value = value_of(msrs->entries[i].index);

		if (!value || msrs->entries[i].index == MSR_BRANCH_FROM)
			return (int)i;
		*value = msrs->entries[i].data;
		assert_true(kvm.count < ARRAY_SIZE(kvm.written));
		kvm.written[kvm.count++] = msrs->entries[i].index;
	}
	return (int)msrs->nmsrs;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case KVM_GET_MSR_INDEX_LIST:
		return get_list(argument);
	case KVM_GET_MSRS:
		return get_msrs(argument);
	case KVM_SET_MSRS:
		return set_msrs(argument);
	default:
		errno = ENOTTY;
		return -1;
	}
}

static struct vid vid = { .fd = DEVICE_FD };
static struct vid_partition partition = { .vid = &vid };

static struct vid_vp fresh_vp(void)
{
	memset(&kvm, 0, sizeof(kvm));
	return (struct vid_vp){ .partition = &partition, .fd = VP_FD };
}

/* Not the TSC, nor what is Hyper-V's and VMX's, nor what cannot be read. */
static void what_is_told_is_saved(void **state)
{
	struct vid_vp vp = fresh_vp();
	struct vid_msr_state saved[ARRAY_SIZE(told)];
	struct state_writer writer;
	uint32_t count;

	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		kvm.values[i] = i + 1;
	state_writer_init(&writer);
	assert_int_equal(vid_vp_save_msrs(&vp, &writer, &count), 0);
	assert_int_equal(count, ARRAY_SIZE(told));
	assert_int_equal(writer.size, sizeof(saved));
	memcpy(saved, writer.bytes, sizeof(saved));
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		assert_int_equal(saved[i].index, told[i]);
		assert_int_equal(saved[i].value, i + 1);
	}
	state_writer_deinit(&writer);
}

/* What turns counters on is last; the deadline waits for the TSC. */
static void order_of_the_restore(void **state)
{
	static const struct vid_msr_state msrs[] = {
		{ .index = MSR_UNIT_ON, .value = 3 },
		{ .index = VID_MSR_TSC_DEADLINE, .value = 4 },
		{ .index = MSR_COUNTER, .value = 5 },
		{ .index = MSR_SYSENTER_CS, .value = 0 }, /* it has that already */
		{ .index = MSR_BRANCH_FROM, .value = 0 },
	};
	struct vid_vp vp = fresh_vp();
	struct state_refusal refusal = { .text = "" };

	assert_int_equal(vid_vp_restore_msrs(&vp, msrs, ARRAY_SIZE(msrs), &refusal), 0);
	assert_int_equal(kvm.count, 2);
	assert_int_equal(kvm.written[0], MSR_COUNTER);
	assert_int_equal(kvm.written[1], MSR_UNIT_ON);
	assert_int_equal(vp.time.deadline, 4);
}

static void refusals_name_the_msr(void **state)
{
	static const struct vid_msr_state refused[] = {
		{ .index = MSR_BRANCH_FROM, .value = 1 }, { .index = MSR_TSC, .value = 1 },
		{ .index = MSR_HYPERV, .value = 1 },      { .index = MSR_VMX, .value = 1 },
		{ .index = 0xc0000080, .value = 1 },      { .index = MSR_COUNTER, .zero = 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct vid_vp vp = fresh_vp();
		struct state_refusal refusal = { .text = "" };
		char number[16];

		assert_int_equal(vid_vp_restore_msrs(&vp, &refused[i], 1, &refusal), -EINVAL);
		snprintf(number, sizeof(number), "0x%x ", refused[i].index);
		assert_non_null(strstr(refusal.text, number));
		assert_int_equal(kvm.count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_told_is_saved),
		cmocka_unit_test(order_of_the_restore),
		cmocka_unit_test(refusals_name_the_msr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

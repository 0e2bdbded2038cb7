/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How vps' TSCs run on after a restore, over a KVM that is none: one that has TSC offsets, one that
 * says so and has none, and one that does not know of them. The linker's --wrap has ioctl(2) end
 * here.
 */
#include "tests/unit/unit.h"
#include "vid/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <x86intrin.h>

#define KHZ       2000000u
#define VPS       2
#define VP_FD     100 /* and on */
#define PARTITION 50
#define MSR_TSC   0x10u

enum offsets { OFFSETS_REAL, OFFSETS_PRETENDED, OFFSETS_NONE };

static struct {
	enum offsets offsets;
	uint64_t told[VPS]; /* the offset that was written last */
	uint64_t deadline[VPS];
	unsigned deadlines; /* written */
	uint64_t clock_ns;
} kvm;

int __wrap_ioctl(int fd, unsigned long request, ...);

static int refuse(int error)
{
	errno = error;
	return -1;
}

static int get_msrs(unsigned vp, struct kvm_msrs *msrs)
{
	assert_int_equal(msrs->nmsrs, 1);
	assert_int_equal(msrs->entries[0].index, MSR_TSC);
	msrs->entries[0].data = __rdtsc() + (kvm.offsets == OFFSETS_REAL ? kvm.told[vp] : 0);
	return 1;
}

static int set_msrs(unsigned vp, const struct kvm_msrs *msrs)
{
	assert_int_equal(msrs->entries[0].index, VID_MSR_TSC_DEADLINE);
	kvm.deadline[vp] = msrs->entries[0].data;
	kvm.deadlines++;
	return 1;
}

static int access_offset(unsigned vp, const struct kvm_device_attr *attribute, bool write)
{
	uint64_t *offset = (uint64_t *)(uintptr_t)attribute->addr;

	if (kvm.offsets == OFFSETS_NONE)
		return refuse(ENXIO);
	if (write)
		kvm.told[vp] = *offset;
	else
		*offset = kvm.told[vp];
	return 0;
}

/* A microsecond has gone by when the clock is looked at. */
static int get_clock(struct kvm_clock_data *clock)
{
	*clock = (struct kvm_clock_data){ .clock = kvm.clock_ns + 1000,
					  .host_tsc = __rdtsc(),
					  .flags = KVM_CLOCK_HOST_TSC };
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	unsigned vp = (unsigned)fd - VP_FD;
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case KVM_GET_MSRS:
		return get_msrs(vp, argument);
	case KVM_SET_MSRS:
		return set_msrs(vp, argument);
	case KVM_GET_DEVICE_ATTR:
		return access_offset(vp, argument, false);
	case KVM_SET_DEVICE_ATTR:
		return access_offset(vp, argument, true);
	case KVM_GET_CLOCK:
		return get_clock(argument);
	case KVM_SET_CLOCK:
		kvm.clock_ns = ((struct kvm_clock_data *)argument)->clock;
		return 0;
	default:
		return refuse(ENOTTY);
	}
}

struct fixture {
	struct vid_partition partition;
	struct vid_vp vps[VPS];
};

/* Saved by a host whose TSC was 1000000, with a guest's TSC that was 7 more; a deadline 5000 on. */
static void restore(struct fixture *fixture, enum offsets offsets)
{
	memset(&kvm, 0, sizeof(kvm));
	kvm.offsets = offsets;
	*fixture = (struct fixture){
		.partition = { .fd = PARTITION,
			       .time = { .waits = true,
					 .clock_ns = 3600000000000,
					 .host_tsc = 1000000 } },
	};
	for (int i = 0; i < VPS; i++)
		fixture->vps[i] = (struct vid_vp){
			.partition = &fixture->partition,
			.fd = VP_FD + i,
			.time = { .waits = true,
				  .tsc_offset = 7,
				  .deadline = 1000000 + 7 + 5000,
				  .tsc_khz = KHZ },
		};
}

static void start(struct fixture *fixture)
{
	assert_int_equal(vid_partition_start(&fixture->partition), 0);
	for (int i = 0; i < VPS; i++)
		assert_int_equal(vid_vp_start(&fixture->vps[i]), 0);
	assert_int_equal(kvm.clock_ns, 3600000000000);
}

/* As far as the clock has gone on, the TSCs have; all of them by the same offset. */
static void tscs_run_on(void **state)
{
	struct fixture fixture;
	const struct vid_partition_time *time = &fixture.partition.time;

	restore(&fixture, OFFSETS_REAL);
	start(&fixture);
	for (int i = 0; i < VPS; i++) {
		assert_int_equal(kvm.told[i] + time->start_tsc, 1000000 + 7 + 1000 * KHZ / 1000000);
		assert_int_equal(kvm.deadline[i], 1000000 + 7 + 5000);
	}
	/* Once: what the guest has written since is not undone. */
	kvm.told[0] = 1;
	assert_int_equal(vid_partition_start(&fixture.partition), 0);
	assert_int_equal(vid_vp_start(&fixture.vps[0]), 0);
	assert_int_equal(kvm.told[0], 1);
	assert_int_equal(kvm.deadlines, VPS);
}

/* The guest has the host's TSC, whatever is told: its deadline is as far ahead as it was. */
static void deadline_goes_along(struct fixture *fixture)
{
	uint64_t wanted = 1000000 + 7 + 1000 * KHZ / 1000000;

	start(fixture);
	for (int i = 0; i < VPS; i++)
		assert_int_equal(kvm.deadline[i],
				 fixture->partition.time.start_tsc + 1000000 + 7 + 5000 - wanted);
}

static void pretended_offset_is_taken_back(void **state)
{
	struct fixture fixture;
	uint64_t offset;

	restore(&fixture, OFFSETS_PRETENDED);
	deadline_goes_along(&fixture);
	for (int i = 0; i < VPS; i++) {
		assert_int_equal(kvm.told[i], 0);
		assert_int_equal(vid_vp_tsc_offset(&fixture.vps[i], &offset), 0);
		assert_int_equal(offset, 0);
	}
	kvm.told[0] = 1u << 30;
	assert_int_equal(vid_vp_tsc_offset(&fixture.vps[0], &offset), 0);
	assert_int_equal(offset, 0);
}

static void no_offsets_at_all(void **state)
{
	struct fixture fixture;

	restore(&fixture, OFFSETS_NONE);
	deadline_goes_along(&fixture);
}

static void no_deadline_is_none(void **state)
{
	struct fixture fixture;

	restore(&fixture, OFFSETS_PRETENDED);
	fixture.vps[0].time.deadline = fixture.vps[1].time.deadline = 0;
	start(&fixture);
	assert_int_equal(kvm.deadlines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tscs_run_on),
		cmocka_unit_test(pretended_offset_is_taken_back),
		cmocka_unit_test(no_offsets_at_all),
		cmocka_unit_test(no_deadline_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

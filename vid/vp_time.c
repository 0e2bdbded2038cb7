/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time of a vp: its TSC, and how that runs on after a restore.
 */
#include "common/base/error.h"
#include "vid/internal.h"

#include <x86intrin.h>

#define MSR_IA32_TSC 0x10u

int64_t vid_vp_tsc_khz(struct vid_vp *vp)
{
	int r = ioctl(vp->fd, KVM_GET_TSC_KHZ, 0);

	if (r < 0)
		return error_origin(-errno);
	return r > 0 ? r : -EINVAL;
}

int vid_vp_tsc(struct vid_vp *vp, uint64_t *ret_tsc)
{
	return vid_vp_get_msr(vp, MSR_IA32_TSC, ret_tsc);
}

static int vp_measure_tsc_offset(struct vid_vp *vp, uint64_t *ret_offset, uint64_t *ret_error)
{
	uint64_t before = __rdtsc(), after, guest;
	int r = vid_vp_tsc(vp, &guest);

	after = __rdtsc();
	*ret_offset = guest - (before + (after - before) / 2);
	*ret_error = after - before;
	return r;
}

static bool is_near(uint64_t a, uint64_t b, uint64_t error)
{
	return a - b <= error || b - a <= error;
}

/*
 * There are KVMs that take an offset, and tell it again, and have the guest see the host's TSC none
 * the less: so what is told has to be what is measured.
 */
int vid_vp_tsc_offset(struct vid_vp *vp, uint64_t *ret_offset)
{
	uint64_t told = 0, measured, error;
	const struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&told,
	};
	int r = vp_measure_tsc_offset(vp, &measured, &error);

	if (r < 0)
		return r;
	if (ioctl(vp->fd, KVM_GET_DEVICE_ATTR, &attribute) == 0 && is_near(told, measured, error))
		*ret_offset = told;
	else
		*ret_offset = is_near(0, measured, error) ? 0 : measured;
	return 0;
}

/* ---- After a restore ---- */

static int vp_write_tsc_offset(struct vid_vp *vp, uint64_t offset)
{
	const struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	return ioctl(vp->fd, KVM_SET_DEVICE_ATTR, &attribute) < 0 ? -errno : 0;
}

/* What the offset is to be so that the TSC runs on as the partition's clock does. */
static uint64_t vp_wanted_offset(const struct vid_vp *vp)
{
	const struct vid_partition_time *start = &vp->partition->time;
	uint64_t gone_ns = start->start_ns - MIN(start->start_ns, start->clock_ns);
	uint64_t gone = (uint64_t)((unsigned __int128)gone_ns * vp->time.tsc_khz / 1000000);

	return start->host_tsc + vp->time.tsc_offset + gone - start->start_tsc;
}

/*
 * KVM may say that it has TSC offsets, take one, and have none: what the guest's TSC is then tells,
 * and KVM shall not reckon with a number that is none.
 */
static int vp_set_tsc_offset(struct vid_vp *vp, uint64_t wanted, uint64_t *ret_offset)
{
	uint64_t before;
	int r = vid_vp_tsc_offset(vp, &before);

	if (r < 0)
		return r;
	if (vp_write_tsc_offset(vp, wanted) == 0) {
		r = vid_vp_tsc_offset(vp, ret_offset);
		if (r < 0 || *ret_offset == wanted)
			return r;
		(void)!vp_write_tsc_offset(vp, before);
	}
	*ret_offset = before;
	return 0;
}

/* Where the guest finds a jump in its TSC, its deadline goes along. */
int vid_vp_start(struct vid_vp *vp)
{
	uint64_t wanted, offset;
	int r;

	if (!vp->time.waits)
		return 0;
	wanted = vp_wanted_offset(vp);
	r = vp_set_tsc_offset(vp, wanted, &offset);
	if (r < 0)
		return r;
	vp->time.waits = false;
	if (vp->time.deadline == 0)
		return 0;
	return vid_vp_set_msr(vp, VID_MSR_TSC_DEADLINE, vp->time.deadline + offset - wanted);
}

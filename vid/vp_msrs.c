/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MSRs of a vp's state: all that KVM says are to be saved, and those that it forgets to name
 * (memory types, machine checks).
 *
 * Left out is what is saved by other means: the TSC, and all that is Hyper-V's; and what VMX can do
 * on this host, for no vp has it. The TSC deadline is a moment of the TSC: it is in the vp's time
 * until both start (vp_time.c).
 *
 * KVM takes MSRs in the order of the list up to the first it refuses. Counters of the performance
 * unit are written while it is off: what turns it on comes last.
 */
#include "common/base/error.h"
#include "vid/internal.h"

#include <stdlib.h>
#include <string.h>

#define MSR_TSC              0x10u
#define MSR_PERF_GLOBAL_CTRL 0x38fu
#define MSR_VMX_FIRST        0x480u
#define MSR_VMX_COUNT        0x20u
#define MSR_HYPERV_FIRST     0x40000000u
#define MSR_HYPERV_COUNT     0x1000u

/* Not in KVM's list. Those that a host does not have cannot be read, and are left out. */
static const struct vid_msr_range more_msrs[] = {
	{ 0x200, 16 },  /* MTRRs of variable ranges */
	{ 0x250, 1 },   /* of fixed ranges */
	{ 0x258, 2 },   /* … */
	{ 0x268, 8 },   /* … */
	{ 0x2ff, 1 },   /* which of them are on */
	{ 0x400, 128 }, /* machine check banks */
};

static const struct {
	uint32_t index;
	const char *name;
} msr_names[] = {
	{ 0x3a, "IA32_FEATURE_CONTROL" },
	{ 0x3b, "IA32_TSC_ADJUST" },
	{ 0x48, "IA32_SPEC_CTRL" },
	{ 0x8b, "IA32_BIOS_SIGN_ID" },
	{ 0xce, "PLATFORM_INFO" },
	{ 0x10a, "IA32_ARCH_CAPABILITIES" },
	{ 0x122, "IA32_TSX_CTRL" },
	{ 0x140, "MISC_FEATURES_ENABLES" },
	{ 0x174, "IA32_SYSENTER_CS" },
	{ 0x175, "IA32_SYSENTER_ESP" },
	{ 0x176, "IA32_SYSENTER_EIP" },
	{ 0x1a0, "IA32_MISC_ENABLE" },
	{ 0x1c4, "IA32_XFD" },
	{ 0x1c5, "IA32_XFD_ERR" },
	{ 0x1d9, "IA32_DEBUGCTL" },
	{ 0x277, "IA32_PAT" },
	{ 0x2ff, "IA32_MTRR_DEF_TYPE" },
	{ 0x345, "IA32_PERF_CAPABILITIES" },
	{ 0x38f, "IA32_PERF_GLOBAL_CTRL" },
	{ 0x6a0, "IA32_U_CET" },
	{ 0x6a2, "IA32_S_CET" },
	{ 0x6e0, "IA32_TSC_DEADLINE" },
	{ 0xda0, "IA32_XSS" },
	{ 0x4b564d04, "KVM_PV_EOI_EN" },
	{ 0xc0000081, "STAR" },
	{ 0xc0000082, "LSTAR" },
	{ 0xc0000083, "CSTAR" },
	{ 0xc0000084, "SYSCALL_MASK" },
	{ 0xc0000102, "KERNEL_GS_BASE" },
	{ 0xc0000103, "TSC_AUX" },
	{ 0xc0000104, "TSC_RATIO" },
	{ 0xc0010015, "HWCR" },
	{ 0xc001011f, "VIRT_SPEC_CTRL" },
};

static const char *msr_name(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(msr_names); i++)
		if (msr_names[i].index == index)
			return msr_names[i].name;
	return "without a name here";
}

/* ---- Which ---- */

static bool msr_is_left_out(uint32_t index)
{
	return index == MSR_TSC || index - MSR_HYPERV_FIRST < MSR_HYPERV_COUNT ||
	       index - MSR_VMX_FIRST < MSR_VMX_COUNT;
}

struct msr_list {
	uint32_t count;
	uint32_t indices[VID_MSR_STATE_MAX];
};

static bool msr_list_has(const struct msr_list *list, uint32_t index)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->indices[i] == index)
			return true;
	return false;
}

static int msr_list_add(struct msr_list *list, uint32_t index)
{
	if (msr_is_left_out(index) || msr_list_has(list, index))
		return 0;
	if (list->count == ARRAY_SIZE(list->indices))
		return -E2BIG;
	list->indices[list->count++] = index;
	return 0;
}

/* struct kvm_msr_list ends in a flexible array; this is one of as many as there can be. */
union msr_index_list {
	struct kvm_msr_list list;
	uint32_t space[1 + VID_MSR_STATE_MAX];
};

static int msr_list_fill(struct vid *vid, struct msr_list *list)
{
	union msr_index_list kvm = { .list.nmsrs = VID_MSR_STATE_MAX };
	int r = 0;

	list->count = 0;
	if (ioctl(vid->fd, KVM_GET_MSR_INDEX_LIST, &kvm) < 0)
		return error_origin(-errno);
	for (uint32_t i = 0; r == 0 && i < kvm.list.nmsrs; i++)
		r = msr_list_add(list, kvm.list.indices[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(more_msrs); i++)
		for (uint32_t j = 0; r == 0 && j < more_msrs[i].count; j++)
			r = msr_list_add(list, more_msrs[i].first + j);
	return r;
}

/* ---- Saving ---- */

#define BATCH 128u

union msr_batch {
	struct kvm_msrs msrs;
	uint8_t space[sizeof(struct kvm_msrs) + BATCH * sizeof(struct kvm_msr_entry)];
};

static void msrs_put(const struct vid_vp *vp, const union msr_batch *batch, uint32_t count,
		     struct state_writer *writer)
{
	for (uint32_t i = 0; i < count; i++) {
		struct vid_msr_state msr = { .index = batch->msrs.entries[i].index,
					     .value = batch->msrs.entries[i].data };

		if (msr.index == VID_MSR_TSC_DEADLINE && vp->time.waits)
			msr.value = vp->time.deadline;
		state_put(writer, &msr, sizeof(msr));
	}
}

/* Return: how many of the list were dealt with, the last perhaps by leaving it out; -errno. */
static int msrs_read(struct vid_vp *vp, const uint32_t *indices, uint32_t count,
		     struct state_writer *writer, uint32_t *read)
{
	union msr_batch batch = { .msrs.nmsrs = MIN(count, BATCH) };
	int r;

	for (uint32_t i = 0; i < batch.msrs.nmsrs; i++)
		batch.msrs.entries[i].index = indices[i];
	r = ioctl(vp->fd, KVM_GET_MSRS, &batch);
	if (r < 0)
		return error_origin(-errno);
	msrs_put(vp, &batch, (uint32_t)r, writer);
	*read += (uint32_t)r;
	return (uint32_t)r < batch.msrs.nmsrs ? r + 1 : r;
}

int vid_vp_save_msrs(struct vid_vp *vp, struct state_writer *writer, uint32_t *ret_count)
{
	struct msr_list list;
	int r = msr_list_fill(vp->partition->vid, &list);

	*ret_count = 0;
	for (uint32_t done = 0; r >= 0 && done < list.count; done += (uint32_t)r)
		r = msrs_read(vp, list.indices + done, list.count - done, writer, ret_count);
	return r < 0 ? r : 0;
}

/* ---- Restoring ---- */

/* KVMs have MSRs that they name and tell, and do not take, not even as they are. */
static int msrs_leave_out_present(struct vid_vp *vp, union msr_batch *batch)
{
	union msr_batch present = *batch;
	uint32_t count = 0;
	int r = ioctl(vp->fd, KVM_GET_MSRS, &present);

	if (r < 0)
		return error_origin(-errno);
	for (uint32_t i = 0; i < batch->msrs.nmsrs; i++)
		if (i >= (uint32_t)r || present.msrs.entries[i].data != batch->msrs.entries[i].data)
			batch->msrs.entries[count++] = batch->msrs.entries[i];
	batch->msrs.nmsrs = count;
	return 0;
}

static int msrs_write(struct vid_vp *vp, union msr_batch *batch, struct state_refusal *refusal)
{
	const struct kvm_msr_entry *entry;
	int r;

	if (batch->msrs.nmsrs == 0)
		return 0;
	r = msrs_leave_out_present(vp, batch);
	if (r < 0)
		return r;
	if (batch->msrs.nmsrs == 0)
		return 0;
	r = ioctl(vp->fd, KVM_SET_MSRS, batch);
	if (r < 0)
		return error_origin(-errno);
	if ((uint32_t)r == batch->msrs.nmsrs)
		return 0;
	entry = &batch->msrs.entries[r];
	return state_refuse(refusal, "this host's KVM does not take MSR 0x%x (%s) with 0x%llx",
			    entry->index, msr_name(entry->index), (unsigned long long)entry->data);
}

static bool msr_is_last(uint32_t index)
{
	return index == MSR_PERF_GLOBAL_CTRL;
}

/* Either what is to come last, or all else. */
static int msrs_restore_part(struct vid_vp *vp, const void *msrs, uint32_t count, bool last,
			     struct state_refusal *refusal)
{
	union msr_batch batch = { .msrs.nmsrs = 0 };
	struct vid_msr_state msr;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < count; i++) {
		memcpy(&msr, (const uint8_t *)msrs + i * sizeof(msr), sizeof(msr));
		if (msr.index == VID_MSR_TSC_DEADLINE)
			vp->time.deadline = msr.value;
		else if (msr_is_last(msr.index) == last)
			batch.msrs.entries[batch.msrs.nmsrs++] =
				(struct kvm_msr_entry){ .index = msr.index, .data = msr.value };
		if (batch.msrs.nmsrs == BATCH) {
			r = msrs_write(vp, &batch, refusal);
			batch.msrs.nmsrs = 0;
		}
	}
	return r == 0 ? msrs_write(vp, &batch, refusal) : r;
}

static int msrs_check(struct vid_vp *vp, const void *msrs, uint32_t count,
		      struct state_refusal *refusal)
{
	struct msr_list list;
	struct vid_msr_state msr;
	int r = msr_list_fill(vp->partition->vid, &list);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(&msr, (const uint8_t *)msrs + i * sizeof(msr), sizeof(msr));
		if (msr.zero != 0 || !msr_list_has(&list, msr.index))
			return state_refuse(refusal,
					    "this host's KVM has no MSR 0x%x (%s) to be restored",
					    msr.index, msr_name(msr.index));
	}
	return 0;
}

int vid_vp_restore_msrs(struct vid_vp *vp, const void *msrs, uint32_t count,
			struct state_refusal *refusal)
{
	int r = msrs_check(vp, msrs, count, refusal);

	if (r == 0)
		r = msrs_restore_part(vp, msrs, count, false, refusal);
	return r == 0 ? msrs_restore_part(vp, msrs, count, true, refusal) : r;
}

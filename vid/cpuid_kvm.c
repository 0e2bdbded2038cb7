/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID leaves, exchanged with KVM.
 */
#include "vid/internal.h"

#include "common/base/error.h"

/* Room for all we take. */
static struct kvm_cpuid2 *cpuid_buffer_new(size_t count)
{
	struct kvm_cpuid2 *buffer =
		calloc(1, sizeof(*buffer) + VID_CPUID_MAX * sizeof(buffer->entries[0]));

	if (buffer)
		buffer->nent = (uint32_t)count;
	return buffer;
}

static bool cpuid_is_hypervisor(uint32_t function)
{
	return function >= 0x40000000u && function <= 0x4fffffffu;
}

static void cpuid_from_kvm(struct vid_cpuid *cpuid, const struct kvm_cpuid2 *buffer,
			   bool hypervisor)
{
	for (size_t i = 0; i < buffer->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &buffer->entries[i];

		if (cpuid_is_hypervisor(entry->function) != hypervisor)
			continue;
		cpuid->leaves[cpuid->count++] = (struct vid_cpuid_leaf){
			.function = entry->function,
			.index = entry->index,
			.indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = entry->eax,
			.ebx = entry->ebx,
			.ecx = entry->ecx,
			.edx = entry->edx,
		};
	}
}

static int cpuid_fetch(int fd, unsigned long request, bool hypervisor, struct vid_cpuid *ret_cpuid)
{
	AUTO_FREE struct kvm_cpuid2 *buffer = cpuid_buffer_new(VID_CPUID_MAX);

	if (!buffer)
		return -ENOMEM;
	if (ioctl(fd, request, buffer) < 0)
		return error_origin(-errno);
	ret_cpuid->count = 0;
	cpuid_from_kvm(ret_cpuid, buffer, hypervisor);
	return 0;
}

#define CPUID_FEATURES              1u
#define CPUID_FEATURES_TSC_DEADLINE (1u << 24) /* ECX */

int vid_cpuid_supported(struct vid *vid, struct vid_cpuid *ret_cpuid)
{
	struct vid_cpuid_leaf *features;
	int r;

	r = cpuid_fetch(vid->fd, KVM_GET_SUPPORTED_CPUID, false, ret_cpuid);
	if (r < 0)
		return r;
	/* KVM leaves this one out, because it depends on its LAPIC; our partitions have that. */
	features = vid_cpuid_find(ret_cpuid, CPUID_FEATURES, 0);
	if (features && vid->capabilities.tsc_deadline)
		features->ecx |= CPUID_FEATURES_TSC_DEADLINE;
	return 0;
}

int vid_vp_hyperv_cpuid(struct vid_vp *vp, struct vid_cpuid *ret_cpuid)
{
	return cpuid_fetch(vp->fd, KVM_GET_SUPPORTED_HV_CPUID, true, ret_cpuid);
}

int vid_vp_set_cpuid(struct vid_vp *vp, const struct vid_cpuid *cpuid)
{
	AUTO_FREE struct kvm_cpuid2 *buffer = cpuid_buffer_new(cpuid->count);

	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < cpuid->count; i++) {
		const struct vid_cpuid_leaf *leaf = &cpuid->leaves[i];

		buffer->entries[i] = (struct kvm_cpuid_entry2){
			.function = leaf->function,
			.index = leaf->index,
			.flags = leaf->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = leaf->eax,
			.ebx = leaf->ebx,
			.ecx = leaf->ecx,
			.edx = leaf->edx,
		};
	}
	return ioctl(vp->fd, KVM_SET_CPUID2, buffer) < 0 ? -errno : 0;
}

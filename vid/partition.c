/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partitions: a KVM virtual machine with in-kernel interrupt controllers, around guest memory.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

/*
 * Intel CPUs without unrestricted guest mode run real-mode code with a task state segment and an
 * identity page table in guest memory; KVM puts them where no guest looks: below 4 GiB, under the
 * place of the firmware, and outside of any RAM.
 */
#define VID_IDENTITY_MAP_ADDRESS UINT64_C(0xfeffc000)
#define VID_TSS_ADDRESS          (VID_IDENTITY_MAP_ADDRESS + HV_PAGE_SIZE)

static int partition_enable(struct vid_partition *partition, uint32_t capability, uint64_t argument)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { argument } };

	return ioctl(partition->fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/*
 * APIC ids of 32 bits in interrupt messages, and id 255 is an address like any other. Harmless for
 * guests in xAPIC mode.
 */
static int partition_enable_x2apic(struct vid_partition *partition)
{
	if (!partition->vid->capabilities.x2apic_api)
		return 0;
	return partition_enable(partition, KVM_CAP_X2APIC_API,
				KVM_X2APIC_API_USE_32BIT_IDS |
					KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
}

static int partition_create_chips(struct vid_partition *partition)
{
	uint64_t identity_map = VID_IDENTITY_MAP_ADDRESS;

	if (ioctl(partition->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    ioctl(partition->fd, KVM_SET_TSS_ADDR, VID_TSS_ADDRESS) < 0 ||
	    ioctl(partition->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_origin(-errno);
	return 0;
}

/* MSRs of these ranges are denied to the guest by a bitmap of zeros; a denial is an exit. */
static int partition_filter_msrs(struct vid_partition *partition,
				 const struct vid_partition_config *config)
{
	static uint8_t none_allowed[HV_PAGE_SIZE / 8];
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	size_t count = 0;
	int r;

	for (size_t i = 0; i < VID_MSR_RANGE_MAX; i++) {
		const struct vid_msr_range *range = &config->msr_exits[i];

		if (range->count == 0)
			continue;
		if (range->count > sizeof(none_allowed) * 8)
			return -EINVAL;
		filter.ranges[count++] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = range->first,
			.nmsrs = range->count,
			.bitmap = none_allowed,
		};
	}
	if (count == 0)
		return 0;
	if (!partition->vid->capabilities.user_space_msr ||
	    !partition->vid->capabilities.msr_filter)
		return -ENOTSUP;
	r = partition_enable(partition, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);
	if (r < 0)
		return r;
	return ioctl(partition->fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

int vid_partition_new(struct vid *vid, const struct vid_partition_config *config,
		      struct vid_partition **ret_partition)
{
	CLEANUP(vid_partition_freep) struct vid_partition *partition = NULL;
	int r;

	if (vid_missing(vid, 0))
		return -ENOTSUP;
	partition = calloc(1, sizeof(*partition));
	if (!partition)
		return -ENOMEM;
	partition->vid = vid;
	partition->fd = -1;
	list_init(&partition->memory_link);
	list_init(&partition->interrupts);
	pthread_mutex_init(&partition->interrupts_lock, NULL);
	do {
		partition->fd = ioctl(vid->fd, KVM_CREATE_VM, 0);
	} while (partition->fd < 0 && errno == EINTR);
	if (partition->fd < 0)
		return error_origin(-errno);
	/*
	 * KVM waits for readers of its tables after every change. At the very beginning there is
	 * nothing to wait for; after the chips, the guest's memory takes 7 ms and a filter 15.
	 */
	r = partition_filter_msrs(partition, config);
	if (r < 0)
		return r;
	if (config->memory) {
		r = vid_memory_attach(config->memory, partition);
		if (r < 0)
			return r;
	}
	if (config->rom.size > 0) {
		r = vid_rom_map(partition, &config->rom);
		if (r < 0)
			return r;
	}
	if (config->flash.size > 0) {
		r = vid_flash_map(partition, &config->flash);
		if (r < 0)
			return r;
	}
	r = partition_create_chips(partition);
	if (r < 0)
		return r;
	if (config->pit) {
		r = vid_pit_new(partition);
		if (r < 0)
			return r;
	}
	r = partition_enable_x2apic(partition);
	if (r < 0)
		return r;
	r = vid_interrupts_init(partition);
	if (r < 0)
		return r;
	*ret_partition = TAKE_PTR(partition);
	return 0;
}

void vid_partition_free(struct vid_partition *partition)
{
	if (!partition)
		return;
	assert(list_empty(&partition->interrupts));
	if (partition->memory)
		vid_memory_detach(partition->memory, partition);
	vid_interrupts_deinit(partition);
	pthread_mutex_destroy(&partition->interrupts_lock);
	if (partition->fd >= 0)
		close(partition->fd);
	vid_rom_unmap(partition);
	free(partition);
}

struct vid_memory *vid_partition_memory(struct vid_partition *partition)
{
	return partition->memory;
}

struct vid *vid_partition_device(struct vid_partition *partition)
{
	return partition->vid;
}

int vid_partition_clock(struct vid_partition *partition, struct vid_clock *ret_clock)
{
	struct kvm_clock_data clock;

	if (ioctl(partition->fd, KVM_GET_CLOCK, &clock) < 0)
		return error_origin(-errno);
	*ret_clock = (struct vid_clock){
		.ns = clock.clock,
		.host_tsc = clock.flags & KVM_CLOCK_HOST_TSC ? clock.host_tsc : __rdtsc(),
		.tsc_stable = clock.flags & KVM_CLOCK_TSC_STABLE,
	};
	return 0;
}

int vid_partition_set_pin(struct vid_partition *partition, unsigned pin, bool level)
{
	struct kvm_irq_level line = { .irq = pin, .level = level };

	return ioctl(partition->fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

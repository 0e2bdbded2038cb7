/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read-only memory: a copy of the host's, in a slot of its own behind those of the regions. What a
 * guest writes there becomes an exit. It is none of the guest's RAM: vid_memory_map() does not find
 * it, so that no device of the host writes to it either.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <string.h>
#include <sys/mman.h>

int vid_rom_map(struct vid_partition *partition, const struct vid_rom *rom)
{
	struct kvm_userspace_memory_region slot = {
		.slot = ROM_SLOT,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = rom->gpa.value,
		.memory_size = rom->size,
	};
	void *host;

	if (!IS_ALIGNED(rom->gpa.value | rom->size, HV_PAGE_SIZE))
		return -EINVAL;
	if (!partition->vid->capabilities.read_only_memory)
		return -ENOTSUP;
	host = mmap(NULL, rom->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host == MAP_FAILED)
		return error_origin(-errno);
	partition->rom = host;
	partition->rom_size = rom->size;
	memcpy(host, rom->bytes, rom->size);
	slot.userspace_addr = (uintptr_t)host;
	if (ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return error_origin(-errno);
	return 0;
}

void vid_rom_unmap(struct vid_partition *partition)
{
	if (partition->rom)
		munmap(partition->rom, partition->rom_size);
}

int vid_flash_map(struct vid_partition *partition, const struct vid_rom *flash)
{
	if (!IS_ALIGNED(flash->gpa.value | flash->size | (uintptr_t)flash->bytes, HV_PAGE_SIZE))
		return -EINVAL;
	if (!partition->vid->capabilities.read_only_memory)
		return -ENOTSUP;
	partition->flash = *flash;
	return vid_partition_show_flash(partition, true);
}

int vid_partition_show_flash(struct vid_partition *partition, bool shown)
{
	const struct vid_rom *flash = &partition->flash;
	struct kvm_userspace_memory_region slot = {
		.slot = FLASH_SLOT,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = flash->gpa.value,
		.memory_size = shown ? flash->size : 0,
		.userspace_addr = (uintptr_t)flash->bytes,
	};

	if (ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return error_origin(-errno);
	return 0;
}

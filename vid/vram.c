/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frame buffer: a memfd of the host's, in a slot of its own behind that of read-only memory. It is
 * none of the guest's RAM: vid_memory_map() does not find it, so that no device reads or writes it
 * for the guest, and what is written there is not tracked.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

struct vid_vram {
	int fd;
	uint8_t *host;
	uint64_t size;
};

static int vram_open(struct vid_vram *vram)
{
	vram->fd = memfd_create("vram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (vram->fd < 0)
		return error_origin(-errno);
	if (ftruncate(vram->fd, (off_t)vram->size) < 0)
		return error_origin(-errno);
	vram->host = mmap(NULL, vram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			  vram->fd, 0);
	if (vram->host == MAP_FAILED) {
		vram->host = NULL;
		return error_origin(-errno);
	}
	/* Our mapping, which is KVM's too, is the last by which it can be written. */
	if (fcntl(vram->fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return error_origin(-errno);
	madvise(vram->host, vram->size, MADV_DONTDUMP);
	madvise(vram->host, vram->size, MADV_DONTFORK);
	return 0;
}

int vid_vram_new(uint64_t size, struct vid_vram **ret_vram)
{
	CLEANUP(vid_vram_freep) struct vid_vram *vram = NULL;
	int r;

	if (size == 0 || !IS_ALIGNED(size, HV_PAGE_SIZE))
		return -EINVAL;
	vram = calloc(1, sizeof(*vram));
	if (!vram)
		return -ENOMEM;
	vram->fd = -1;
	vram->size = size;
	r = vram_open(vram);
	if (r < 0)
		return r;
	*ret_vram = TAKE_PTR(vram);
	return 0;
}

void vid_vram_free(struct vid_vram *vram)
{
	if (!vram)
		return;
	if (vram->host)
		munmap(vram->host, vram->size);
	if (vram->fd >= 0)
		close(vram->fd);
	free(vram);
}

uint8_t *vid_vram_bytes(const struct vid_vram *vram)
{
	return vram->host;
}

int vid_vram_descriptor(const struct vid_vram *vram)
{
	return vram->fd;
}

/* KVM cannot move a slot to another size in place. That it refuses to remove one that is not there does no harm. */
void vid_vram_remove(const struct vid_vram *vram, struct vid_partition *partition)
{
	struct kvm_userspace_memory_region slot = { .slot = VRAM_SLOT };

	ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &slot);
}

int vid_vram_place(const struct vid_vram *vram, struct vid_partition *partition, gpa_t gpa)
{
	struct kvm_userspace_memory_region slot = {
		.slot = VRAM_SLOT,
		.guest_phys_addr = gpa.value,
		.memory_size = vram->size,
		.userspace_addr = (uintptr_t)vram->host,
	};

	if (!IS_ALIGNED(gpa.value, HV_PAGE_SIZE))
		return -EINVAL;
	vid_vram_remove(vram, partition);
	return ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0 ? error_origin(-errno)
									   : 0;
}

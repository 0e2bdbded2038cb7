/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What KVM counts of a vp: Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD.
 *
 * KVM describes its counters by name; where they are is the same for all vps, and looked up once.
 * The descriptor is made with the vp, for KVM would keep who asks for it later waiting until the vp
 * comes out of the guest.
 */
#include "vid/internal.h"

#include <string.h>
#include <unistd.h>

#define DATA_MAX      8192 /* bytes of all counters of a vp that are looked at */
#define NAME_SIZE_MAX 64

static const char *const names[VID_KERNEL_EXITS] = {
	[VID_KERNEL_EXIT_ALL] = "exits",
	[VID_KERNEL_EXIT_HALT] = "halt_exits",
	[VID_KERNEL_EXIT_INTERRUPT] = "irq_exits",
	[VID_KERNEL_EXIT_INTERRUPT_WINDOW] = "irq_window_exits",
	[VID_KERNEL_EXIT_IO] = "io_exits",
	[VID_KERNEL_EXIT_MMIO] = "mmio_exits",
	[VID_KERNEL_EXIT_HYPERCALL] = "hypercalls",
	[VID_KERNEL_EXIT_SIGNAL] = "signal_exits",
};

/* struct kvm_stats_desc ends in a flexible array, the name; this is one with room for it. */
union description {
	struct kvm_stats_desc fixed;
	uint8_t space[sizeof(struct kvm_stats_desc) + NAME_SIZE_MAX + 1];
};

static void note(struct vid_statistics_layout *layout, const union description *description)
{
	for (size_t i = 0; i < VID_KERNEL_EXITS; i++) {
		if (strcmp(description->fixed.name, names[i]) == 0 &&
		    description->fixed.offset <= DATA_MAX - sizeof(uint64_t)) {
			layout->offsets[i] = description->fixed.offset;
			layout->there[i] = true;
		}
	}
}

static bool read_layout(int fd, struct vid_statistics_layout *layout)
{
	union description description = { .space = { 0 } };
	struct kvm_stats_header header;
	size_t size;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    header.name_size > NAME_SIZE_MAX)
		return false;
	layout->data_offset = header.data_offset;
	size = sizeof(description.fixed) + header.name_size;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		if (pread(fd, &description, size, header.desc_offset + (off_t)(i * size)) !=
		    (ssize_t)size)
			return false;
		note(layout, &description);
	}
	return true;
}

void vid_statistics_open(struct vid_vp *vp)
{
	struct vid_statistics_layout *layout = &vp->partition->vid->statistics;

	vp->statistics_fd = ioctl(vp->fd, KVM_GET_STATS_FD, 0);
	if (vp->statistics_fd < 0 || layout->known)
		return;
	layout->known = read_layout(vp->statistics_fd, layout);
	if (layout->known)
		return;
	close(vp->statistics_fd);
	vp->statistics_fd = -1;
}

void vid_vp_kernel_exits(const struct vid_vp *vp, uint64_t ret_counts[static VID_KERNEL_EXITS])
{
	const struct vid_statistics_layout *layout = &vp->partition->vid->statistics;
	uint8_t data[DATA_MAX];
	ssize_t size = -1;

	if (vp->statistics_fd >= 0)
		size = pread(vp->statistics_fd, data, sizeof(data), layout->data_offset);
	for (size_t i = 0; i < VID_KERNEL_EXITS; i++) {
		ret_counts[i] = 0;
		if (layout->there[i] && size >= (ssize_t)(layout->offsets[i] + sizeof(uint64_t)))
			memcpy(&ret_counts[i], data + layout->offsets[i], sizeof(uint64_t));
	}
}

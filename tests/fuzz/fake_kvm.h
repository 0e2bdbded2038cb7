/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A KVM for vid/ that is none: the linker's --wrap has ioctl(2) end here. What a guest decides
 * comes from the input of a fuzzer, within what KVM itself keeps to. One partition at a time, with
 * two vps at most. Thread: one.
 */
#pragma once

#include "vid/internal.h"

#include <stddef.h>
#include <stdint.h>

#define FAKE_KVM_SLOTS  VID_REGION_MAX
#define FAKE_KVM_PAGES  64 /* that a slot has at most */
#define FAKE_KVM_VPS    2
#define FAKE_KVM_VECTOR 0x100 /* none */

struct fake_kvm {
	const uint8_t *input; /* what decides what happens; zeros after its end */
	size_t size;
	bool fails;    /* what may fail for want of memory does */
	bool restores; /* events are set as they were saved, whatever the vp is at */

	int vps;
	int vp_fds[FAKE_KVM_VPS];
	struct kvm_run *runs[FAKE_KVM_VPS];
	bool logs[FAKE_KVM_SLOTS];      /* changes of this slot are logged */
	uint64_t dirty[FAKE_KVM_SLOTS]; /* pages that the guest wrote, by slot */
	int doorbells, connections, irqfds;

	/* What the vp that was asked last could take, and what it was given. */
	bool may_interrupt;
	unsigned injected;
};

extern struct fake_kvm fake_kvm;

/* A device for vid_partition_new(), which has all capabilities. */
void fake_kvm_make(struct vid *vid);

uint64_t fake_kvm_take(unsigned bytes);

/* The guest writes to a page. */
void fake_kvm_write(size_t slot, unsigned page);

/* The partition is gone. */
void fake_kvm_forget(void);

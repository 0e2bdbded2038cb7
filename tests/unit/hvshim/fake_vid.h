/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hypervisor device that is not there: as much of vid/vid.h as hvshim/ uses, for tests of what
 * no guest on this machine's KVM could be made to do. Linked before vid, it takes the place of
 * partitions, vps and interrupts; guest memory and CPUID tables are the real ones.
 *
 * Everything is in the open: a test sets what a vp holds, and looks at what was done to it.
 */
#pragma once

#include "vid/vid.h"

struct vid {
	struct vid_capabilities capabilities;
};

struct vid_partition {
	struct vid vid;
	struct vid_memory *memory;
	struct vid_clock clock;
	int connect_error; /* what adding doorbells and connections gives */
	unsigned doorbells, connections, interrupts;
	struct vid_interrupt *newest; /* of the interrupts that were made */
};

#define FAKE_MSRS 0x120u

enum fake_answer { FAKE_NO_ANSWER, FAKE_VALUE, FAKE_FAULT };

struct vid_vp {
	struct vid_partition *partition;
	uint32_t index;
	struct vid_registers registers;
	struct vid_system_registers system;
	struct vid_cpuid offered; /* Hyper-V leaves that KVM has */
	struct vid_cpuid cpuid;   /* those it was given */
	bool synic_enabled;
	enum fake_answer answer;
	uint64_t value; /* of FAKE_VALUE, or of a hypercall */
	uint8_t exception;
	unsigned apic_writes; /* of Hyper-V's MSRs of the APIC */
	uint32_t apic_msr;    /* the last that was written */
	bool lazy_eoi;
	bool refuses;        /* interrupts: not now */
	unsigned interrupts; /* that it took, besides those of a struct vid_interrupt */
	uint8_t vector;      /* of the last of them */
	unsigned kicks;

	/* Hyper-V's MSRs, where KVM has them; `order` has those that were written, one by one. */
	bool hyperv_msrs;
	uint32_t refused_msr;
	uint64_t msrs[FAKE_MSRS];
	unsigned written;
	uint32_t order[FAKE_MSRS];
};

enum fake_route { FAKE_UNROUTED, FAKE_MSI, FAKE_VECTOR, FAKE_SINT };

struct vid_interrupt {
	struct vid_partition *partition;
	int fd, eoi_fd;
	enum fake_route route;
	uint32_t target, vector; /* APIC id or vp, vector or SINT */
};

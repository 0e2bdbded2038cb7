/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A puppet guest: a real guest on this machine's KVM, in 64-bit kernel mode, that does one thing at
 * a time as the test tells it to.
 *
 * puppet_do() points the vp at a routine of puppet_code.S, gives it registers, and runs it until
 * the routine is done or has faulted. Guest memory is PUPPET_RAM bytes from GPA 0, mapped one to
 * one like all else below 4 GiB, and free for tests from PUPPET_FREE on.
 *
 * KVM that runs kernel mode by emulation needs some microseconds for each instruction; so be it.
 */
#pragma once

#include "hvshim/hvshim.h"
#include "vid/vid.h"

#define PUPPET_RAM     0x800000u
#define PUPPET_COUNTER 0x9000u /* GPA of a u32 that counts interrupts, and vps started */
#define PUPPET_AP_PAGE 0xa000u /* where a second vp starts: SIPI vector 0x0a */
#define PUPPET_FREE    0x100000u

/* Vectors from this one on, whose handler counts like the others' but does not write EOI. */
#define PUPPET_UNENDED     0x60u
#define PUPPET_UNENDED_END 0x80u

extern const uint8_t puppet_code[], puppet_code_end[], puppet_rdmsr[], puppet_wrmsr[],
	puppet_call[], puppet_call_32[], puppet_out[], puppet_store[], puppet_load[], puppet_wait[],
	puppet_spin[], puppet_count[], puppet_shutdown[], puppet_touch[], puppet_cpuid[],
	puppet_fault_ud[], puppet_fault_gp[], puppet_fault_pf[], puppet_interrupt[],
	puppet_interrupt_unended[], puppet_ap[];

struct puppet {
	struct vid *vid;
	struct vid_memory *memory;
	struct vid_partition *partition;
	struct vid_vp *vp;

	/* Sees every exit but the puppet's own. Return: whether to go on. NULL: stop at each. */
	bool (*exit)(struct puppet *puppet, const struct vid_exit *exit);
	void *data;

	struct vid_registers registers; /* after puppet_do() */
	struct vid_exit last;           /* the exit that ended it */
	unsigned fault;                 /* vector of the exception that ended it, or 0 */
};

/* False, and nothing made, where there is no KVM to be had; else asserts that all goes well. */
bool puppet_open(struct puppet *puppet);

/* Memory, partition and vp. config: its memory is set here. */
void puppet_make(struct puppet *puppet, struct vid_partition_config *config);

/* All Hyper-V leaves but those the hypervisor gives; for puppets without a personality. */
void puppet_set_cpuid(struct puppet *puppet);

/* Sets up 64-bit kernel mode. After the CPUID. */
void puppet_start(struct puppet *puppet);

/* From here on in user mode, with the right to do I/O to every port. */
void puppet_enter_user(struct puppet *puppet);

/* From here on in 32-bit kernel mode (under a 64-bit one, which hypercalls do not care about). */
void puppet_enter_32(struct puppet *puppet);

void puppet_close(struct puppet *puppet);

/* Points the vp at a routine, which vid_vp_run() then runs. */
void puppet_point(struct puppet *puppet, const uint8_t *routine,
		  const struct vid_registers *registers);

/*
 * registers: what the routine finds; RIP, RSP and RFLAGS are set here. Return: whether it came to
 * its end; else fault or last says why not.
 */
bool puppet_do(struct puppet *puppet, const uint8_t *routine,
	       const struct vid_registers *registers);

/* The same, while another thread kicks the vp every millisecond, from one millisecond on. */
bool puppet_do_kicked(struct puppet *puppet, const uint8_t *routine,
		      const struct vid_registers *registers);

/* What is at PUPPET_COUNTER. */
uint32_t puppet_counter(struct puppet *puppet);

/* Guest memory as the host sees it. */
void *puppet_memory(struct puppet *puppet, uint64_t address);

/* Turns the LAPIC on, and the PICs off. */
void puppet_enable_apic(struct puppet *puppet);

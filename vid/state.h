/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of partitions and vps, saved as records (common/base/state.h) and restored from them,
 * perhaps on another host.
 *
 * What is saved is plain: numbers as the processor's manuals have them, and no struct of KVM's but
 * the bytes of XSAVE, whose layout is the processor's. Not saved, for whoever has them makes them
 * anew: memory, CPUID leaves, interrupts and their routes, doorbells, the levels of the pins.
 *
 * Time stands still from a save to vid_partition_start() and vid_vp_start() after the restore:
 * only then the clock and the vps' TSCs run on from where they were. Saved before that, a partition
 * that was restored gives what it was restored from.
 *
 * Thread: one, while no vp runs. Errors: 0; -EINVAL: what was saved is refused, and *refusal says
 * why; -errno: a fault of the host.
 */
#pragma once

#include "common/base/state.h"
#include "vid/vid.h"

#include <assert.h>

/* ---- Partitions ---- */

#define VID_PARTITION_STATE_VERSION 1

/* An 8259. */
struct vid_pic_state {
	uint8_t last_irr, irr, imr, isr;
	uint8_t priority_add, irq_base, read_reg_select, poll;
	uint8_t special_mask, init_state, auto_eoi, rotate_on_auto_eoi;
	uint8_t special_fully_nested_mode, init4, elcr, zero;
};
static_assert(sizeof(struct vid_pic_state) == 16, "stored format");

#define VID_PIC_COUNT   2
#define VID_IOAPIC_PINS 24

struct vid_ioapic_state {
	uint32_t selected; /* IOREGSEL */
	uint32_t id, irr, zero;
	uint64_t redirections[VID_IOAPIC_PINS];
};
static_assert(sizeof(struct vid_ioapic_state) == 208, "stored format");

struct vid_partition_state {
	uint64_t clock_ns; /* of the partition's clock, … */
	uint64_t host_tsc; /* … and of the host that saved, at that moment */
	struct vid_pic_state pics[VID_PIC_COUNT];
	struct vid_ioapic_state ioapic;
};
static_assert(sizeof(struct vid_partition_state) == 256, "stored format");

int vid_partition_save(struct vid_partition *partition, struct state_writer *writer,
		       const char *record) MUST_CHECK;

/* A partition that has just been made. */
int vid_partition_restore(struct vid_partition *partition, const struct state_reader *reader,
			  const char *record, struct state_refusal *refusal) MUST_CHECK;

/* ---- The 8254 of a partition that has one ---- */

#define VID_PIT_STATE_VERSION 1
#define VID_PIT_COUNTERS      3

struct vid_pit_counter {
	uint32_t count; /* 0, or 1 to 65536 */
	uint16_t latched_count;
	uint8_t count_latched, status_latched, status;
	uint8_t read_state, write_state, write_latch;
	uint8_t access, mode, bcd, gate; /* access: which bytes, as the control word has it */
	uint32_t zero;
};
static_assert(sizeof(struct vid_pit_counter) == 20, "stored format");

struct vid_pit_state {
	struct vid_pit_counter counters[VID_PIT_COUNTERS];
	uint8_t zero[4];
};
static_assert(sizeof(struct vid_pit_state) == 64, "stored format");

int vid_pit_save(struct vid_partition *partition, struct state_writer *writer,
		 const char *record) MUST_CHECK;
int vid_pit_restore(struct vid_partition *partition, const struct state_reader *reader,
		    const char *record, struct state_refusal *refusal) MUST_CHECK;

/* ---- The partition's clock ---- */

/* The clock runs on. Nothing, unless it was restored. */
int vid_partition_start(struct vid_partition *partition) MUST_CHECK;

/* Sets the partition's clock, which runs on from there. After vid_partition_start(), if at all. */
int vid_partition_set_clock(struct vid_partition *partition, uint64_t ns) MUST_CHECK;

/* ---- Virtual processors ---- */

#define VID_VP_STATE_VERSION 1

enum vid_activity {
	VID_ACTIVITY_RUNS,
	VID_ACTIVITY_HALTED,
	VID_ACTIVITY_WAITS_FOR_INIT,
	VID_ACTIVITY_WAITS_FOR_SIPI,
	VID_ACTIVITIES,
};

/* Events that the vp has taken up and not finished, or is to take next. */
struct vid_event_state {
	uint8_t exception_injected, exception_pending, exception_vector, exception_has_code;
	uint32_t exception_code;
	uint8_t interrupt_injected, interrupt_vector, interrupt_soft, interrupt_shadow;
	uint8_t nmi_injected, nmi_pending, nmi_masked;
	uint8_t smm, smi_pending, smm_inside_nmi, smm_latched_init, zero;
};
static_assert(sizeof(struct vid_event_state) == 20, "stored format");

#define VID_LAPIC_REGISTERS 64 /* 32 bits in every 16 bytes of the page */
#define VID_DEBUG_REGISTERS 4

#define VID_VP_STATE_PDPTRS 1u /* flag: `pdptrs` are loaded */

/* Followed by xsave_size bytes of XSAVE's, and msr_count of struct vid_msr_state. */
struct vid_vp_state {
	struct vid_registers registers;
	struct vid_system_registers system;
	uint64_t pdptrs[4];
	uint64_t xcr0;
	uint64_t dr[VID_DEBUG_REGISTERS], dr6, dr7;
	uint64_t tsc_offset; /* guest's minus host's, modulo 2^64 */
	uint32_t tsc_khz;
	uint32_t activity; /* enum vid_activity */
	uint32_t flags;    /* VID_VP_STATE_ */
	uint32_t lapic[VID_LAPIC_REGISTERS];
	struct vid_event_state events;
	uint32_t xsave_size, msr_count;
};
static_assert(sizeof(struct vid_registers) == 144, "stored format");
static_assert(sizeof(struct vid_system_registers) == 208, "stored format");
static_assert(sizeof(struct vid_vp_state) == 744, "stored format");

struct vid_msr_state {
	uint32_t index, zero;
	uint64_t value;
};
static_assert(sizeof(struct vid_msr_state) == 16, "stored format");

#define VID_XSAVE_MAX     65536u
#define VID_MSR_STATE_MAX 1024u

/*
 * Hyper-V's MSRs, which are the personality's, are left out. -EBUSY: the exit it last gave cannot
 * be completed, for it goes on with another; let the vp run until it has none under way.
 */
int vid_vp_save(struct vid_vp *vp, struct state_writer *writer, const char *record) MUST_CHECK;

/* A vp that has just been made and given its CPUID leaves; its partition is restored already. */
int vid_vp_restore(struct vid_vp *vp, const struct state_reader *reader, const char *record,
		   struct state_refusal *refusal) MUST_CHECK;

/*
 * Its TSC runs on: from where it was, or where the host gives guests no TSC of their own, from
 * where the host's is. After vid_partition_start(), before it runs. Nothing, unless it was restored.
 */
int vid_vp_start(struct vid_vp *vp) MUST_CHECK;

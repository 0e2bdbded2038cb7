/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of vid/ share: the structs behind the handles, and ioctl().
 *
 * The only place where <linux/kvm.h> is included.
 */
#pragma once

#include "common/base/list.h"
#include "vid/state.h"
#include "vid/vid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/* Where KVM's counters of a vp are: statistics.c. */
struct vid_statistics_layout {
	bool known;
	uint32_t data_offset;
	uint32_t offsets[VID_KERNEL_EXITS];
	bool there[VID_KERNEL_EXITS];
};

struct vid {
	int fd;
	struct vid_statistics_layout statistics;
	size_t run_size; /* bytes of a vp's shared page(s) */
	struct vid_capabilities capabilities;
};

#define VID_REGION_MAX 128

/* Memory slots of KVM, behind those of the regions, which have the numbers of these. */
enum { ROM_SLOT = VID_REGION_MAX, FLASH_SLOT, VRAM_SLOT };

struct vid_region {
	struct vid_memory_region range;
	enum vid_memory_backing backing;
	uint8_t *host; /* range.size bytes; host and gpa agree modulo 2 MiB */
	int fd;        /* memfd of a shared region, whose offset 0 is at host; or -1 */

	/* A bit for each page the host wrote. Made when tracking first starts, and kept. */
	_Atomic(uint64_t) *_Atomic written;
};

/* Regions are only ever added: readers need the count, and no lock. */
struct vid_memory {
	struct vid_region regions[VID_REGION_MAX];
	atomic_size_t count;
	atomic_bool tracking;
	struct list partitions; /* struct vid_partition.memory_link */
};

/* Between a restore and the start: what time it was, and after it what became of that. */
struct vid_partition_time {
	bool waits;
	uint64_t clock_ns, host_tsc;  /* as they were saved */
	uint64_t start_ns, start_tsc; /* the clock, and the host's TSC at that moment */
};

struct vid_vp_time {
	bool waits;
	uint64_t tsc_offset, deadline; /* as they were saved; deadline 0: none */
	uint32_t tsc_khz;
};

struct vid_partition {
	struct vid *vid;
	int fd;
	struct vid_memory *memory;
	struct list memory_link;

	pthread_mutex_t interrupts_lock; /* of the two below, and of the routing table in KVM */
	struct list interrupts;          /* struct vid_interrupt.link */
	uint64_t *gsis;                  /* bitmap of those in use */

	struct vid_partition_time time; /* of one that was restored */
	void *rom;                      /* or NULL */
	size_t rom_size;
	struct vid_rom flash;
};

struct vid_vp {
	struct vid_partition *partition;
	uint32_t index, apic_id;
	int fd;
	int statistics_fd;     /* -1: KVM has none */
	struct kvm_run *run;   /* shared with KVM */
	_Atomic(pid_t) thread; /* inside KVM_RUN, or about to be; 0: not */
	bool exit_pending;     /* KVM completes the last exit when the vp runs again */
	struct vid_vp_time time;

	/* By kind; written by the vp's thread alone, so that an addition need not be atomic. */
	_Atomic(uint64_t) exits[VID_EXIT_KINDS];
};

/* memory.c and dirty.c */
static inline size_t vid_region_pages(const struct vid_region *region)
{
	return region->range.size / HV_PAGE_SIZE;
}

void vid_memory_detach(struct vid_memory *memory, struct vid_partition *partition);
int vid_memory_set_slot(const struct vid_partition *partition, const struct vid_region *region,
			size_t slot, bool log_dirty) MUST_CHECK;
int vid_region_track(struct vid_region *region) MUST_CHECK;

/* Keeps what the guest has written and nobody has fetched: the partition is about to go. */
void vid_region_harvest(const struct vid_partition *partition, struct vid_region *region,
			size_t slot);

/* interrupt.c */
int vid_interrupts_init(struct vid_partition *partition) MUST_CHECK;
void vid_interrupts_deinit(struct vid_partition *partition);

/* statistics.c; before the vp runs. Without statistics a vp does as well. */
void vid_statistics_open(struct vid_vp *vp);

/* rom.c; the memory goes with the partition. */
int vid_rom_map(struct vid_partition *partition, const struct vid_rom *rom) MUST_CHECK;
void vid_rom_unmap(struct vid_partition *partition);
int vid_flash_map(struct vid_partition *partition, const struct vid_rom *flash) MUST_CHECK;

/* pit.c; after the interrupt controllers. */
int vid_pit_new(struct vid_partition *partition) MUST_CHECK;

/* exit.c */
int vid_exit_decode(struct vid_vp *vp, struct vid_exit *ret_exit) MUST_CHECK;

#define VID_MSR_TSC_DEADLINE 0x6e0u

/* vp_msrs.c: in and out of the TSC deadline, which the vp's time has while it waits. */
int vid_vp_save_msrs(struct vid_vp *vp, struct state_writer *writer,
		     uint32_t *ret_count) MUST_CHECK;
int vid_vp_restore_msrs(struct vid_vp *vp, const void *msrs, uint32_t count,
			struct state_refusal *refusal) MUST_CHECK;

/* injection.c: the class, of 0 to 15, that a vector has to be above to interrupt the processor. */
unsigned vid_lapic_priority_class(const struct kvm_lapic_state *lapic);

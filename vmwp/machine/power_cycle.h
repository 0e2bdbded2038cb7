/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One power cycle of the machine: the partition, its Hyper-V personality and its vps, from
 * power-on to the next reset. The guest's memory, the chipset and the VMBus host outlive it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "hvshim/hvshim.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/base/memory_layout.h"
#include "vmwp/cpu/cpu.h"
#include "vmwp/machine/vps.h"

#include <stdint.h>

struct bios;
struct bios_file;
struct uefi;
struct power_cycle;
struct state_reader;

/* All pointers are borrowed, and so are the descriptors. */
struct power_cycle_config {
	struct vid *vid;
	struct vid_memory *memory; /* zero-filled, unless something is restored */
	const struct memory_layout *layout;
	const struct numa *numa;
	const struct vid_cpuid *cpuid; /* what the hypervisor supports */
	struct topology topology;
	struct guid uuid;
	bool hibernation; /* the guest is told that it can */

	/* The state that is to be restored into it; NULL: none, and a kernel is loaded. */
	const struct state_reader *restored;

	int kernel_fd, initrd_fd; /* initrd_fd may be -1 */
	const char *command_line;

	int bios_fd;          /* generation 1's, in place of a kernel; or -1 */
	int uefi_fd;          /* generation 2's, likewise */
	const uint8_t *flash; /* of generation 2, as long as the power cycle; NULL: there is none */
	const char *boot_order; /* as struct bios_config and struct uefi_config have it */

	struct loop *loop;
	enum hvshim_engine engine;
	uint32_t enlightenments; /* as hvshim_config has them */
	const struct hvshim_callbacks *hvshim_callbacks;
	const struct vps_callbacks *vps_callbacks;
	void (*notice)(void *data, const char *text); /* a sentence for the log */
	void *data;                                   /* for the callbacks */
};

/*
 * Builds the partition, and loads the kernel or leaves all else to the state's restore; the vps
 * wait. Return: 0; -errno and *failure.
 */
int power_cycle_new(const struct power_cycle_config *config, struct power_cycle **ret_power_cycle,
		    struct failure *failure) MUST_CHECK;
void power_cycle_free(struct power_cycle *power_cycle);
DEFINE_CLEANUP(struct power_cycle *, power_cycle_free)

/*
 * Time runs on from where it was restored, and the personality is no longer quiet. Before the vps
 * run, and nothing where there was neither. Return: 0; -errno and *failure.
 */
int power_cycle_resume(struct power_cycle *power_cycle, struct failure *failure) MUST_CHECK;

/* What is counted of a power cycle. */
struct power_cycle_counters {
	uint64_t exits[VID_EXIT_KINDS]; /* over all vps */
	uint64_t kernel_exits[VID_KERNEL_EXITS];
	uint64_t interrupts, messages, timers; /* SynIC: events and messages; expired timers */
};

void power_cycle_add_counters(const struct power_cycle *power_cycle,
			      struct power_cycle_counters *sum);

/* A non-maskable interrupt to the first vp. Return: as vid_partition_nmi(). */
int power_cycle_nmi(struct power_cycle *power_cycle) MUST_CHECK;

uint32_t power_cycle_vp_count(const struct power_cycle *power_cycle);
struct vid_vp *power_cycle_vp(const struct power_cycle *power_cycle, uint32_t index);

/* Of a vp that is paused. Return: 0, -errno. */
int power_cycle_vp_registers(struct power_cycle *power_cycle, uint32_t index,
			     struct vid_registers *ret_registers,
			     struct vid_system_registers *ret_system) MUST_CHECK;

/* Generation 1's firmware, or NULL. */
const struct bios *power_cycle_bios(const struct power_cycle *power_cycle);

/* What firmware is told, as long as the power cycle is there. Return: how many. 0: there is none. */
size_t power_cycle_firmware_files(const struct power_cycle *power_cycle,
				  struct bios_file *ret_files);

struct vid_partition *power_cycle_partition(struct power_cycle *power_cycle);
struct hvshim *power_cycle_hvshim(struct power_cycle *power_cycle);
struct vps *power_cycle_vps(struct power_cycle *power_cycle);

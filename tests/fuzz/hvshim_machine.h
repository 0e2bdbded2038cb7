/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine of two vps with the Hyper-V personality, on the fake vid, for fuzzers: made anew for
 * each input, but for what takes long.
 */
#pragma once

#include "hvshim/hvshim.h"
#include "tests/fake/watched_memory.h"
#include "tests/unit/hvshim/fake_vid.h"

#include <stdlib.h>
#include <string.h>

#define RAM 0x8000u

struct machine {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vps[2];
	struct hvshim *hvshim;
	bool kvm_has_msrs; /* Hyper-V's of the vps */
};

static inline void require(bool condition)
{
	if (!condition)
		abort();
}

static inline void on_message(void *data, uint32_t connection_id,
			      const struct hvshim_message *message)
{
	require(message->size <= HVSHIM_MESSAGE_PAYLOAD);
}

static inline void on_slot_free(void *data, uint32_t vp)
{
	require(vp < 2);
}

static inline void on_crash(void *data, const struct hvshim_crash *crash)
{
	require(crash->text_size <= sizeof(crash->text));
}

static inline void on_reset(void *data)
{
}

/* timers: with all that is optional; else with nothing. */
static inline void machine_make(struct machine *machine, enum hvshim_engine engine, bool timers)
{
	static const struct hvshim_callbacks callbacks = {
		.message = on_message,
		.slot_free = on_slot_free,
		.crash = on_crash,
		.reset = on_reset,
	};
	struct hvshim_config config = {
		.engine = engine,
		.vp_count = ARRAY_SIZE(machine->vps),
		.partition = &machine->partition,
		.loop = machine->loop,
		.callbacks = &callbacks,
		.data = machine,
		.message_connections = { 1, 4 },
		.enlightenments = timers ? UINT32_MAX : 0,
		.x2apic_guest = timers,
	};

	require(hvshim_new(&config, &machine->hvshim) == 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(machine->vps); i++) {
		struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };

		machine->vps[i] = (struct vid_vp){ .partition = &machine->partition,
						   .index = i,
						   .hyperv_msrs = machine->kvm_has_msrs };
		require(hvshim_vp_attach(machine->hvshim, &machine->vps[i], &cpuid) == 0);
	}
}

static inline void machine_turn(struct machine *machine, unsigned count)
{
	while (count-- > 0)
		require(loop_run_once(machine->loop, 0) == 0);
}

static inline void machine_free(struct machine *machine)
{
	hvshim_free(machine->hvshim);
	machine_turn(machine, 4);
	require(machine->partition.interrupts == 0 && machine->partition.doorbells == 0 &&
		machine->partition.connections == 0);
}

/* Made once: the loop, whose ring is slow to make, and memory, which the guest leaves as it is. */
static inline struct machine *machine_get(void)
{
	static struct machine machine;
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };

	if (!machine.loop) {
		require(loop_new(64, &machine.loop) == 0);
		require(vid_memory_new(&machine.partition.memory) == 0);
		require(vid_memory_add(machine.partition.memory, ram, VID_MEMORY_SMALL, false) ==
			0);
		require(vid_memory_track_dirty(machine.partition.memory, true) == 0);
	}
	memset(watched_memory_guest(machine.partition.memory, GPA(0), RAM), 0, RAM);
	machine.partition.newest = NULL;
	return &machine;
}

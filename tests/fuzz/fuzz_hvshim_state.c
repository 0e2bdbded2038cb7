/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile state against the restore of the Hyper-V personality, either engine: what is not
 * refused is then run for a while, saved, and taken again by another one, which saves the same.
 *
 * Input: a byte that chooses the engine, and records as common/base/state.h has them.
 */
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "tests/fake/watched_memory.h"
#include "tests/unit/hvshim/fake_vid.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RAM 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vps[2];
	struct hvshim *hvshim;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
	require(message->size <= HVSHIM_MESSAGE_PAYLOAD);
}

static void on_slot_free(void *data, uint32_t vp)
{
	require(vp < 2);
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
	require(crash->text_size <= sizeof(crash->text));
}

static void on_reset(void *data)
{
}

static const struct hvshim_callbacks callbacks = {
	.message = on_message,
	.slot_free = on_slot_free,
	.crash = on_crash,
	.reset = on_reset,
};

static void machine_make(struct machine *machine, enum hvshim_engine engine)
{
	struct hvshim_config config = {
		.engine = engine,
		.vp_count = ARRAY_SIZE(machine->vps),
		.partition = &machine->partition,
		.loop = machine->loop,
		.callbacks = &callbacks,
		.data = machine,
		.message_connections = { 1, 4 },
		.enlightenments = UINT32_MAX,
		.x2apic_guest = true,
	};

	machine->partition.vid.capabilities.hyperv_vapic = true;
	machine->partition.clock = (struct vid_clock){ .ns = 1000000000, .tsc_stable = true };
	require(hvshim_new(&config, &machine->hvshim) == 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(machine->vps); i++) {
		struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };

		machine->vps[i] = (struct vid_vp){ .partition = &machine->partition,
						   .index = i,
						   .hyperv_msrs = engine == HVSHIM_ENGINE_KERNEL };
		require(hvshim_vp_attach(machine->hvshim, &machine->vps[i], &cpuid) == 0);
	}
}

static void machine_turn(struct machine *machine, unsigned count)
{
	while (count-- > 0)
		require(loop_run_once(machine->loop, 0) == 0);
}

static void machine_free(struct machine *machine)
{
	hvshim_free(machine->hvshim);
	machine_turn(machine, 4);
	require(machine->partition.interrupts == 0);
}

static struct machine *machine_get(void)
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
	return &machine;
}

/* Return: whether it was taken. */
static bool machine_restore(struct machine *machine, enum hvshim_engine engine, const void *bytes,
			    size_t size)
{
	struct state_refusal refusal = { .text = "" };
	struct state_reader reader;
	int r;

	if (state_reader_init(&reader, bytes, size) != 0)
		return false;
	machine_make(machine, engine);
	r = hvshim_restore(machine->hvshim, &reader, &refusal);
	require(r == 0 || (r == -EINVAL && refusal.text[0] != '\0'));
	if (r != 0)
		machine_free(machine);
	return r == 0;
}

/* What was taken is something that can be saved, and be taken again. */
static void machine_save_again(struct machine *machine, enum hvshim_engine engine)
{
	struct state_writer first, second;

	state_writer_init(&first);
	state_writer_init(&second);
	require(hvshim_save(machine->hvshim, &first) == 0);
	machine_free(machine);
	require(machine_restore(machine, engine, first.bytes, first.size));
	require(hvshim_save(machine->hvshim, &second) == 0);
	require(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vid_exit kick = { .kind = VID_EXIT_KICK };
	struct machine *machine = machine_get();
	enum hvshim_engine engine;

	if (size == 0)
		return 0;
	engine = data[0] & 1 ? HVSHIM_ENGINE_USER : HVSHIM_ENGINE_KERNEL;
	if (!machine_restore(machine, engine, data + 1, size - 1))
		return 0;
	machine_save_again(machine, engine);
	require(hvshim_resume(machine->hvshim) == 0);
	machine_turn(machine, 3);
	for (size_t i = 0; i < ARRAY_SIZE(machine->vps); i++) {
		require(hvshim_exit(machine->hvshim, &machine->vps[i], &kick) >= 0);
		require(machine->vps[i].interrupts == 0 ||
			machine->vps[i].vector >= HV_SINT_VECTOR_MIN);
	}
	machine_turn(machine, 3);
	machine_free(machine);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile state against the restore of the Hyper-V personality, either engine: what is not
 * refused is then run for a while, saved, and taken again by another one, which saves the same.
 *
 * Input: a byte that chooses the engine, and records as common/base/state.h has them.
 */
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "tests/fuzz/hvshim_machine.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Return: whether it was taken. */
static bool machine_restore(struct machine *machine, enum hvshim_engine engine, const void *bytes,
			    size_t size)
{
	struct state_refusal refusal = { .text = "" };
	struct state_reader reader;
	int r;

	if (state_reader_init(&reader, bytes, size) != 0)
		return false;
	machine->kvm_has_msrs = engine == HVSHIM_ENGINE_KERNEL;
	machine->partition.vid.capabilities.hyperv_vapic = true;
	machine->partition.clock = (struct vid_clock){ .ns = 1000000000, .tsc_stable = true };
	machine_make(machine, engine, true);
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

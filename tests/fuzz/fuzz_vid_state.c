/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile state against the restore of a partition and a vp, over a KVM that is none: nothing
 * goes to KVM that it takes unseen, and what is not refused is started and saved again.
 *
 * Input: a byte of flags, records as common/base/state.h has them up to a byte count in the last
 * two bytes, and after them what KVM answers.
 */
#include "common/base/state.h"
#include "tests/fuzz/fake_kvm.h"
#include "vid/state.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FAILS 1u
#define RAM   (4 * HV_PAGE_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct vid vid;
	struct vid_memory *memory;
	struct vid_partition *partition;
	struct vid_vp *vp;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void machine_make(struct machine *machine)
{
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };
	struct vid_partition_config config = { .memory = NULL };

	fake_kvm_make(&machine->vid);
	require(vid_memory_new(&machine->memory) == 0);
	require(vid_memory_add(machine->memory, ram, VID_MEMORY_SMALL, false) == 0);
	config.memory = machine->memory;
	require(vid_partition_new(&machine->vid, &config, &machine->partition) == 0);
	require(vid_vp_new(machine->partition, 0, 0, &machine->vp) == 0);
}

static void machine_free(struct machine *machine)
{
	vid_vp_free(machine->vp);
	vid_partition_free(machine->partition);
	vid_memory_free(machine->memory);
	fake_kvm_forget();
}

/* Return: whether all was taken. */
static bool machine_restore(struct machine *machine, const uint8_t *bytes, size_t size)
{
	struct state_refusal refusal = { .text = "" };
	struct state_reader reader;
	int r;

	if (state_reader_init(&reader, bytes, size) != 0)
		return false;
	r = vid_partition_restore(machine->partition, &reader, "partition", &refusal);
	require(r == 0 || refusal.text[0] != '\0');
	if (r == 0)
		r = vid_vp_restore(machine->vp, &reader, "vp-0", &refusal);
	require(r == 0 || refusal.text[0] != '\0');
	if (r == 0)
		(void)!vid_pit_restore(machine->partition, &reader, "partition/pit", &refusal);
	return r == 0;
}

static void machine_go_on(struct machine *machine)
{
	struct state_writer writer;

	state_writer_init(&writer);
	require(vid_partition_save(machine->partition, &writer, "partition") == 0);
	require(vid_vp_save(machine->vp, &writer, "vp-0") == 0);
	require(vid_partition_start(machine->partition) == 0);
	(void)!vid_vp_start(machine->vp);
	require(vid_vp_save(machine->vp, &writer, "vp-0 again") == 0);
	state_writer_deinit(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine machine;
	uint16_t answers;

	if (size < 1 + sizeof(answers))
		return 0;
	memcpy(&answers, data + size - sizeof(answers), sizeof(answers));
	size -= sizeof(answers);
	answers = (uint16_t)MIN((size_t)answers, size - 1);
	fake_kvm = (struct fake_kvm){ .input = data + size - answers,
				      .size = answers,
				      .restores = true };
	machine_make(&machine);
	fake_kvm.fails = data[0] & FAILS;
	if (machine_restore(&machine, data + 1, size - 1 - answers))
		machine_go_on(&machine);
	fake_kvm.fails = false;
	machine_free(&machine);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of the machine's parts, saved as records and restored: which RAM there is, partition,
 * Hyper-V personality; processors_state.c has the virtual processors.
 *
 * RAM's contents are no part of these records. They are in place before any part but the memory is
 * restored, for the processors' registers and the personality's pages refer to them; the memory may
 * be restored once more, which changes nothing.
 */
#include "vmwp/machine/machine_state.h"

#include "common/base/state.h"
#include "vid/state.h"
#include "vmwp/machine/machine_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#define STATE_VERSION 1

int machine_state_failure(int error, const struct state_refusal *refusal, struct failure *failure)
{
	if (error == -EINVAL && refusal->text[0] != '\0')
		return failure_set(failure, error, "The VM's state cannot be restored here: %s.",
				   refusal->text);
	return error;
}

/* ---- Memory ---- */

#define MEMORY_RECORD "memory"
#define REGIONS_MAX   128u

struct memory_state {
	uint32_t region_count, zero;
};
static_assert(sizeof(struct memory_state) == 8, "stored format");

struct memory_region_state {
	uint64_t gpa, size; /* bytes */
};
static_assert(sizeof(struct memory_region_state) == 16, "stored format");

int machine_memory_save(void *device, struct state_writer *writer)
{
	const struct machine *machine = device;
	struct memory_state state = {
		.region_count = (uint32_t)vid_memory_region_count(machine->memory),
	};

	state_begin(writer, MEMORY_RECORD, STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	for (size_t i = 0; i < state.region_count; i++) {
		struct vid_memory_region region = vid_memory_region(machine->memory, i);
		struct memory_region_state saved = { .gpa = region.gpa.value, .size = region.size };

		state_put(writer, &saved, sizeof(saved));
	}
	state_end(writer);
	return state_writer_error(writer);
}

static bool region_is(struct vid_memory_region region, const struct memory_region_state *saved)
{
	return region.gpa.value == saved->gpa && region.size == saved->size;
}

/* What a guest was given while it ran lies in the room for that. */
static int memory_add_region(struct machine *machine, const struct memory_region_state *saved,
			     struct state_refusal *refusal)
{
	const struct vid_memory_region *room = &machine->layout.room;
	const struct vid_memory_region region = { .gpa = GPA(saved->gpa), .size = saved->size };
	int r;

	if (saved->size == 0 || saved->size % HV_PAGE_SIZE != 0 || saved->gpa % HV_PAGE_SIZE != 0 ||
	    saved->gpa < room->gpa.value || saved->gpa - room->gpa.value > room->size ||
	    saved->size > room->size - (saved->gpa - room->gpa.value))
		return state_refuse(refusal,
				    "it has RAM at 0x%" PRIx64 ", where this VM has no room for it",
				    saved->gpa);
	r = vid_memory_add(machine->memory, region, machine->vmbus_host.backing,
			   machine->vmbus_host.shared);
	if (r == -EEXIST || r == -EINVAL)
		return state_refuse(refusal,
				    "its RAM at 0x%" PRIx64 " is none that this VM can have",
				    saved->gpa);
	return r;
}

static int memory_restore_region(struct machine *machine, size_t i,
				 const struct memory_region_state *saved,
				 struct state_refusal *refusal)
{
	if (i >= vid_memory_region_count(machine->memory))
		return memory_add_region(machine, saved, refusal);
	if (!region_is(vid_memory_region(machine->memory, i), saved))
		return state_refuse(refusal,
				    "it has %" PRIu64 " bytes of RAM at 0x%" PRIx64
				    ", which this VM has not",
				    saved->size, saved->gpa);
	return 0;
}

static int memory_restore(struct machine *machine, struct state_record *record,
			  struct state_refusal *refusal)
{
	struct memory_region_state region;
	struct memory_state state;
	int r = 0;

	if (state_get(record, &state, sizeof(state)) != 0 || state.zero != 0 ||
	    state.region_count > REGIONS_MAX || record->left != state.region_count * sizeof(region))
		return state_refuse(refusal, "'%s' %s", MEMORY_RECORD,
				    state_error_text(STATE_E_INVALID));
	if (state.region_count < vid_memory_region_count(machine->memory))
		return state_refuse(refusal, "it has less RAM than this VM");
	for (size_t i = 0; r == 0 && i < state.region_count; i++) {
		(void)!state_get(record, &region, sizeof(region));
		r = memory_restore_region(machine, i, &region, refusal);
	}
	return r;
}

int machine_memory_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	struct state_refusal refusal = { .text = "" };
	struct state_record record;
	int r = state_find(reader, MEMORY_RECORD, STATE_VERSION, &record);

	if (r != 0)
		r = state_refuse(&refusal, "'%s' %s", MEMORY_RECORD, state_error_text(r));
	else
		r = memory_restore(device, &record, &refusal);
	return machine_state_failure(r, &refusal, failure);
}

/* What a reset takes comes with it. */
static int memory_hand_over_files(const struct machine *machine, struct handover *handover)
{
	int r = handover_add(handover, "kernel", machine->kernel_fd);

	if (r == 0)
		r = handover_add(handover, "initrd", machine->initrd_fd);
	if (r == 0)
		r = handover_add(handover, "bios", machine->bios_fd);
	if (r == 0)
		r = handover_add(handover, "uefi", machine->uefi_fd);
	if (r == 0)
		r = handover_add(handover, "uefi-variables", machine->template_fd);
	return r < 0 ? r : handover_add(handover, "variables", machine->variables_fd);
}

int machine_memory_hand_over(void *device, struct handover *handover, struct failure *failure)
{
	const struct machine *machine = device;
	size_t count = vid_memory_region_count(machine->memory);
	char name[RESOURCES_NAME_MAX];
	uint64_t offset;
	int r = 0;

	if (!machine->vmbus_host.shared)
		return failure_set(failure, -ENOTSUP,
				   "The memory of the VM cannot be handed over: that takes "
				   "\"shared\" in the \"memory\" of its definition, from its next "
				   "start on.");
	if (count != machine->layout.ram_count)
		return failure_set(failure, -ENOTSUP,
				   "The VM was given memory while it ran, which cannot be handed "
				   "over.");
	for (size_t i = 0; r == 0 && i < count; i++) {
		resources_memory_name(i, name);
		r = handover_add(handover, name, vid_memory_share(machine->memory, i, &offset));
	}
	return r < 0 ? r : memory_hand_over_files(machine, handover);
}

/* ---- The partition ---- */

#define PARTITION_RECORD "partition"
#define PIT_RECORD       "partition/pit"
#define CRASH_RECORD     "partition.crash"

/* A crash that was reported, and not acted upon: its grace begins anew. */
struct crash_state {
	uint32_t crashed, zero;
};
static_assert(sizeof(struct crash_state) == 8, "stored format");

static void crash_save(const struct machine *machine, struct state_writer *writer)
{
	const struct crash_state state = { .crashed = machine->crashed };

	state_begin(writer, CRASH_RECORD, STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_end(writer);
}

static int crash_restore(struct machine *machine, const struct state_reader *reader,
			 struct state_refusal *refusal)
{
	struct crash_state state;
	struct state_record record;
	int r = state_open(reader, CRASH_RECORD, STATE_VERSION, &state, sizeof(state), &record);

	if (r == 0 && (record.left != 0 || state.crashed > 1 || state.zero != 0))
		r = STATE_E_INVALID;
	if (r != 0)
		return state_refuse(refusal, "'%s' %s", CRASH_RECORD, state_error_text(r));
	machine->crashed = state.crashed;
	return 0;
}

int machine_partition_save(void *device, struct state_writer *writer)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);
	int r;

	if (!power_cycle)
		return -ENODEV;
	r = vid_partition_save(power_cycle_partition(power_cycle), writer, PARTITION_RECORD);
	if (r < 0)
		return r;
	if (power_cycle_bios(power_cycle)) {
		r = vid_pit_save(power_cycle_partition(power_cycle), writer, PIT_RECORD);
		if (r < 0)
			return r;
	}
	crash_save(device, writer);
	return state_writer_error(writer);
}

int machine_partition_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);
	struct state_refusal refusal = { .text = "" };
	int r;

	if (!power_cycle)
		return -ENODEV;
	r = vid_partition_restore(power_cycle_partition(power_cycle), reader, PARTITION_RECORD,
				  &refusal);
	if (r == 0 && power_cycle_bios(power_cycle))
		r = vid_pit_restore(power_cycle_partition(power_cycle), reader, PIT_RECORD,
				    &refusal);
	if (r == 0)
		r = crash_restore(device, reader, &refusal);
	return machine_state_failure(r, &refusal, failure);
}

/* ---- The generation ID ---- */

/* The state may be of another VM, or have been gone on from before. */
int machine_generation_restored(void *device, struct failure *failure)
{
	struct machine *machine = device;
	int r = machine_set_generation(machine);

	if (r < 0)
		return failure_set(failure, r, "The VM's memory has no room for its tables.");
	if (r > 0)
		chipset_generation_changed(machine->chipset);
	return 0;
}

/* ---- The Hyper-V personality ---- */

void machine_hypervisor_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);

	if (power_cycle)
		hvshim_quiesce(power_cycle_hvshim(power_cycle));
	done(data);
}

int machine_hypervisor_save(void *device, struct state_writer *writer)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);

	return power_cycle ? hvshim_save(power_cycle_hvshim(power_cycle), writer) : -ENODEV;
}

int machine_hypervisor_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);
	struct state_refusal refusal = { .text = "" };
	int r;

	if (!power_cycle)
		return -ENODEV;
	r = hvshim_restore(power_cycle_hvshim(power_cycle), reader, &refusal);
	return machine_state_failure(r, &refusal, failure);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of the virtual processors: what each holds, and which features they have.
 *
 * CPUID leaves are made anew from the definition and the host. What the guest has seen in them it
 * has chosen its code by: features that it would not find again are a reason to refuse its state.
 */
#include "common/base/state.h"
#include "common/definition/definition.h"
#include "vid/state.h"
#include "vmwp/machine/machine_internal.h"
#include "vmwp/machine/machine_state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORD        "processors"
#define STATE_VERSION 1

/* Followed by the leaves of the first vp, but for Hyper-V's. */
struct processors_state {
	uint32_t vp_count, leaf_count;
};
static_assert(sizeof(struct processors_state) == 8, "stored format");

struct cpuid_leaf_state {
	uint32_t function, index, indexed, eax, ebx, ecx, edx, zero;
};
static_assert(sizeof(struct cpuid_leaf_state) == 32, "stored format");

struct vp_record {
	char name[STATE_NAME_MAX + 1];
};

static struct vp_record vp_record(uint32_t index)
{
	struct vp_record record;

	snprintf(record.name, sizeof(record.name), RECORD ".vp-%" PRIu32, index);
	return record;
}

/* ---- Features ---- */

static int first_vp_cpuid(const struct machine *machine, struct vid_cpuid *ret_cpuid)
{
	const struct definition_processors *processors = &machine->definition->processors;
	const struct topology topology = { processors->sockets, processors->cores,
					   processors->threads };

	*ret_cpuid = *machine->cpuid;
	return topology_apply(&topology, 0, ret_cpuid);
}

static void features_save(const struct vid_cpuid *cpuid, uint32_t vp_count,
			  struct state_writer *writer)
{
	const struct processors_state state = { .vp_count = vp_count,
						.leaf_count = (uint32_t)cpuid->count };

	state_begin(writer, RECORD, STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	for (size_t i = 0; i < cpuid->count; i++) {
		const struct vid_cpuid_leaf *leaf = &cpuid->leaves[i];
		const struct cpuid_leaf_state saved = {
			.function = leaf->function,
			.index = leaf->index,
			.indexed = leaf->indexed,
			.eax = leaf->eax,
			.ebx = leaf->ebx,
			.ecx = leaf->ecx,
			.edx = leaf->edx,
		};

		state_put(writer, &saved, sizeof(saved));
	}
	state_end(writer);
}

/* Return: 0; STATE_E_. */
static int features_read(const struct state_reader *reader, struct vid_cpuid *ret_cpuid,
			 uint32_t *ret_vp_count)
{
	struct cpuid_leaf_state leaf;
	struct processors_state state;
	struct state_record record;
	int r = state_open(reader, RECORD, STATE_VERSION, &state, sizeof(state), &record);

	if (r != 0)
		return r;
	if (state.leaf_count > VID_CPUID_MAX || record.left != state.leaf_count * sizeof(leaf))
		return STATE_E_INVALID;
	ret_cpuid->count = 0;
	while (state_get(&record, &leaf, sizeof(leaf)) == 0)
		ret_cpuid->leaves[ret_cpuid->count++] = (struct vid_cpuid_leaf){
			.function = leaf.function,
			.index = leaf.index,
			.indexed = leaf.indexed,
			.eax = leaf.eax,
			.ebx = leaf.ebx,
			.ecx = leaf.ecx,
			.edx = leaf.edx,
		};
	*ret_vp_count = state.vp_count;
	return 0;
}

static int features_check(const struct machine *machine, struct vid_cpuid *saved,
			  struct state_refusal *refusal)
{
	struct cpu_feature_set had, has;
	struct vid_cpuid cpuid;
	int r = first_vp_cpuid(machine, &cpuid);

	if (r < 0)
		return r;
	cpu_model_features(saved, &had);
	cpu_model_features(&cpuid, &has);
	for (size_t i = 0; i < cpu_feature_count; i++)
		if (cpu_feature_set_has(&had, i) && !cpu_feature_set_has(&has, i))
			return state_refuse(refusal,
					    "its guest knows the CPU feature '%s', which this VM's "
					    "processors do not have here",
					    cpu_features[i].name);
	return 0;
}

/* ---- The row ---- */

int machine_processors_save(void *device, struct state_writer *writer)
{
	const struct machine *machine = device;
	struct power_cycle *power_cycle = machine->power_cycle;
	struct vid_cpuid cpuid;
	int r;

	if (!power_cycle)
		return -ENODEV;
	r = first_vp_cpuid(machine, &cpuid);
	if (r < 0)
		return r;
	features_save(&cpuid, power_cycle_vp_count(power_cycle), writer);
	for (uint32_t i = 0; r == 0 && i < power_cycle_vp_count(power_cycle); i++)
		r = vid_vp_save(power_cycle_vp(power_cycle, i), writer, vp_record(i).name);
	return r < 0 ? r : state_writer_error(writer);
}

static int processors_restore(const struct machine *machine, const struct state_reader *reader,
			      struct state_refusal *refusal)
{
	struct power_cycle *power_cycle = machine->power_cycle;
	struct vid_cpuid saved;
	uint32_t vp_count;
	int r = features_read(reader, &saved, &vp_count);

	if (r != 0)
		return state_refuse(refusal, "'%s' %s", RECORD, state_error_text(r));
	if (vp_count != power_cycle_vp_count(power_cycle))
		return state_refuse(refusal, "it is of %u vps, and this machine has %u", vp_count,
				    power_cycle_vp_count(power_cycle));
	r = features_check(machine, &saved, refusal);
	for (uint32_t i = 0; r == 0 && i < vp_count; i++)
		r = vid_vp_restore(power_cycle_vp(power_cycle, i), reader, vp_record(i).name,
				   refusal);
	return r;
}

int machine_processors_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const struct machine *machine = device;
	struct state_refusal refusal = { .text = "" };
	int r;

	if (!machine->power_cycle)
		return -ENODEV;
	r = processors_restore(machine, reader, &refusal);
	return machine_state_failure(r, &refusal, failure);
}

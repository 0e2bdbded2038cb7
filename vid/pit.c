/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 8254 timer of a PC, with port 0x61, which KVM emulates; its first counter drives pin 0.
 *
 * A counter that was restored begins anew: how far it had come is not kept.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <string.h>

#define COUNT_MAX  0x10000u /* what a guest means by 0 */
#define MODE_UNSET 0xffu    /* as KVM has it until a guest sets one */

int vid_pit_new(struct vid_partition *partition)
{
	/* Without it port 0x61 would be ours, and the third counter's output unknown there. */
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (!partition->vid->capabilities.pit2 || !partition->vid->capabilities.pit_state2)
		return -ENOTSUP;
	return ioctl(partition->fd, KVM_CREATE_PIT2, &config) < 0 ? error_origin(-errno) : 0;
}

static struct vid_pit_counter counter_from_kvm(const struct kvm_pit_channel_state *channel)
{
	return (struct vid_pit_counter){
		.count = channel->count,
		.latched_count = channel->latched_count,
		.count_latched = channel->count_latched,
		.status_latched = channel->status_latched,
		.status = channel->status,
		.read_state = channel->read_state,
		.write_state = channel->write_state,
		.write_latch = channel->write_latch,
		.access = channel->rw_mode,
		.mode = channel->mode,
		.bcd = channel->bcd,
		.gate = channel->gate,
	};
}

static struct kvm_pit_channel_state counter_to_kvm(const struct vid_pit_counter *counter)
{
	return (struct kvm_pit_channel_state){
		.count = counter->count,
		.latched_count = counter->latched_count,
		.count_latched = counter->count_latched,
		.status_latched = counter->status_latched,
		.status = counter->status,
		.read_state = counter->read_state,
		.write_state = counter->write_state,
		.write_latch = counter->write_latch,
		.rw_mode = counter->access,
		.mode = counter->mode,
		.bcd = counter->bcd,
		.gate = counter->gate,
	};
}

int vid_pit_save(struct vid_partition *partition, struct state_writer *writer, const char *record)
{
	struct vid_pit_state state = { .zero = { 0 } };
	struct kvm_pit_state2 pit;

	if (ioctl(partition->fd, KVM_GET_PIT2, &pit) < 0)
		return error_origin(-errno);
	for (size_t i = 0; i < VID_PIT_COUNTERS; i++)
		state.counters[i] = counter_from_kvm(&pit.channels[i]);
	state_begin(writer, record, VID_PIT_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_end(writer);
	return state_writer_error(writer);
}

/* KVM divides by the count, and goes by the rest without looking. */
static bool counter_is_valid(const struct vid_pit_counter *counter)
{
	return counter->count <= COUNT_MAX && counter->count_latched <= 3 &&
	       counter->status_latched <= 1 && counter->read_state <= 4 &&
	       counter->write_state <= 4 && counter->access <= 3 &&
	       (counter->mode <= 7 || counter->mode == MODE_UNSET) && counter->bcd <= 1 &&
	       counter->gate <= 1 && counter->zero == 0;
}

static bool pit_is_valid(const struct vid_pit_state *state)
{
	static const uint8_t zero[sizeof(state->zero)];

	for (size_t i = 0; i < VID_PIT_COUNTERS; i++)
		if (!counter_is_valid(&state->counters[i]))
			return false;
	return memcmp(state->zero, zero, sizeof(zero)) == 0;
}

int vid_pit_restore(struct vid_partition *partition, const struct state_reader *reader,
		    const char *name, struct state_refusal *refusal)
{
	struct kvm_pit_state2 pit = { .flags = 0 };
	struct vid_pit_state state;
	struct state_record record;
	int r = state_find(reader, name, VID_PIT_STATE_VERSION, &record);

	if (r == 0)
		r = state_get(&record, &state, sizeof(state));
	if (r == 0 && (record.left != 0 || !pit_is_valid(&state)))
		r = STATE_E_INVALID;
	if (r != 0)
		return state_refuse(refusal, "'%s' %s", name, state_error_text(r));
	for (size_t i = 0; i < VID_PIT_COUNTERS; i++)
		pit.channels[i] = counter_to_kvm(&state.counters[i]);
	return ioctl(partition->fd, KVM_SET_PIT2, &pit) < 0 ? error_origin(-errno) : 0;
}

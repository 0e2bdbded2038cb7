/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The units of a target, as a part of its controller's record. */
#include "common/base/state.h"

#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define UNIT_STATE_SEEN              0x01u
#define UNIT_STATE_WRITE_CACHE       0x02u
#define UNIT_STATE_STOPPED           0x04u
#define UNIT_STATE_REMOVAL_PREVENTED 0x08u
#define UNIT_STATE_MEDIUM            0x10u
#define UNIT_STATE_GHOST             0x20u /* the guest believes in the unit before */
#define UNIT_STATE_ABSENT            0x40u /* there is a ghost, and no unit */
#define UNIT_STATE_LOST              0x80u /* writes that the medium had acknowledged */
#define UNIT_STATE_FLAGS             0xffu

struct unit_state {
	uint32_t lun;
	uint32_t flags; /* UNIT_STATE_ */
	uint8_t device_type, attentions, media_event, reserved;
	uint32_t kept_sense;
	uint64_t blocks; /* of the medium; 0: none */
	uint32_t sector_size;
	uint32_t reserved_2;
};
_Static_assert(sizeof(struct unit_state) == 32, "stored format");

bool scsi_command_is_repeatable(const struct scsi_command *command)
{
	return !command->handler || !(command->handler->flags & SCSI_EXCLUSIVE);
}

uint32_t scsi_target_unit_count(const struct scsi_target *target)
{
	uint32_t count = 0;

	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++) {
		const struct scsi_slot *slot = scsi_target_slot((struct scsi_target *)target, lun);

		count += slot->unit || slot->ghost;
	}
	return count;
}

static void scsi_slot_save(const struct scsi_slot *slot, unsigned lun, struct state_writer *writer)
{
	const struct scsi_unit *unit = slot->unit;
	struct unit_state state = {
		.lun = lun,
		.flags = state_flag(slot->ghost, UNIT_STATE_GHOST) |
			 state_flag(!unit, UNIT_STATE_ABSENT),
	};

	if (unit) {
		state.flags |= state_flag(unit->seen, UNIT_STATE_SEEN) |
			       state_flag(unit->write_cache, UNIT_STATE_WRITE_CACHE) |
			       state_flag(unit->stopped, UNIT_STATE_STOPPED) |
			       state_flag(unit->removal_prevented, UNIT_STATE_REMOVAL_PREVENTED) |
			       state_flag(unit->disk, UNIT_STATE_MEDIUM) |
			       state_flag(unit->disk && unit->disk->lost, UNIT_STATE_LOST);
		state.device_type = unit->device_type;
		state.attentions = unit->attentions;
		state.media_event = unit->media_event;
		state.kept_sense = unit->kept_sense;
		state.blocks = scsi_unit_blocks(unit);
		state.sector_size = unit->disk ? unit->disk->sector_size : 0;
	}
	state_put(writer, &state, sizeof(state));
}

void scsi_target_save(const struct scsi_target *target, struct state_writer *writer)
{
	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++) {
		const struct scsi_slot *slot = scsi_target_slot((struct scsi_target *)target, lun);

		if (slot->unit || slot->ghost)
			scsi_slot_save(slot, lun, writer);
	}
}

/* Whether the unit that is here is the one that the guest knows. */
static bool unit_state_fits(const struct unit_state *state, const struct scsi_unit *unit)
{
	bool medium = state->flags & UNIT_STATE_MEDIUM;

	if (!unit || state->flags & UNIT_STATE_ABSENT)
		return !unit && state->flags & UNIT_STATE_ABSENT;
	if (state->device_type != unit->device_type ||
	    state->attentions >= 1u << SCSI_ATTENTION_COUNT ||
	    state->media_event > SCSI_MEDIA_REMOVAL)
		return false;
	if (medium != (unit->disk != NULL))
		return false;
	return !medium || (state->blocks == scsi_unit_blocks(unit) &&
			   state->sector_size == unit->disk->sector_size);
}

static void scsi_slot_restore(struct scsi_slot *slot, const struct unit_state *state)
{
	struct scsi_unit *unit = slot->unit;

	slot->ghost = state->flags & UNIT_STATE_GHOST;
	if (!unit)
		return;
	unit->seen = state->flags & UNIT_STATE_SEEN;
	unit->write_cache = state->flags & UNIT_STATE_WRITE_CACHE;
	unit->stopped = state->flags & UNIT_STATE_STOPPED;
	unit->removal_prevented = state->flags & UNIT_STATE_REMOVAL_PREVENTED;
	unit->attentions = state->attentions;
	unit->media_event = state->media_event;
	unit->kept_sense = state->kept_sense;
	if (unit->disk)
		unit->disk->lost = state->flags & UNIT_STATE_LOST;
}

int scsi_target_restore(struct scsi_target *target, struct state_record *record, uint32_t count)
{
	uint64_t known = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct unit_state state;
		struct scsi_slot *slot;

		if (state_get(record, &state, sizeof(state)) || state.lun >= SCSI_UNIT_MAX ||
		    state.flags & ~UNIT_STATE_FLAGS || known & UINT64_C(1) << state.lun)
			return STATE_E_INVALID;
		known |= UINT64_C(1) << state.lun;
		slot = scsi_target_slot(target, state.lun);
		if (!unit_state_fits(&state, slot->unit))
			return STATE_E_INVALID;
		scsi_slot_restore(slot, &state);
	}
	return 0;
}

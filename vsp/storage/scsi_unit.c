/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a logical unit.
 *
 * Commands under way keep their unit alive. A medium that is changed meanwhile is retired, and a
 * command of several steps notices by the generation that it has lost its medium.
 */
#include "vsp/storage/scsi_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t scsi_hash(uint64_t hash, const void *data, size_t size)
{
	/* FNV-1a: names are to differ, not to resist anybody. */
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void scsi_identity_derive(struct scsi_identity *identity, const struct guid *controller,
			  unsigned lun)
{
	uint64_t hash = scsi_hash(HASH_START, &identity->machine, sizeof(identity->machine));

	hash = scsi_hash(hash, controller, sizeof(*controller));
	snprintf(identity->serial, sizeof(identity->serial), "%016llX%02X",
		 (unsigned long long)hash, lun);
}

int scsi_unit_new(unsigned lun, uint8_t device_type, const struct scsi_identity *identity,
		  struct disk *disk, struct scsi_unit **ret_unit)
{
	struct scsi_unit *unit;

	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	unit->lun = lun;
	unit->device_type = device_type;
	unit->identity = *identity;
	unit->identity.serial[SCSI_SERIAL_SIZE - 1] = '\0';
	unit->disk = disk;
	list_init(&unit->held);
	scsi_unit_power_on(unit);
	*ret_unit = unit;
	return 0;
}

static void scsi_unit_end(struct scsi_unit *unit)
{
	if (unit->disk)
		disk_retire(unit->disk, unit->retired, unit->retired_data);
	else if (unit->retired)
		unit->retired(unit->retired_data);
	free(unit);
}

void scsi_unit_retire(struct scsi_unit *unit, void (*retired)(void *data), void *data)
{
	unit->retiring = true;
	unit->retired = retired;
	unit->retired_data = data;
	if (unit->in_flight == 0)
		scsi_unit_end(unit);
}

void scsi_unit_release(struct scsi_unit *unit)
{
	if (--unit->in_flight == 0 && unit->retiring)
		scsi_unit_end(unit);
}

void scsi_unit_power_on(struct scsi_unit *unit)
{
	unit->seen = false;
	unit->write_cache = unit->device_type == SCSI_DEVICE_DISK;
	unit->stopped = false;
	unit->removal_prevented = false;
	unit->attentions = 0;
	unit->media_event = SCSI_MEDIA_NONE;
	unit->kept_sense = SCSI_SENSE_NONE;
}

static void scsi_unit_attend(struct scsi_unit *unit, enum scsi_attention attention)
{
	unit->attentions |= (uint8_t)(1u << attention);
}

void scsi_unit_reset(struct scsi_unit *unit)
{
	bool seen = unit->seen;
	uint8_t attentions = unit->attentions;

	scsi_unit_power_on(unit);
	unit->seen = seen;
	unit->attentions = attentions;
	scsi_unit_attend(unit, SCSI_ATTENTION_RESET);
}

uint32_t scsi_unit_take_attention(struct scsi_unit *unit)
{
	static const uint32_t senses[SCSI_ATTENTION_COUNT] = {
		[SCSI_ATTENTION_RESET] = SCSI_SENSE_RESET,
		[SCSI_ATTENTION_MEDIUM] = SCSI_SENSE_MEDIUM_CHANGED,
		[SCSI_ATTENTION_MODE] = SCSI_SENSE_MODE_CHANGED,
		[SCSI_ATTENTION_CAPACITY] = SCSI_SENSE_CAPACITY_CHANGED,
	};

	for (unsigned i = 0; i < SCSI_ATTENTION_COUNT; i++) {
		if (unit->attentions & 1u << i) {
			unit->attentions &= (uint8_t) ~(1u << i);
			return senses[i];
		}
	}
	return SCSI_SENSE_NONE;
}

void scsi_unit_set_medium(struct scsi_unit *unit, struct disk *disk, void (*retired)(void *data),
			  void *data)
{
	struct disk *old = unit->disk;

	if (old)
		disk_counters_add(&unit->past, &old->counters);
	unit->disk = disk;
	unit->medium_generation++;
	unit->stopped = false;
	if (disk)
		scsi_unit_attend(unit, SCSI_ATTENTION_MEDIUM);
	unit->media_event = disk ? SCSI_MEDIA_NEW : SCSI_MEDIA_REMOVAL;
	if (old)
		disk_retire(old, retired, data);
	else if (retired)
		retired(data);
}

/* Who never asked for its size has nothing to hear. */
void scsi_unit_set_larger(struct scsi_unit *unit)
{
	if (unit->seen)
		scsi_unit_attend(unit, SCSI_ATTENTION_CAPACITY);
}

void scsi_unit_name(const struct scsi_unit *unit, uint8_t name[16])
{
	static const uint8_t prefix[4] = { 0x60, 0x02, 0x24, 0x80 };
	const struct scsi_identity *identity = &unit->identity;
	uint64_t high, low;

	high = scsi_hash(HASH_START, &identity->machine, sizeof(identity->machine));
	high = scsi_hash(high, identity->serial, strlen(identity->serial));
	low = scsi_hash(high, prefix, sizeof(prefix));
	memcpy(name, prefix, sizeof(prefix));
	scsi_put_64(name + 4, high);
	scsi_put_32(name + 12, (uint32_t)(low ^ low >> 32));
}

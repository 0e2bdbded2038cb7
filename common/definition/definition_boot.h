/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What firmware tries first, in a VM's definition: "boot_order". No header of its own: common/definition/definition.h
 * includes it.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

enum definition_drive { DEFINITION_DRIVE_DISK, DEFINITION_DRIVE_DVD };

#define DEFINITION_DRIVES 2

/* Each kind once at most. Kinds that it leaves out come last. */
struct definition_boot_order {
	unsigned count; /* 0: as the firmware has it */
	enum definition_drive drives[DEFINITION_DRIVES];
};

/* json_read_fn; the target is a struct definition_boot_order. */
int definition_boot_order_read(struct json_reader *reader, const struct json_key *key,
			       struct json_object *value, void *target) MUST_CHECK;
struct json_object *definition_boot_order_to_json(const struct definition_boot_order *order);

/* The kind that comes `rank`th, of DEFINITION_DRIVES. */
enum definition_drive definition_boot_order_drive(const struct definition_boot_order *order,
						  unsigned rank);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The controllers that disks and DVD drives of a machine are at: up to four SCSI controllers on VMBus;
 * and in generation 1 each device of the two IDE channels by itself, which the definition has as LUNs
 * 0 to 3 of controller 0.
 *
 * An IDE disk is offered on VMBus beside its channel, whose registers guests that have drivers for
 * VMBus leave alone. A DVD drive is at the channel alone, as on Hyper-V: such guests read it there.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/state.h"
#include "common/definition/definition.h"
#include "vmwp/base/device.h"

#include <stdbool.h>

struct storage_controller;

#define DISK_CONTROLLERS_MAX (DEFINITION_CONTROLLERS_MAX + DEFINITION_IDE_DISKS)

struct disk_controllers {
	const struct device_config *config; /* borrowed */
	struct disk_controller {
		struct disk_controllers *owner;
		unsigned number, lun;               /* of its first unit */
		struct storage_controller *storage; /* NULL: there is none */
	} all[DISK_CONTROLLERS_MAX];
};

/* Whether that place is one of an IDE channel. */
bool disk_controllers_is_ide(const struct disk_controllers *controllers, unsigned controller,
			     unsigned lun);

/* NULL: there is none; else the unit that the place is there. */
struct storage_controller *disk_controllers_find(struct disk_controllers *controllers,
						 unsigned controller, unsigned lun,
						 unsigned *ret_unit);

/* Makes the controller for a disk or a drive, unless it is there. Return: 0; -errno. */
int disk_controllers_need(struct disk_controllers *controllers,
			  const struct definition_disk *disk) MUST_CHECK;

/* The machine was reset: nobody opens what is not offered. */
void disk_controllers_power_on(struct disk_controllers *controllers);

/* Of the state of all[index]. */
void disk_controllers_record_name(unsigned index, char name[static STATE_NAME_MAX + 1]);

/* New reference; NULL without memory. */
struct json_object *disk_controllers_inspect(const struct disk_controllers *controllers);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices of a table of rows (vmwp/chipset/chipset_device.h): who answers at which address, and
 * what is asked of all.
 *
 * No locks: the caller serialises the calls.
 */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/state.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset_device.h"

enum chipset_space { CHIPSET_PORTS, CHIPSET_MMIO, _CHIPSET_SPACES };

struct chipset_devices;

/*
 * Whether the rows go together: no address and no pin is two rows', or one's twice, names differ,
 * and what has an object has a state.
 */
bool chipset_table_is_valid(const struct chipset_device_ops *const *table, size_t count);

/*
 * As after power-on. table: `count` rows, which are valid; it is borrowed, and so is what config
 * points to. Return: 0, -ENOMEM.
 */
int chipset_devices_new(const struct chipset_device_ops *const *table, size_t count,
			const struct chipset_config *config,
			struct chipset_devices **ret_devices) MUST_CHECK;
void chipset_devices_free(struct chipset_devices *devices);
DEFINE_CLEANUP(struct chipset_devices *, chipset_devices_free)

/* The object of a row that is in the table. */
void *chipset_devices_get(const struct chipset_devices *devices,
			  const struct chipset_device_ops *ops);

/*
 * One access of any size. Where nobody answers, reads are ones, and writes swallowed.
 * Return: what the guest asked for by it.
 */
enum power_request chipset_devices_access(struct chipset_devices *devices, enum chipset_space space,
					  uint64_t address, unsigned size, bool write,
					  uint8_t *bytes);

/* Resets all. No line is asserted any more, which nobody is told: there is a new partition. */
void chipset_devices_reset(struct chipset_devices *devices);

/*
 * The state of all, a record of each that has any; and the devices become as those were, or, if
 * this fails, stay as they are. Lines are set by what the devices say then.
 * Return: 0; -EINVAL with the name of the record that is wrong in *failure; -ENOMEM.
 */
void chipset_devices_save(const struct chipset_devices *devices, struct state_writer *writer);
int chipset_devices_restore(struct chipset_devices *devices, const struct state_reader *reader,
			    struct failure *failure) MUST_CHECK;

/*
 * An object with one of each that can be inspected, by its name: what it tells, and the pins that it
 * asserts. NULL: no memory.
 */
struct json_object *chipset_devices_inspect(const struct chipset_devices *devices) MUST_CHECK;

/* The host has done something to this one. */
void chipset_devices_settle(struct chipset_devices *devices, const struct chipset_device_ops *ops);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The variables in the flash of a UEFI, as edk2 lays them out: a header of the volume, one of the store, and
 * one variable after the other, of which those that are not deleted count.
 *
 * A guest writes the flash: nothing of it is believed. Sources: edk2
 * MdeModulePkg/Include/Guid/VariableFormat.h, MdePkg/Include/Pi/PiFirmwareVolume.h.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/firmware/variables_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARIABLE_NAME_MAX 63 /* characters; longer ones are cut off */

/* Of those that edk2 and UEFI define. */
#define VARIABLE_NON_VOLATILE 0x01u
#define VARIABLE_BOOT         0x02u
#define VARIABLE_RUNTIME      0x04u
#define VARIABLE_BY_TIME      0x20u /* authenticated */

#define VARIABLE_GLOBAL_GUID \
	GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c)

struct variable {
	struct guid vendor;
	uint32_t attributes;
	char name[VARIABLE_NAME_MAX + 1]; /* printable ASCII; other characters are '?' */
	const uint8_t *data;              /* in the flash */
	uint32_t size;                    /* of it, bytes */
	size_t offset;                    /* of the variable's header in the flash */
};

/* From which variable_store_next() goes on. */
struct variable_store {
	const uint8_t *bytes; /* VARIABLES_SIZE of them, borrowed */
	size_t next, end;     /* offsets */
};

/* Return: whether there is a store. */
bool variable_store_open(const uint8_t bytes[static VARIABLES_SIZE],
			 struct variable_store *ret_store) MUST_CHECK;

/* The next that is not deleted. Return: whether there is one. */
bool variable_store_next(struct variable_store *store, struct variable *ret_variable) MUST_CHECK;

/* Return: whether there is one of that name. */
bool variable_store_find(const uint8_t bytes[static VARIABLES_SIZE], const struct guid *vendor,
			 const char *name, struct variable *ret_variable) MUST_CHECK;

/*
 * Gives the variable that value, in a flash that no guest uses meanwhile. name: ASCII. The time by
 * which a variable may be authenticated is zero. Return: false: there is no store, or no room in it,
 * and nothing is changed.
 */
bool variable_store_set(uint8_t bytes[static VARIABLES_SIZE], const struct guid *vendor,
			const char *name, uint32_t attributes, const void *data,
			uint32_t size) MUST_CHECK;

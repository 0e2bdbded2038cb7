/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a device of the chipset is to it: a row of operations.
 *
 * vmwp/chipset/chipset.c has the table of all rows; it is walked for whatever concerns all of them
 * (vmwp/chipset/chipset_devices.h), so that a device is added in one place. A row's object is a
 * plain struct, which owns nothing but its own bytes: those may be copied.
 *
 * Thread: any, with the chipset's lock held.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "vmwp/chipset/firmware_words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chipset_devices;
struct state_record;
struct state_writer;

/* What the guest asked the machine to do. */
enum power_request {
	POWER_NOTHING,
	POWER_OFF,
	POWER_HIBERNATED, /* off, with what the guest had in memory on a disk of its */
	POWER_RESET,
};

/* What the chipset tells. The chipset's lock is held: none of them may call back. */
struct chipset_callbacks {
	void (*set_interrupt)(void *data, unsigned pin, bool level);
	void (*console_output)(void *data); /* there is output again, after there was none */
	void (*console_room)(void *data);   /* there is room for input again, after it was short */
	void (*alarm)(void *data);          /* the clock has one: chipset_tick() is to be called */
	void (*disk_request)(void *data);   /* chipset_ide_take() has one, of some channel */
	/* Whether a guest reads the flash as memory; by an access, a reset or a state. */
	void (*flash_is_memory)(void *data, bool is_memory);
	void (*handed_over)(void *data);   /* the firmware has left the machine to a system */
	void (*flash_changed)(void *data); /* what it holds is to be kept */
	void (*firmware_said)(void *data, enum firmware_word word);
};

/* Which devices there are. */
enum chipset_board {
	CHIPSET_SYNTHETIC,    /* those that a kernel needs which is loaded by us */
	CHIPSET_GENERATION_1, /* and those that a BIOS looks for */
	CHIPSET_GENERATION_2, /* and those that UEFI looks for */
};

/* What devices are made from, and find as long as they are. All pointers are borrowed. */
struct chipset_config {
	enum chipset_board board;
	const struct chipset_callbacks *callbacks;
	void *data;                      /* for the callbacks */
	struct chipset_devices *devices; /* those of the rows before: chipset_devices_get() */
};

/*
 * A run of ports, or of guest-physical addresses, that the device answers.
 *
 * An access comes in pieces of 1, 2, 4 or 8 bytes, none wider than `width`, each at an offset that
 * is a multiple of its size, and inside of the range; an access by a string instruction one element
 * after the other. What `write` asks for is done at once, and what is left of the access is not.
 */
struct chipset_range {
	uint64_t first;
	uint64_t size;  /* bytes; 0: this is none */
	unsigned width; /* the widest piece, bytes: 1, 2, 4 or 8 */

	/* value: as many of its low bytes as there are in the piece. NULL: ones; it is ignored. */
	uint64_t (*read)(void *device, uint64_t offset, unsigned size);
	enum power_request (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

/* An interrupt line. The chipset looks at its level after each access, and sets the pin by it. */
struct chipset_line {
	unsigned pin;
	bool (*level)(const void *device); /* NULL: this is none */
};

#define CHIPSET_PORTS_MAX 8
#define CHIPSET_MMIO_MAX  4
#define CHIPSET_LINES_MAX 4

struct chipset_device_ops {
	const char *name; /* no other row's; required */
	size_t size;      /* of its object; 0: it has none, and `device` is NULL */

	/* No address and no pin is two rows'. What there is comes first. */
	struct chipset_range ports[CHIPSET_PORTS_MAX];
	struct chipset_range mmio[CHIPSET_MMIO_MAX];
	struct chipset_line lines[CHIPSET_LINES_MAX];

	/* Fills the object, which is zero, before `reset`. Optional. */
	void (*init)(void *device, const struct chipset_config *config);

	/* As after power-on. Optional. */
	void (*reset)(void *device);

	/*
	 * Something may have changed: an access, a reset, a state, the host. The device tells
	 * the host, or another device, what they have to know. The lines are set after it. Optional.
	 */
	void (*settle)(void *device);

	/*
	 * Its state: the payload of a record called "chipset/NAME", which state_put() adds to. What
	 * is the host's is not part of it. Required of a row that has an object.
	 *
	 * restore: takes all of the record, of a version from 1 to state_version, and believes
	 * nothing of it; it changes no more than its object, which is a copy until the records of
	 * all devices are found right. Return: 0; STATE_E_INVALID.
	 */
	uint16_t state_version;
	void (*save)(const void *device, struct state_writer *writer);
	int (*restore)(void *device, struct state_record *record);

	/* Adds what whoever looks for a fault wants to see to an object of its own. Optional. */
	void (*inspect)(const void *device, struct json_object **tree);
};

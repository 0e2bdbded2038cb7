/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chipset: what answers at I/O ports and at guest-physical addresses where no memory is, behind
 * one lock.
 *
 * A serial port, a CMOS clock, ACPI power management and the reset ports, and what generation 1 has
 * besides, as rows of a table (vmwp/chipset/chipset_device.h). Where nothing is, reads are ones,
 * and writes swallowed.
 *
 * Threads: chipset_access() is called by vps; the console functions by whoever moves the bytes, in
 * practice the loop. Callbacks run with the chipset's lock held, on the thread of the caller, and
 * must not call back.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/state.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset_device.h"
#include "vmwp/chipset/console.h"
#include "vmwp/chipset/flash.h"
#include "vmwp/chipset/fw_cfg.h"
#include "vmwp/chipset/ide.h"
#include "vmwp/chipset/terminal.h"

#include <stdbool.h>
#include <stddef.h>

struct chipset;

/* callbacks is borrowed. Return: 0, -ENOMEM. */
int chipset_new(enum chipset_board board, const struct chipset_callbacks *callbacks, void *data,
		struct chipset **ret_chipset) MUST_CHECK;
void chipset_free(struct chipset *chipset);
DEFINE_CLEANUP(struct chipset *, chipset_free)

/* As after power-on; no interrupt is asserted. No vp may be running. */
void chipset_reset(struct chipset *chipset);

/*
 * The state of all devices, as records called "chipset/…"; and the devices become as those were, or,
 * if that fails, stay as they are. The host's side is not part of it: the console keeps what it has,
 * and whether it is stalled. No vp may be running; the power cycle that gets the interrupts that are
 * asserted must be there.
 *
 * While it lies there, the ACPI timer stands still. The real-time clock goes on: what is kept is how
 * far it is from the host's wall clock, so that it shows the right time after it, and an alarm that
 * would have gone off meanwhile does so at once.
 *
 * Return: 0; -EINVAL: a record is wrong, which *failure names; -errno.
 */
int chipset_save(struct chipset *chipset, struct state_writer *writer) MUST_CHECK;
int chipset_restore(struct chipset *chipset, const struct state_reader *reader,
		    struct failure *failure) MUST_CHECK;

/* The devices as they are. NULL: no memory. Any thread. */
struct json_object *chipset_inspect(struct chipset *chipset) MUST_CHECK;

/* Answers a VID_EXIT_IO_PORT or VID_EXIT_MMIO. Return: what the guest asked for by it. */
enum power_request chipset_access(struct chipset *chipset, const struct vid_exit *exit);

/*
 * Time has passed. Return: after how many nanoseconds this is to be called again; 0: not, until the
 * clock has an alarm again.
 */
uint64_t chipset_tick(struct chipset *chipset);

/* The VM's generation ID is another one: the guest is told. Any thread. */
void chipset_generation_changed(struct chipset *chipset);

/*
 * What the firmware of a CHIPSET_GENERATION_1 is told: borrowed, also over resets; NULL: nothing
 * any more.
 */
void chipset_set_firmware(struct chipset *chipset, const struct fw_cfg_items *items);

/*
 * The content of the flash of a CHIPSET_GENERATION_2: FLASH_SIZE bytes, borrowed, also over resets;
 * and as it is.
 */
void chipset_set_flash(struct chipset *chipset, uint8_t *bytes);
void chipset_copy_flash(struct chipset *chipset, uint8_t ret_bytes[static FLASH_SIZE]);

/*
 * The disks of a CHIPSET_GENERATION_1, at IDE channels 0 and 1, devices 0 and 1 of each. set_disk:
 * copied; while no guest runs.
 *
 * take: the channel's next request, which the host then carries out, and whose data it has in
 * `data`, IDE_BUFFER_SECTORS sectors, if it writes without DMA. complete: `data` are those of a
 * read without DMA; a request that a reset has ended is completed in vain. give_back: it was not
 * carried out, and is to be taken once more. Return: whether there is one.
 */
void chipset_ide_set_disk(struct chipset *chipset, unsigned channel, unsigned device,
			  const struct ide_disk *disk);
bool chipset_ide_take(struct chipset *chipset, unsigned channel, struct ide_request *ret_request,
		      void *data);
bool chipset_ide_is_current(struct chipset *chipset, unsigned channel, uint32_t serial);
void chipset_ide_complete(struct chipset *chipset, unsigned channel, uint32_t serial, bool failed,
			  const void *data);
void chipset_ide_complete_packet(struct chipset *chipset, unsigned channel, uint32_t serial,
				 const struct ide_outcome *outcome, const void *data);
void chipset_ide_give_back(struct chipset *chipset, unsigned channel, uint32_t serial);

/* The console's end of the serial port. Return: bytes taken. */
size_t chipset_console_take(struct chipset *chipset, void *buffer, size_t size);
size_t chipset_console_put(struct chipset *chipset, const void *data, size_t size);

/* Whether output that nobody takes is forgotten, or holds the guest back. */
void chipset_console_set_stalled(struct chipset *chipset, bool stalled);

/* Bytes the guest has written there, over all resets, modulo 2^32. */
uint32_t chipset_console_written(struct chipset *chipset);

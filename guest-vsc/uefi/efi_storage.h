/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disks of the VM as its firmware has them: VMBus and all SCSI controllers on it.
 *
 * Everything is polled. What is found when it is opened is what there is until it is closed.
 */
#pragma once

#include "common/base/cc.h"
#include "guest-vsc/storvsc_client.h"

#include <stdbool.h>
#include <stdint.h>

#define EFI_STORAGE_LUN_LAST 63

/* A disk, and the next one: in ascending order. */
struct efi_storage_place {
	unsigned controller, lun;
};

/*
 * Connects, and looks for disks. Return: false if there is no hypervisor or no VMBus, or it does not
 * answer; nothing is left open then.
 */
bool efi_storage_open(void) MUST_CHECK;

/*
 * Closes all, and leaves VMBus and hypervisor as they were before, for the next one. Allocates and
 * frees nothing of the firmware's: it is no more asked.
 */
void efi_storage_close(void);

/* Frees what opening has allocated. */
void efi_storage_free(void);

/* VMBus, for other devices, as long as storage is open. */
struct vmbus_client *efi_storage_bus(void);

/* Whether there is one; and the first one behind another, or at all if place is NULL. */
bool efi_storage_has(const struct efi_storage_place *place);
bool efi_storage_next(const struct efi_storage_place *place, struct efi_storage_place *ret_next);

/*
 * Executes a request, whose LUN it sets. place: of one that there is. Return: a STORVSC_CLIENT_E_
 * code.
 */
int efi_storage_execute(const struct efi_storage_place *place,
			struct storvsc_request *request) MUST_CHECK;

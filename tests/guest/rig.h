/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every test guest begins with: a machine with hypercalls, SynIC and reference time enabled,
 * a VMBus connection, the first storage controller, and the disk on its LUN 0.
 *
 * Each step is a line of the report when it fails, and not otherwise. Return: false if it failed.
 */
#pragma once

#include "common/base/cc.h"
#include "guest-vsc/disk_client.h"
#include "guest-vsc/storvsc_client.h"
#include "guest-vsc/vmbus_client.h"

#include <stdbool.h>
#include <stdint.h>

#define RIG_RING_PAGES 64 /* as Linux has them: 128 KiB each way */

struct rig {
	struct vmbus_client bus;
	struct storvsc_client storage;
	struct disk_client disk;
};

extern struct rig rig;

/* Page-aligned rings: of the n-th channel. */
struct client_channel_memory rig_ring(unsigned n);

bool rig_enable(void) MUST_CHECK;

/* Contacts the host with versions up to `newest`, and gets the offers. */
bool rig_connect(uint32_t newest) MUST_CHECK;

/* Opens the controller, with protocol versions up to `newest`, and its disk. */
bool rig_open(uint16_t newest) MUST_CHECK;

/* All three, with the newest versions. */
bool rig_start(void) MUST_CHECK;

/* Leaves the host without closing anything, as a guest does that goes down. */
bool rig_unload(void) MUST_CHECK;

/* The offer of the storage controller; NULL: there is none. */
const struct vmbus_message_offer_channel *rig_storage_offer(void);

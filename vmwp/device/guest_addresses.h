/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of the guest's network adapters has which addresses, as its key-value pair service tells.
 *
 * What addresses the guest has in all it tells whenever it is asked about itself (vsp/ic/ic_kvp.h).
 * Which adapter has them takes a request for each, for which Linux' daemon runs programs: it is
 * asked when those of the guest have changed, or the network of an adapter.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmwp/base/device.h"
#include "vmwp/device/adapters.h"
#include "vsp/ic/ic.h"

struct guest_addresses;

extern const struct device_ops guest_addresses_ops;

struct guest_addresses_config {
	struct adapters *adapters; /* borrowed */
	struct ic_kvp *kvp;        /* borrowed */

	/* addresses: as the guest writes them, with semicolons between them; "": none. */
	void (*changed)(void *data, const char *adapter, const char *addresses);
	void *data;
};

/* Return: 0; -ENOMEM. */
int guest_addresses_new(const struct guest_addresses_config *config,
			struct guest_addresses **ret_addresses) MUST_CHECK;

/* After vmbus_reset() is done, before the other two are freed. */
void guest_addresses_free(struct guest_addresses *addresses);
DEFINE_CLEANUP(struct guest_addresses *, guest_addresses_free)

/*
 * What was told last, as a record; and it is told again where the VM goes on. Nothing else is kept:
 * there the guest tells all of itself anew, and is asked. Return: 0; STATE_E_ of
 * common/base/state.h.
 */
void guest_addresses_save(const struct guest_addresses *addresses, struct state_writer *writer);
int guest_addresses_restore(struct guest_addresses *addresses,
			    const struct state_reader *reader) MUST_CHECK;

/* What ic_kvp_callbacks and adapters tell. */
void guest_addresses_guest(struct guest_addresses *addresses);
void guest_addresses_refreshed(struct guest_addresses *addresses);
void guest_addresses_connected(struct guest_addresses *addresses, const char *adapter);

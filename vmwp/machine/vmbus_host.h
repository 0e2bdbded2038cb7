/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the VMBus host and the VSPs need of the hypervisor (vsp/vmbus/host.h), on vid/ and hvshim/.
 *
 * It outlives partitions. Thread: the loop's.
 */
#pragma once

#include "hvshim/hvshim.h"
#include "vid/vid.h"
#include "vsp/vmbus/vmbus.h"

struct vmbus_host {
	struct vid_memory *memory;       /* borrowed */
	enum vid_memory_backing backing; /* of RAM that is added */
	bool shared;                     /* likewise */
	struct hvshim *hvshim;           /* borrowed; NULL while there is no partition */
};

extern const struct vsp_host_ops vmbus_host_ops; /* first argument: a struct vmbus_host */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of a vp's exit: the Hyper-V personality first, then the chipset; what concerns the
 * machine as a whole is an incident. Thread: the vp's.
 */
#pragma once

#include "hvshim/hvshim.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset.h"

#include <stdbool.h>

enum incident {
	INCIDENT_NONE,
	INCIDENT_POWER_OFF, /* the guest turned itself off */
	INCIDENT_HIBERNATED,
	INCIDENT_RESET, /* the guest wants the machine reset */
	INCIDENT_TRIPLE_FAULT,
	INCIDENT_ERROR, /* the hypervisor cannot go on */
};

/* failure: what INCIDENT_TRIPLE_FAULT or INCIDENT_ERROR was. */
enum incident vp_exit_handle(struct hvshim *hvshim, struct chipset *chipset, struct vid_vp *vp,
			     const struct vid_exit *exit, struct failure *failure);

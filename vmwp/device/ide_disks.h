/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What carries out the requests of generation 1's IDE channels: on the disks and DVD drives with LUNs
 * 0 to 3 of controller 0, which are the first and second of channel 0, and of channel 1.
 *
 * Data pass through a buffer of the host's, so that no request holds any memory of the guest's, and
 * a reset has nothing to wait for. Who has drivers for VMBus uses the same disks there.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops ide_disks_ops;

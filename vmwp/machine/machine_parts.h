/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the machine, as rows of the table of devices (vmwp/base/device.h). The device of each
 * is the machine.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops machine_memory_ops, machine_partition_ops, machine_processors_ops,
	machine_hypervisor_ops, machine_chipset_ops, machine_vmbus_ops;

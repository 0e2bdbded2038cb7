/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The integration services that a machine's guest is offered, as the definition has them.
 *
 * The devices are the service providers' own: struct ic_shutdown of vsp/ic/ic.h and so on. Thread:
 * the loop's.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops service_shutdown_ops, service_heartbeat_ops, service_time_ops,
	service_kvp_ops, service_vss_ops, service_file_copy_ops;

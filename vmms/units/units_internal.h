/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What those share who ask systemd for units: units.c for those of processes, cpu_group.c for
 * slices.
 */
#pragma once

#include "vmms/units/units.h"

#include <systemd/sd-bus.h>

#define SYSTEMD_ERROR_UNIT_EXISTS "org.freedesktop.systemd1.UnitExists"

/*
 * A call of a method of systemd's manager, for the caller to append to, to send and to unreference.
 * The connection is made if there is none. Return: 0; -errno.
 */
int units_new_call(struct units *units, const char *method, sd_bus_message **ret_call) MUST_CHECK;

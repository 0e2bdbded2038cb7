/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Properties of a worker's unit, and of a slice, as systemd takes them on the bus:
 * org.freedesktop.systemd1(5), systemd.resource-control(5). Both append to a message within an open
 * a(sv). Return: 0, -errno.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/*
 * What a unit is begun with: its place, its order, its processes. asked: it is asked how it has
 * ended; else it is gone then, however that was.
 */
int unit_properties_append(sd_bus_message *message, const struct definition *definition,
			   const pid_t *processes, size_t count, bool asked) MUST_CHECK;

/* All limits, those too that the definition does not have: they are taken away. */
int unit_properties_append_limits(sd_bus_message *message,
				  const struct definition *definition) MUST_CHECK;

/*
 * The shares of the host's CPUs that a slice has, in units of the definition. cpu_weight,
 * cpu_quota: 0: none; cpus: empty: all.
 */
int unit_properties_append_shares(sd_bus_message *message, uint64_t cpu_weight, uint64_t cpu_quota,
				  const struct cpu_list *cpus) MUST_CHECK;

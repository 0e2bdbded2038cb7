/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is counted of virtual processors, by name. Thread: the loop's. */
#pragma once

#include "common/base/json.h"
#include "vid/vid.h"
#include "vmwp/machine/power_cycle.h"

/* Adds "exits" and "kernel_exits", by their kinds: of one, or of all over all power cycles. */
void vp_counters_add(const struct vid_vp *vp, struct json_object **tree);
void vp_counters_add_sum(const struct power_cycle_counters *sum, struct json_object **tree);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory of a machine, where the definition has it: the guest's balloon
 * (vsp/memory/balloon.h), and what is told of it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "vmwp/base/device.h"

#include <stdint.h>

struct guest_memory;

extern const struct device_ops guest_memory_ops;

/* As balloon_set_target(). */
void guest_memory_set_target(struct guest_memory *memory, uint64_t bytes);

/* New reference; NULL without memory. */
struct json_object *guest_memory_report(const struct guest_memory *memory);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory of a machine, where the definition has it: the guest's balloon
 * (vsp/memory/balloon.h), and what is told of it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "vmwp/machine/machine.h"

#include <stdbool.h>
#include <stdint.h>

struct guest_memory;

/* report: as the data of the control socket's "memory" event; taken over; NULL without memory. */
typedef void (*guest_memory_fn)(void *data, struct json_object *report);

/* The machine is borrowed. *ret_memory: NULL without dynamic memory. Return: 0, -errno. */
int guest_memory_new(struct machine *machine, const struct definition *definition,
		     guest_memory_fn changed, void *data,
		     struct guest_memory **ret_memory) MUST_CHECK;

/* The machine has stopped, or no guest has connected. */
void guest_memory_free(struct guest_memory *memory);
DEFINE_CLEANUP(struct guest_memory *, guest_memory_free)

/* The machine was reset. */
void guest_memory_start_over(struct guest_memory *memory);

/* As balloon_set_target(). */
void guest_memory_set_target(struct guest_memory *memory, uint64_t bytes);

/* New reference; NULL without memory. */
struct json_object *guest_memory_report(const struct guest_memory *memory);

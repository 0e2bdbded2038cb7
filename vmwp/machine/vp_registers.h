/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registers of a vp, as they are shown.
 */
#pragma once

#include "common/base/json.h"
#include "vid/vid.h"

#include <stdbool.h>

struct vp_registers {
	bool running; /* it was in the guest, or just about to be */
	bool there;   /* the two below are known */
	struct vid_registers general;
	struct vid_system_registers system;
};

/* Adds "registers", "segments", "tables" and "control" to the tree. */
void vp_registers_add(const struct vp_registers *registers, struct json_object **tree);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The slice of an owner: a slice of systemd's, below vmms.slice, in which the units of the VMs of
 * one user are, so that all of them together get no more than their share of the host.
 *
 * It is made, or given its limits again, when one of them starts; it stays until the host ends.
 * Nothing here blocks. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"

#include <stdbool.h>

struct units;
struct quota;

/* To be called before the VM's unit is opened. What fails is logged. */
void owner_slice_enter(struct units *units, const struct definition *definition,
		       const struct quota *quota);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the slices are called that the units of VMs are in: of a CPU group, and of an owner.
 */
#pragma once

#include "common/definition/definition.h"

#include <stdbool.h>

/* Bytes with the NUL: either name fits, escaped as systemd wants it. */
#define SLICE_NAME_SIZE 192

/* Of a group of that name: "vmms-NAME.slice". A '-' in systemd's names would be another slice. */
void slice_name_of_cpu_group(const char *name, char slice[static SLICE_NAME_SIZE]);

/*
 * The name, as "vmms-owner:alice.slice", which no CPU group has. Return: false: a VM with that
 * definition is in none, being root's, or in a CPU group.
 */
bool slice_name_of_owner(const struct definition *definition, char slice[static SLICE_NAME_SIZE]);

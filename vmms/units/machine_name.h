/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The name of a VM among the host's machines, machinectl(1): a host name, in labels of letters,
 * digits and dashes, none of them empty or with a dash at an end. Most VMs' names are such; of
 * others one is made, which ends in the beginning of the VM's uuid, so that it is no other's.
 */
#pragma once

#include "common/base/guid.h"

#define MACHINE_NAME_SIZE 65 /* bytes, with the NUL */

void machine_name_make(const char *vm, const struct guid *uuid, char name[MACHINE_NAME_SIZE]);

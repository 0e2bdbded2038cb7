/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the processors of a VM look like to its guest: features, topology, NUMA nodes.
 */
#pragma once

#include "vmwp/cpu/cpu_model.h"
#include "vmwp/cpu/numa.h"
#include "vmwp/cpu/topology.h"

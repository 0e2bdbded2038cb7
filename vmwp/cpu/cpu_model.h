/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model of the vps: which of the features that the hypervisor supports the guest is told of.
 *
 * What depends on features goes with them: extended states (leaf 0xd) and the leaves that describe
 * a feature. A guest is not kept from instructions that need no state of their own and that its
 * CPU has all the same.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"

/* Those that CPUID tells. */
void cpu_model_features(struct vid_cpuid *cpuid, struct cpu_feature_set *ret_features);

/*
 * Takes away what the guest is not to have, of what the hypervisor supports
 * (vid_cpuid_supported()). Return: 0; -ENOTSUP and *failure: this host has no baseline.
 */
int cpu_model_apply(const struct definition_processors *processors, struct vid_cpuid *cpuid,
		    struct failure *failure) MUST_CHECK;

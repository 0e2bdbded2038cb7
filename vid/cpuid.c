/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID leaves: the table of what a vp is given.
 */
#include "vid/vid.h"

#include <errno.h>

struct vid_cpuid_leaf *vid_cpuid_find(struct vid_cpuid *cpuid, uint32_t function, uint32_t index)
{
	for (size_t i = 0; i < cpuid->count; i++) {
		struct vid_cpuid_leaf *leaf = &cpuid->leaves[i];

		if (leaf->function == function && (!leaf->indexed || leaf->index == index))
			return leaf;
	}
	return NULL;
}

int vid_cpuid_set(struct vid_cpuid *cpuid, const struct vid_cpuid_leaf *leaf)
{
	struct vid_cpuid_leaf *old = vid_cpuid_find(cpuid, leaf->function, leaf->index);

	if (!old) {
		if (cpuid->count == VID_CPUID_MAX)
			return -E2BIG;
		old = &cpuid->leaves[cpuid->count++];
	}
	*old = *leaf;
	return 0;
}

void vid_cpuid_remove(struct vid_cpuid *cpuid, uint32_t function)
{
	size_t kept = 0;

	for (size_t i = 0; i < cpuid->count; i++)
		if (cpuid->leaves[i].function != function)
			cpuid->leaves[kept++] = cpuid->leaves[i];
	cpuid->count = kept;
}

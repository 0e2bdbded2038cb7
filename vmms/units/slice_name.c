/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of slices. */
#include "vmms/units/slice_name.h"

#include "vmms/units/quota.h"

#include <ctype.h>
#include <stdio.h>

void slice_name_of_cpu_group(const char *name, char slice[static SLICE_NAME_SIZE])
{
	size_t used = (size_t)snprintf(slice, SLICE_NAME_SIZE, "vmms-");

	_Static_assert(sizeof("vmms-.slice") + 4 * DEFINITION_CPU_GROUP_NAME_MAX <= SLICE_NAME_SIZE,
		       "names of '-' alone fit");
	for (; *name != '\0'; name++)
		used += (size_t)snprintf(slice + used, SLICE_NAME_SIZE - used,
					 *name == '-' ? "\\x2d" : "%c", *name);
	snprintf(slice + used, SLICE_NAME_SIZE - used, ".slice");
}

bool slice_name_of_owner(const struct definition *definition, char slice[static SLICE_NAME_SIZE])
{
	const char *owner = quota_owner(definition);
	size_t used = (size_t)snprintf(slice, SLICE_NAME_SIZE, "vmms-owner:");

	_Static_assert(sizeof("vmms-owner:.slice") + 4 * DEFINITION_OWNER_MAX <= SLICE_NAME_SIZE,
		       "names of '-' alone fit");
	if (!owner || definition->resources.cpu_group[0] != '\0')
		return false;
	for (; *owner != '\0'; owner++)
		used += (size_t)snprintf(slice + used, SLICE_NAME_SIZE - used,
					 isalnum((unsigned char)*owner) ? "%c" : "\\x%02x",
					 (unsigned char)*owner);
	snprintf(slice + used, SLICE_NAME_SIZE - used, ".slice");
	return true;
}

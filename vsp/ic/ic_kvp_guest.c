/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest tells of itself: the keys of its pool of intrinsic values.
 * Source of the names: Linux include/uapi/linux/hyperv.h, tools/hv/hv_kvp_daemon.c.
 */
#include "common/base/text.h"
#include "vsp/ic/ic_kvp.h"

#include <string.h>

static const struct {
	const char *key;
	size_t offset;
} members[] = {
	{ "FullyQualifiedDomainName", offsetof(struct ic_kvp_guest, host_name) },
	{ "IntegrationServicesVersion", offsetof(struct ic_kvp_guest, services_version) },
	{ "NetworkAddressIPv4", offsetof(struct ic_kvp_guest, ipv4) },
	{ "NetworkAddressIPv6", offsetof(struct ic_kvp_guest, ipv6) },
	{ "OSBuildNumber", offsetof(struct ic_kvp_guest, os_build) },
	{ "OSMajorVersion", offsetof(struct ic_kvp_guest, os_major) },
	{ "OSName", offsetof(struct ic_kvp_guest, os_name) },
	{ "OSVersion", offsetof(struct ic_kvp_guest, os_version) },
	{ "ProcessorArchitecture", offsetof(struct ic_kvp_guest, architecture) },
};

void ic_kvp_guest_take(struct ic_kvp_guest *guest, const char *key, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (strcmp(members[i].key, key) == 0)
			text_repair((char *)guest + members[i].offset, IC_KVP_GUEST_TEXT_MAX, value,
				    strlen(value));
}

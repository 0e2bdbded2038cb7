/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of IPv4 and IPv6, and prefixes of such, in a definition. */
#pragma once

#include "common/base/cc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct definition_address {
	int family;      /* AF_INET, AF_INET6 */
	unsigned prefix; /* bits; 32 or 128: one address */
	uint8_t bytes[16];
};

#define DEFINITION_ADDRESS_TEXT_SIZE (INET6_ADDRSTRLEN + 4)

/*
 * "192.0.2.1", "2001:db8::/64". Return: 0; -EINVAL: it is none, or none that one interface can
 * have: the unspecified address, or a prefix with that in it, the loopback's, multicast.
 */
int definition_address_parse(const char *text, struct definition_address *ret_address) MUST_CHECK;
void definition_address_format(const struct definition_address *address,
			       char text[static DEFINITION_ADDRESS_TEXT_SIZE]);
bool definition_address_overlaps(const struct definition_address *a,
				 const struct definition_address *b);

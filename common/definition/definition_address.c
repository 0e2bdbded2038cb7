/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses in a definition. */
#include "common/definition/definition_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	uint8_t mask = (uint8_t) ~(0xff >> bits % 8);

	return memcmp(a, b, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

bool definition_address_overlaps(const struct definition_address *a,
				 const struct definition_address *b)
{
	return a->family == b->family && same_prefix(a->bytes, b->bytes, MIN(a->prefix, b->prefix));
}

/* No interface's own. */
static bool is_special(const struct definition_address *address)
{
	static const struct definition_address special[] = {
		{ AF_INET, 8, { 0 } },           { AF_INET, 8, { 127 } },
		{ AF_INET, 3, { 224 } },         { AF_INET6, 128, { 0 } },
		{ AF_INET6, 128, { [15] = 1 } }, { AF_INET6, 96, { [10] = 0xff, [11] = 0xff } },
		{ AF_INET6, 8, { 0xff } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (definition_address_overlaps(&special[i], address))
			return true;
	}
	return false;
}

static int parse_prefix(const char *text, unsigned most, unsigned *ret_prefix)
{
	unsigned long prefix;
	char *end;

	if (text[0] < '1' || text[0] > '9' || strlen(text) > 3)
		return -EINVAL;
	prefix = strtoul(text, &end, 10);
	if (*end != '\0' || prefix > most)
		return -EINVAL;
	*ret_prefix = (unsigned)prefix;
	return 0;
}

int definition_address_parse(const char *text, struct definition_address *ret_address)
{
	struct definition_address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	char plain[INET6_ADDRSTRLEN] = "";
	size_t size = strcspn(text, "/");

	if (size >= sizeof(plain))
		return -EINVAL;
	memcpy(plain, text, size);
	address.prefix = address.family == AF_INET ? 32 : 128;
	if (inet_pton(address.family, plain, address.bytes) != 1 ||
	    (text[size] == '/' &&
	     parse_prefix(text + size + 1, address.prefix, &address.prefix) < 0) ||
	    is_special(&address))
		return -EINVAL;
	*ret_address = address;
	return 0;
}

void definition_address_format(const struct definition_address *address,
			       char text[static DEFINITION_ADDRESS_TEXT_SIZE])
{
	size_t size;

	inet_ntop(address->family, address->bytes, text, INET6_ADDRSTRLEN);
	size = strlen(text);
	if (address->prefix < (address->family == AF_INET ? 32u : 128u))
		snprintf(text + size, DEFINITION_ADDRESS_TEXT_SIZE - size, "/%u", address->prefix);
}

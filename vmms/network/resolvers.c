/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name servers for guests. */
#include "vmms/network/resolvers.h"

#include "common/base/cleanup.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define OWN      "/etc/resolv.conf"
#define UPSTREAM "/run/systemd/resolve/resolv.conf"

#define LINES_MAX 1000

static bool resolvers_is_loopback(int family, const void *address)
{
	if (family == AF_INET)
		return ntohl(((const struct in_addr *)address)->s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)address);
}

/* One without a zone, which would be the host's. Return: whether it is an address. */
static bool resolvers_read_line(const char *line, char text[static INET6_ADDRSTRLEN],
				bool *ret_loopback)
{
	struct in6_addr address;
	int family;

	if (sscanf(line, "nameserver %45s", text) != 1)
		return false;
	family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, &address) != 1)
		return false;
	*ret_loopback = resolvers_is_loopback(family, &address);
	return true;
}

/* Those that are not on the loopback; *ret_all: all that there are. */
static size_t resolvers_read_file(const char *path, char addresses[][INET6_ADDRSTRLEN], size_t max,
				  size_t *ret_all)
{
	FILE *file = fopen(path, "re");
	char line[256], text[INET6_ADDRSTRLEN];
	size_t count = 0;
	bool loopback;

	*ret_all = 0;
	if (!file)
		return 0;
	for (unsigned i = 0; i < LINES_MAX && fgets(line, sizeof(line), file); i++) {
		if (!resolvers_read_line(line, text, &loopback))
			continue;
		++*ret_all;
		if (!loopback && count < max)
			strcpy(addresses[count++], text);
	}
	fclose(file);
	return count;
}

size_t resolvers_find_in(const char *own, const char *upstream, char addresses[][INET6_ADDRSTRLEN],
			 size_t max)
{
	size_t all;

	if (resolvers_read_file(own, addresses, max, &all) > 0 || all == 0)
		return 0;
	return resolvers_read_file(upstream, addresses, max, &all);
}

size_t resolvers_find(char addresses[][INET6_ADDRSTRLEN], size_t max)
{
	return resolvers_find_in(OWN, UPSTREAM, addresses, max);
}

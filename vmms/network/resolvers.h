/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The name servers that guests of the user-mode network ask, where the host's own do not do.
 *
 * passt(1) tells a guest the name servers of /etc/resolv.conf. A guest cannot reach one that listens
 * on the host's loopback, as systemd-resolved(8) and dnsmasq(8) do.
 *
 * Thread: any.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>

#define RESOLVERS_MAX 3

/*
 * Where all of /etc/resolv.conf are on the loopback: those that systemd-resolved(8) asks. Return:
 * how many there are; 0 also where passt(1) does by itself.
 */
size_t resolvers_find(char addresses[][INET6_ADDRSTRLEN], size_t max);

/* The same, of these two files. */
size_t resolvers_find_in(const char *own, const char *upstream, char addresses[][INET6_ADDRSTRLEN],
			 size_t max);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the host speaks IP on a link: the settings of Linux Documentation/networking/ip-sysctl.rst,
 * which rtnetlink cannot set.
 */
#pragma once

#include "common/base/cc.h"

/*
 * On an internal switch guests are the host's neighbours, but none is its router, or may tell it
 * of another. Return: 0, also of a kernel without IPv6; -errno of what could not be written.
 */
int network_refuse_routers(const char *interface) MUST_CHECK;

/* The host has no IPv6 there at all. Return: as above. */
int network_refuse_ipv6(const char *interface) MUST_CHECK;

/*
 * What an administrator may have set of one link is so of the other one. Only what differs is
 * written. Return: as above.
 */
int network_copy_sysctls(const char *from, const char *to) MUST_CHECK;

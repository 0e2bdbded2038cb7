/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the host speaks IP on a link, by /proc/sys/net of the network namespace. */
#include "vmms/network/network_sysctl.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE  128
#define VALUE_SIZE 32

struct setting {
	const char *family, *name;
	const char *value; /* to be set; NULL: that of another link */
};

static const struct setting without_routers[] = {
	{ "ipv6", "accept_ra", "0" },
	{ "ipv6", "accept_redirects", "0" },
	{ "ipv4", "accept_redirects", "0" },
};

static const struct setting without_ipv6[] = { { "ipv6", "disable_ipv6", "1" } };

static const struct setting inherited[] = {
	{ "ipv6", "disable_ipv6", NULL },
	{ "ipv6", "forwarding", NULL },
	{ "ipv6", "accept_ra", NULL },
	{ "ipv6", "accept_ra_defrtr", NULL },
	{ "ipv6", "accept_ra_pinfo", NULL },
	{ "ipv6", "accept_ra_rt_info_max_plen", NULL },
	{ "ipv6", "autoconf", NULL },
	{ "ipv6", "use_tempaddr", NULL },
	{ "ipv6", "accept_redirects", NULL },
	{ "ipv6", "proxy_ndp", NULL },
	{ "ipv4", "forwarding", NULL },
	{ "ipv4", "rp_filter", NULL },
	{ "ipv4", "accept_redirects", NULL },
	{ "ipv4", "send_redirects", NULL },
	{ "ipv4", "secure_redirects", NULL },
	{ "ipv4", "proxy_arp", NULL },
	{ "ipv4", "arp_ignore", NULL },
	{ "ipv4", "arp_announce", NULL },
	{ "ipv4", "arp_filter", NULL },
	{ "ipv4", "accept_local", NULL },
	{ "ipv4", "accept_source_route", NULL },
	{ "ipv4", "log_martians", NULL },
};

/* Names of interfaces hold no slash. */
static void sysctl_write_path(const struct setting *setting, const char *interface,
			      char path[static PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "/proc/sys/net/%s/conf/%s/%s", setting->family, interface,
		 setting->name);
}

/* Return: 0; -ENOENT: the kernel does not know the setting, or the link. */
static int sysctl_get(const struct setting *setting, const char *interface,
		      char value[static VALUE_SIZE])
{
	char path[PATH_SIZE];
	ssize_t size;

	sysctl_write_path(setting, interface, path);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, value, VALUE_SIZE - 1);
	if (size < 0)
		return error_origin(-errno);
	value[size] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int sysctl_set(const struct setting *setting, const char *interface, const char *value)
{
	char path[PATH_SIZE], old[VALUE_SIZE];
	int r;

	r = sysctl_get(setting, interface, old);
	if (r < 0 || strcmp(old, value) == 0)
		return r == -ENOENT ? 0 : r;
	sysctl_write_path(setting, interface, path);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int sysctl_set_all(const struct setting *settings, size_t count, const char *interface)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = sysctl_set(&settings[i], interface, settings[i].value);
	return r;
}

int network_refuse_routers(const char *interface)
{
	return sysctl_set_all(without_routers, ARRAY_SIZE(without_routers), interface);
}

int network_refuse_ipv6(const char *interface)
{
	return sysctl_set_all(without_ipv6, ARRAY_SIZE(without_ipv6), interface);
}

int network_copy_sysctls(const char *from, const char *to)
{
	char value[VALUE_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(inherited); i++) {
		r = sysctl_get(&inherited[i], from, value);
		if (r == 0)
			r = sysctl_set(&inherited[i], to, value);
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who configures an interface of the host, by the files that each leaves.
 *
 * NetworkManager writes /run/NetworkManager/devices/INDEX, with managed=true where it is (its
 * src/core/nm-config.c); systemd-networkd /run/systemd/netif/links/INDEX, with ADMIN_STATE=, which
 * is "unmanaged" where it is not (networkctl(1)); ifupdown /run/network/ifstate for what is up, and
 * interfaces(5) names what it will bring up.
 */
#include "vmms/host/interface_owner.h"

#include "common/base/cleanup.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 512
#define DEPTH_MAX 8 /* of files that name files */

/* ---- Files of lines ---- */

static void owner_close_filep(FILE **file)
{
	if (*file)
		fclose(*file);
}

static FILE *owner_open_file(const char *root, const char *path)
{
	char whole[PATH_MAX];

	if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole))
		return NULL;
	return fopen(whole, "re");
}

/* The value of "KEY=VALUE" in a file, into `value`. */
static bool owner_find_value(const char *root, const char *path, const char *key,
			     char value[static LINE_SIZE])
{
	CLEANUP(owner_close_filep) FILE *file = owner_open_file(root, path);
	size_t length = strlen(key);
	char line[LINE_SIZE];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, key, length) != 0 || line[length] != '=')
			continue;
		strcpy(value, line + length + 1);
		return true;
	}
	return false;
}

/* ---- NetworkManager ---- */

static bool owner_is_network_managers(const char *root, const char *interface, int index)
{
	char path[64], value[LINE_SIZE];

	snprintf(path, sizeof(path), "/run/NetworkManager/devices/%d", index);
	return owner_find_value(root, path, "managed", value) && strcmp(value, "true") == 0;
}

/* ---- systemd-networkd ---- */

static bool owner_is_networkds(const char *root, const char *interface, int index)
{
	char path[64], value[LINE_SIZE];

	snprintf(path, sizeof(path), "/run/systemd/netif/links/%d", index);
	return owner_find_value(root, path, "ADMIN_STATE", value) &&
	       strcmp(value, "unmanaged") != 0;
}

/* ---- ifupdown ---- */

static bool owner_names_interface(const char *root, const char *path, const char *interface,
				  int depth);

static bool owner_any_file_names(const char *root, const char *pattern, const char *interface,
				 int depth)
{
	char whole[PATH_MAX];
	glob_t files;
	bool found = false;

	if (snprintf(whole, sizeof(whole), "%s%s", root, pattern) >= (int)sizeof(whole) ||
	    glob(whole, 0, NULL, &files) != 0)
		return false;
	for (size_t i = 0; i < files.gl_pathc && !found; i++)
		found = owner_names_interface(root, files.gl_pathv[i] + strlen(root), interface,
					      depth + 1);
	globfree(&files);
	return found;
}

/* Files may be named from the folder of /etc/network/interfaces. */
static bool owner_follow(const char *root, const char *pattern, const char *suffix,
			 const char *interface, int depth)
{
	char path[PATH_MAX];
	const char *folder = pattern[0] == '/' ? "" : "/etc/network/";

	if (depth >= DEPTH_MAX ||
	    snprintf(path, sizeof(path), "%s%s%s", folder, pattern, suffix) >= (int)sizeof(path))
		return false;
	return owner_any_file_names(root, path, interface, depth);
}

static bool owner_line_names(const char *root, char *line, const char *interface, int depth)
{
	char *rest = line, *word, *next;

	do
		word = strsep(&rest, " \t\n");
	while (word && *word == '\0');
	if (!word || !rest)
		return false;
	if (strcmp(word, "iface") != 0 && strcmp(word, "auto") != 0 &&
	    strncmp(word, "allow-", 6) != 0 && strncmp(word, "source", 6) != 0)
		return false;
	while ((next = strsep(&rest, " \t\n"))) {
		if (*next == '\0')
			continue;
		if (strcmp(word, "source") == 0 && owner_follow(root, next, "", interface, depth))
			return true;
		if (strcmp(word, "source-directory") == 0 &&
		    owner_follow(root, next, "/*", interface, depth))
			return true;
		if (strcmp(next, interface) == 0)
			return true;
		if (strcmp(word, "iface") == 0)
			return false; /* the rest says how */
	}
	return false;
}

static bool owner_names_interface(const char *root, const char *path, const char *interface,
				  int depth)
{
	CLEANUP(owner_close_filep) FILE *file = owner_open_file(root, path);
	char line[LINE_SIZE];

	while (file && fgets(line, sizeof(line), file)) {
		if (owner_line_names(root, line, interface, depth))
			return true;
	}
	return false;
}

static bool owner_is_ifupdowns(const char *root, const char *interface, int index)
{
	char value[LINE_SIZE];

	return owner_find_value(root, "/run/network/ifstate", interface, value) ||
	       owner_names_interface(root, "/etc/network/interfaces", interface, 0);
}

/* ---- All of them ---- */

static const struct {
	bool (*owns)(const char *root, const char *interface, int index);
	struct interface_owner owner;
} owners[] = {
	{ owner_is_network_managers,
	  { "NetworkManager",
	    "nmcli connection add type bridge con-name br0 ifname br0 stp no; "
	    "nmcli connection add type ethernet con-name br0-@ ifname @ master br0; "
	    "nmcli connection up br0-@" } },
	{ owner_is_networkds,
	  { "systemd-networkd",
	    "write /etc/systemd/network/10-br0.netdev with [NetDev] Name=br0 Kind=bridge; "
	    "/etc/systemd/network/10-br0-port.network with [Match] Name=@ [Network] Bridge=br0; "
	    "/etc/systemd/network/10-br0.network with [Match] Name=br0 and the [Network] section "
	    "that @ has now; networkctl reload" } },
	{ owner_is_ifupdowns,
	  { "ifupdown",
	    "apt install bridge-utils; ifdown @; in /etc/network/interfaces let 'iface @ inet' be "
	    "'manual', and add 'auto br0' and 'iface br0 inet' with what @ had and "
	    "'bridge_ports @'; ifup br0" } },
};

const struct interface_owner *interface_owner_find(const char *root, const char *interface,
						   int index)
{
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		if (owners[i].owns(root, interface, index))
			return &owners[i].owner;
	}
	return NULL;
}

void interface_owner_steps(const struct interface_owner *owner, const char *interface, char *buffer,
			   size_t size)
{
	size_t used = 0;

	for (const char *at = owner->steps; *at != '\0' && used + 1 < size; at++) {
		if (*at == '@')
			used += (size_t)snprintf(buffer + used, size - used, "%s", interface);
		else
			buffer[used++] = *at;
	}
	buffer[MIN(used, size - 1)] = '\0';
}

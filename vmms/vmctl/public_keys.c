/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public keys of whoever calls vmctl. */
#include "vmms/vmctl/public_keys.h"

#include "common/base/cleanup.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS_MAX (64 * 1024) /* bytes of a file that are looked at */

static void keys_closep(FILE **file)
{
	if (*file)
		fclose(*file);
}

static bool keys_is_key(const char *line)
{
	static const char *const beginnings[] = { "ssh-", "ecdsa-", "sk-" };

	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		if (strncmp(line, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	}
	return false;
}

/* Return: how many keys there were; -errno. */
static int keys_append(const char *path, int fd)
{
	CLEANUP(keys_closep) FILE *file = fopen(strcmp(path, "-") == 0 ? "/dev/stdin" : path, "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0, seen = 0;
	ssize_t length;
	int count = 0;

	if (!file)
		return -errno;
	while ((length = getline(&line, &room, file)) > 0 && seen < KEYS_MAX) {
		seen += (size_t)length;
		if (!keys_is_key(line))
			continue;
		if (dprintf(fd, "%s%s", line, line[length - 1] == '\n' ? "" : "\n") < 0)
			return -errno;
		count++;
	}
	return count;
}

/* Those that ssh would use by itself; one that is missing is none. Return: as above. */
static int keys_append_own(int fd)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	const char *home = getenv("HOME");
	int count = 0, r = 0;

	for (size_t i = 0; home && i < ARRAY_SIZE(names) && r != -ENOMEM; i++) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s/.ssh/%s.pub", home, names[i]) < 0)
			return -ENOMEM;
		r = keys_append(path, fd);
		count += r > 0 ? r : 0;
	}
	return count;
}

/* Return: how many there are; -errno; -EBADMSG: what it says is wrong with a file. */
static int keys_append_named(const struct invocation *invocation, int fd)
{
	int count = 0, r;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *path = invocation->options[i].value;

		if (strcmp(invocation->options[i].row->name, "ssh-key") != 0)
			continue;
		r = keys_append(path, fd);
		if (r <= 0) {
			fprintf(stderr, "vmctl: %s %s%s\n", path,
				r == 0 ? "has no public key for ssh" : "cannot be read: ",
				r == 0 ? "" : strerror(-r));
			return -EBADMSG;
		}
		count += r;
	}
	return count;
}

enum status public_keys_gather(const struct invocation *invocation, int *ret_fd)
{
	AUTO_CLOSE int fd = spool_new();
	int r = fd;

	*ret_fd = -1;
	if (r >= 0)
		r = invocation_has(invocation, "ssh-key") ? keys_append_named(invocation, fd)
							  : keys_append_own(fd);
	if (r == -EBADMSG)
		return STATUS_FAILED;
	if (r > 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return service_failed(r, NULL);
	if (r > 0)
		*ret_fd = TAKE_FD(fd);
	return STATUS_OK;
}

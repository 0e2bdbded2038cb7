/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of disks: those that are there, locked; and new ones, that are there as a whole or not at
 * all.
 *
 * A new file has a name of its own in the same folder, ".NAME.vmms-new", until it is complete and
 * durable; then it gets the right one, unless something has it. Whoever makes it has it locked: one
 * that a process left that was killed is removed by the next who makes a file of that name.
 *
 * Thread: the process's only one.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/disk/disk_work.h"

#include <limits.h>

/* ---- One that is there ---- */

struct disk_file {
	int fd;
	struct stat status;
	enum image_format format;
	bool in_use;    /* somebody has it locked, and that was let pass */
	const char *vm; /* a VM that runs, or is saved, and has it, if known; NULL */
};

/*
 * Opens and locks it, finds out its format, unless that is said, and that it names no other file.
 * use: it may be locked by somebody. ret_file->fd is the caller's. Return: 0; negative with
 * *work->failure filled.
 */
int disk_file_open(struct disk_work *work, bool writable, bool use,
		   struct disk_file *ret_file) MUST_CHECK;

/* What a VHDX_E_, -ENOTSUP or another -errno of the image means. Return: negative. */
int disk_file_refuse(struct disk_work *work, const struct disk_file *file, int error);

/* ---- With what it stands on (disk_chain.c) ---- */

#define DISK_CHAIN_MAX 16

/* Borrowed by the content that is read through them; the last is the file that stands by itself. */
struct disk_chain {
	int fds[DISK_CHAIN_MAX];
	unsigned count;
};

/*
 * What is seen through a file that was opened: of a VHDX that stands on others, these are found and
 * locked. Both are the caller's, the content to be freed first. Return: 0; negative with
 * *work->failure filled.
 */
int disk_chain_open(struct disk_work *work, const struct disk_file *file, struct disk_chain *chain,
		    struct image_content **ret_content) MUST_CHECK;
void disk_chain_close(struct disk_chain *chain);

/* ---- A new one ---- */

struct disk_new {
	const char *path; /* borrowed */
	int folder, fd;
	char name[NAME_MAX + 1], temporary[NAME_MAX + 1];
};

/* Return: 0; negative with *work->failure filled, and nothing to abandon. */
int disk_new_begin(struct disk_work *work, const char *path, struct disk_new *ret_new) MUST_CHECK;

/* The same where there is a file of that name, in whose place it may come. */
int disk_new_begin_beside(struct disk_work *work, const char *path,
			  struct disk_new *ret_new) MUST_CHECK;

/* It is complete. Closes it, whether it succeeds or not. */
int disk_new_commit(struct disk_work *work, struct disk_new *new) MUST_CHECK;

/* The same, in the place of the file that has the name. */
int disk_new_replace(struct disk_work *work, struct disk_new *new) MUST_CHECK;

/* It is not to be. */
void disk_new_abandon(struct disk_new *new);

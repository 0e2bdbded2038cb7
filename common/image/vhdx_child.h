/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New images that stand on another: differencing VHDX images, which hold what is written from then
 * on.
 *
 * The parent is only read, and may not be written any more: a child says on which state of it it was
 * made (its DataWriteGuid), and is worth nothing on any other. The child names it as Windows does, by
 * a path from its own folder, and, for it may be moved alone, by the whole path, which is one of this
 * host.
 *
 * Source: MS-VHDX, 2.6.2.6.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/vhdx.h"

#include <stdbool.h>
#include <stdint.h>

struct vhdx_child {
	const char *path;    /* where the child is going to be; its folder is there */
	const char *parent;  /* a path that leads to it */
	int parent_fd;       /* of that, open for reading, and locked; borrowed */
	bool in_use;         /* the parent is still being written: vhdx_look_fd() */
	uint32_t block_size; /* bytes; 0: the parent's */
};

/*
 * How an image at `path`, whose folder is there, names that parent. Return: 0; -EILSEQ,
 * -ENAMETOOLONG, -errno as below.
 */
int vhdx_child_name(const char *path, const char *parent, struct vhdx_parent *named) MUST_CHECK;

/*
 * Makes the child in an empty file, and flushes it. *ret_size: of the disk. Return: 0; VHDX_E_: of
 * the parent; -EILSEQ: the parent's path is no text, which a VHDX could say; -ENAMETOOLONG; -errno.
 */
int vhdx_child_make(int fd, const struct vhdx_child *child, uint64_t *ret_size) MUST_CHECK;

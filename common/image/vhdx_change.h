/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX images that nobody uses: checked, made larger or smaller, and given back what they do not
 * need.
 *
 * Each goes by the log in steps, each of which a crash at any moment leaves done or not done.
 *
 * Thread: any.
 */
#pragma once

#include "common/image/vhdx.h"

/* Who follows something long. */
struct vhdx_follower {
	/* Return: whether it is to go on. done, total: bytes. */
	bool (*goes_on)(void *data, uint64_t done, uint64_t total);
	void *data;
};

/*
 * Gives the disk another size, of whole sectors. What it has more are zeros; what it has less is
 * lost. `file` and `vhdx` are as vhdx_open() made them, to be written. Return: 0; VHDX_E_; -EINVAL:
 * there can be no such disk; -ENOTSUP: it stands on a parent; -errno.
 */
int vhdx_resize(struct vhdx_file *file, struct vhdx *vhdx, uint64_t size) MUST_CHECK;

/*
 * Blocks that hold zeros alone are given back, and the others moved to the front; then the file is
 * cut off behind them. Return: 0; VHDX_E_METADATA: the table of blocks is damaged; -ENOTSUP: it
 * stands on a parent; -ECANCELED: so far; -errno.
 */
int vhdx_compact(struct vhdx_file *file, struct vhdx *vhdx,
		 const struct vhdx_follower *follower) MUST_CHECK;

/* What an image's table of blocks looks like. */
struct vhdx_check {
	uint64_t blocks;      /* that are there */
	uint64_t wrong;       /* entries that make no sense, or name what is another's */
	uint64_t missing;     /* blocks beyond the end of the file */
	uint64_t unused;      /* bytes of the file that nothing names */
	uint64_t kept;        /* blocks that were given back, and keep their places */
	bool headers_differ;  /* one of both is damaged */
	bool regions_damaged; /* one of both tables is */
};

/* Reads only. Return: 0, whatever it finds; VHDX_E_; -errno. */
int vhdx_check(const struct vhdx_file *file, const struct vhdx_patches *patches,
	       const struct vhdx *vhdx, struct vhdx_check *ret_check) MUST_CHECK;

/*
 * Writes anew what one of two copies is damaged of. `file` and `vhdx` are as vhdx_open() made them,
 * to be written. Return: 0; VHDX_E_; -errno.
 */
int vhdx_mend(struct vhdx_file *file, struct vhdx *vhdx) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A new VHD image that is filled: blocks come behind each other as they are written first, and the
 * footer goes behind the last of them when all is there. Until then the file is worth nothing after
 * a crash.
 *
 * Thread: any; one at a time for each object.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/vhd.h"

struct vhd_fill {
	struct vhdx_file *file; /* borrowed; open for reading and writing */
	struct vhd vhd;
	uint32_t *places; /* as the table has them; NULL: of fixed size */
	uint64_t end;     /* of the last block */
};

/* Makes an image in an empty file, without a parent. Return: as vhd_make(). */
int vhd_fill_begin(struct vhd_fill *fill, struct vhdx_file *file,
		   const struct vhd_options *options) MUST_CHECK;

/* Bytes of the disk, below its size. Return: 0; -errno. */
int vhd_fill_write(struct vhd_fill *fill, uint64_t offset, const void *buffer,
		   size_t size) MUST_CHECK;

/* All is there, and durable. Return: 0; -errno. */
int vhd_fill_end(struct vhd_fill *fill) MUST_CHECK;

/* Frees what it has; also of one that is all zeros. */
void vhd_fill_deinit(struct vhd_fill *fill);

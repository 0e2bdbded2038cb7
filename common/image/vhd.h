/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHD images: what one says of itself, and making new ones.
 *
 * As in vhdx.h, whose struct vhdx_file is used here too. A running disk is served by
 * vsp/storage/disk_vhdx.c. Everything in a file is taken for hostile: memory and time are bounded.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/vhd_wire.h"
#include "common/image/vhdx.h"

enum {
	_VHD_E_OK,
	VHD_E_OTHER,       /* it is no VHD */
	VHD_E_FOOTER,      /* neither its footer nor the copy is whole, or they make no sense */
	VHD_E_HEADER,      /* what it says of its blocks, or its parent, makes no sense */
	VHD_E_TRUNCATED,   /* the file is shorter than it has to be */
	VHD_E_UNSUPPORTED, /* it needs what nobody here knows */
	VHD_E_UNRECOVERED, /* its footer was to be put in order before (vhd_recover()) */
	VHD_E_PARENT,      /* its parent is needed, or is another than it was made on */
};

/* What a VHD_E_ code or a negative errno of these functions says to a person. Static text. */
const char *vhd_error_text(int error);

/* How a differencing image names its parent. "": not in that way. */
struct vhd_parent {
	uint8_t id[16]; /* of the parent's footer */
	uint32_t time;  /* when the parent's file was changed last, since VHD_EPOCH */
	char relative[VHDX_PATH_MAX], absolute[VHDX_PATH_MAX], name[VHDX_PATH_MAX];
};

struct vhd {
	struct vhd_footer footer; /* as it lies in the file */
	enum vhd_type type;
	uint64_t size; /* of the disk */
	uint8_t id[16];

	/* Unless it is of fixed size. */
	uint64_t bat_offset;
	uint32_t block_size, block_count, bitmap_size; /* bytes of a block's data; of its bitmap */
	uint64_t data_end; /* what is neither block nor footer ends there */
	struct vhd_parent parent;

	uint64_t end; /* where the footer is; or is to be, and is not */
	bool footer_is_whole;
};

/* Whether the child was made on that parent. */
bool vhd_is_parent(const struct vhd *child, const struct vhd *parent);

/* Reads what the image says of itself. Return: 0; VHD_E_; -errno. */
int vhd_open(const struct vhdx_file *file, struct vhd *ret_vhd) MUST_CHECK;

/* The same of a descriptor, which may be open for direct I/O. *ret_size: of the file. */
int vhd_open_fd(int fd, struct vhd *ret_vhd, uint64_t *ret_size) MUST_CHECK;

/*
 * Puts the end of an image in order that is to be written: what no block is in any more is cut off,
 * and the footer and its copy are whole. Reads all of the table. Return: as above.
 */
int vhd_repair(struct vhdx_file *file, struct vhd *ret_vhd) MUST_CHECK;

/*
 * Makes an image fit for a disk that is going to be opened of that descriptor. *ret_most: bytes that
 * its file may grow to. Return: as above.
 */
int vhd_recover(int fd, bool writable, uint64_t *ret_most) MUST_CHECK;

/* Where a block that is the next begins, so that its data do at a whole page. */
uint64_t vhd_block_place(const struct vhd *vhd, uint64_t end);

/* What the footer says of a disk of so many bytes: cylinders, heads, sectors of a track. */
struct vhd_geometry {
	uint16_t cylinders;
	uint8_t heads, sectors;
};
struct vhd_geometry vhd_geometry(uint64_t size);

struct vhd_options {
	uint64_t size;       /* of the disk: whole sectors; others expect whole MiB */
	uint32_t block_size; /* VHD_BLOCK, unless there is a reason */
	bool fixed;
	const struct vhd_parent *parent; /* NULL: none */
};

/*
 * Makes an image in an empty file, and flushes it. Return: 0; -EINVAL: there can be no such image;
 * -errno.
 */
int vhd_make(struct vhdx_file *file, const struct vhd_options *options) MUST_CHECK;

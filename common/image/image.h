/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk images: opening and locking a raw file or a block device.
 *
 * Whoever manages the VM opens the image and hands the descriptor to the worker. The lock is held
 * by the open file description: it goes along with the descriptor, and ends when the last copy is
 * closed. One writer excludes everybody else; any number may read together. A block device that is
 * opened for writing is claimed exclusively too, so that it can neither be mounted meanwhile nor
 * opened through another node.
 *
 * What an image contains is never looked at.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/changes_file.h"
#include "common/image/image_content.h"
#include "common/image/image_format.h"
#include "common/image/image_parent.h"
#include "common/image/partitions.h"
#include "common/image/qcow2_make.h"
#include "common/image/vhd.h"
#include "common/image/vhdx.h"
#include "common/image/vhdx_change.h"
#include "common/image/vhdx_child.h"
#include "common/image/vhdx_merge.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_IMAGE_E_OK,
	IMAGE_E_IN_USE, /* locked by another VM, or the block device is mounted or claimed */
	IMAGE_E_KIND,   /* neither a regular file nor a block device */
	IMAGE_E_EMPTY,  /* smaller than one sector */
	IMAGE_E_ACCESS, /* the descriptor cannot be read, or not be written as asked */
};

/* What is wanted. */
struct image_options {
	bool read_only;
	bool direct;          /* bypass the page cache, where the image can */
	bool unlocked;        /* neither locked nor claimed: somebody else has it, and lets it go */
	uint32_t sector_size; /* bytes the guest will address by: 512, 2048 or 4096 */
};

/* What is to be had. */
struct image {
	int fd;
	bool block_device;
	bool read_only;
	bool direct;                 /* every transfer obeys the two alignments */
	uint32_t memory_alignment;   /* of each buffer's address; 1 unless direct */
	uint32_t transfer_alignment; /* of each offset and length; 1 unless direct */
	uint32_t physical_block_size;
	bool discard;  /* ranges can be given back: fallocate(2) with FALLOC_FL_PUNCH_HOLE */
	uint64_t size; /* bytes, a multiple of the sector size: what is left over is not used */
};

/*
 * Opens and locks the image. The caller owns ret_image->fd. Return: 0; IMAGE_E_; -errno.
 */
int image_open(const char *path, const struct image_options *options,
	       struct image *ret_image) MUST_CHECK;

/*
 * The same for an image that image_open() has found in use, and that is to be written: whoever may
 * read a file can lock it against writers. It is opened if nobody has it open for writing, as the
 * file's owner can find out of a regular file; and locked so that no writer comes after us. Whether
 * the readers are others of one's own, the caller has to know. Return: 0; IMAGE_E_; -errno.
 */
int image_open_beside_readers(const char *path, const struct image_options *options,
			      struct image *ret_image) MUST_CHECK;

/*
 * The same for a descriptor that somebody has opened elsewhere and passed: it is locked, and made
 * to bypass the page cache if that is wanted. They share the lock and may give it up, to their own
 * disadvantage; a block device cannot be claimed any more. The caller keeps fd, which ret_image->fd
 * repeats. Return: 0; IMAGE_E_; -errno.
 */
int image_adopt(int fd, const struct image_options *options, struct image *ret_image) MUST_CHECK;

/*
 * The same for a descriptor that image_open() made, perhaps in another process: opens and locks
 * nothing. options->direct is ignored, since the descriptor tells. The caller keeps fd, which
 * ret_image->fd repeats. Return: 0; IMAGE_E_; -errno.
 */
int image_examine(int fd, const struct image_options *options, struct image *ret_image) MUST_CHECK;

/* What an IMAGE_E_ code or a negative errno of the above says to a person. Static text. */
const char *image_error_text(int error);

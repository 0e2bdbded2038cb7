/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest sees of a disk image that nobody uses: read, mapped, and written to a new image.
 *
 * Raw and VHDX images, and VHDs that are new; others have programs of their own
 * (vmms/disk/qemu_img.h). Functions wait for the file. Everything in an image is taken for hostile: memory is bounded, whatever it claims.
 *
 * Thread: any; one at a time for each object.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/image/image_format.h"
#include "common/image/vhdx_reader.h"

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_RAW_MAX (UINT64_C(1) << 62) /* bytes of a raw image: what offsets of files allow */

struct image_content;

/*
 * fd: borrowed, open for reading, and for writing where `writable`: a log is replayed then. Return:
 * 0; VHDX_E_ (vhdx_error_text()); -ENOTSUP: of another format, or one that stands on a parent;
 * -errno.
 */
int image_content_open(int fd, enum image_format format, bool writable,
		       struct image_content **ret_content) MUST_CHECK;
void image_content_free(struct image_content *content);

/*
 * The same of a VHDX that stands on another. parent: what it stands on; taken over, also on failure;
 * NULL: of the image alone, what the parent has being CONTENT_PARENT. Return: 0; VHDX_E_PARENT also if
 * it is not its parent; -ENOTSUP: it stands on none; -errno.
 */
int image_content_open_child(int fd, bool writable, struct image_content *parent,
			     struct image_content **ret_content) MUST_CHECK;
DEFINE_CLEANUP(struct image_content *, image_content_free)

/* Bytes that the guest sees. */
uint64_t image_content_size(const struct image_content *content);

/* What a VHDX image says of itself; NULL: it is of another format. */
const struct vhdx *image_content_vhdx(const struct image_content *content);

/* What is at an offset, which is below the size. Return: 0; VHDX_E_; -errno. */
int image_content_find(struct image_content *content, uint64_t offset,
		       struct content_run *ret_run) MUST_CHECK;

/* Reads bytes of a run of CONTENT_DATA. Return: 0; VHDX_E_; -errno. */
int image_content_read_run(const struct content_run *run, uint64_t skipped, void *buffer,
			   size_t size) MUST_CHECK;

/* Reads any bytes below the size. Return: 0; VHDX_E_; -errno. */
int image_content_read(struct image_content *content, uint64_t offset, void *buffer,
		       size_t size) MUST_CHECK;

struct image_content_options {
	enum image_format format;
	uint64_t size;                                          /* whole sectors */
	uint32_t block_size, sector_size, physical_sector_size; /* of VHDX */
	bool fixed; /* all of its space is taken from the beginning */
};

/*
 * Makes a new image in an empty file, open for reading and writing. Until it has been ended it is
 * worth nothing after a crash; a VHD can only be written. Return: 0; -EINVAL: there can be no such
 * image; -ENOTSUP; -errno.
 */
int image_content_make(int fd, const struct image_content_options *options,
		       struct image_content **ret_content) MUST_CHECK;

/* Writes into a new image. Return: 0; -errno. */
int image_content_write(struct image_content *content, uint64_t offset, const void *buffer,
			size_t size) MUST_CHECK;

/* A new image is complete, and durable. Return: 0; -errno. */
int image_content_end(struct image_content *content) MUST_CHECK;

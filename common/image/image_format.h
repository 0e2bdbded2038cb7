/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Formats of disk images: their names, and what the head of a file says.
 *
 * An image may be of a format that a server reads (vmms/image/image_server.h). Of which is known
 * from the VM's definition: a file whose bytes were written by a guest is never asked what it is.
 * The head is looked at for two things: when somebody names an image without its format, to write
 * down what it is; and each time before it is used, whether it is of that format, and which other
 * files it names, which the server gets as it gets the image (vmms/image/image_chain.h).
 *
 * Sources: QEMU's docs/interop/qcow2.txt; the VHD specification 1.0; MS-VHDX; the Virtual Disk
 * Format 5.0 specification of VMDK.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_format {
	IMAGE_RAW,
	IMAGE_QCOW2,
	IMAGE_VHD,
	IMAGE_VHDX,
	IMAGE_VMDK,
};

/* As in definitions; and as QEMU calls them. Both closed by NULL. */
extern const char *const image_format_names[];
extern const char *const image_format_drivers[];

/* Return: the format of that name; -1: there is none. */
int image_format_find(const char *name);

/* Whether the worker reads and writes such images itself; others have a server. NULL: raw. */
bool image_format_is_native(const char *name);

enum {
	_IMAGE_FORMAT_E_OK,
	IMAGE_FORMAT_E_OTHER,    /* it is not of the format that it should be */
	IMAGE_FORMAT_E_NAMES,    /* it names another file in a way that no server can follow; the
				    worker can, if it is VHD or VHDX */
	IMAGE_FORMAT_E_UNKNOWN,  /* it names a backing file, and none of these formats for that */
	IMAGE_FORMAT_E_PROTOCOL, /* what it names is no path: "nbd://host", "json:{}" */
	IMAGE_FORMAT_E_BROKEN,   /* its head makes no sense */
};

#define IMAGE_PATH_MAX  1024 /* bytes, with the NUL: as long as QEMU lets them be */
#define IMAGE_NAMED_MAX 256

/*
 * What an image names, without which it is not whole. Whoever made the image has chosen that, or
 * whoever else may write the file; its guest has not, whose writes a server puts elsewhere.
 */
struct image_names {
	char backing[IMAGE_PATH_MAX]; /* the path of its backing file, any bytes; "": none */
	enum image_format backing_format;
	char data[IMAGE_PATH_MAX];   /* the path of the file with its data; "": they are in it */
	char named[IMAGE_NAMED_MAX]; /* either, or a word of ours for it, in printable ASCII */
};

/*
 * Where the bytes come from. read: so many bytes, or fewer at the end of the image. Return: bytes;
 * -errno.
 */
struct image_bytes {
	int (*read)(const struct image_bytes *bytes, uint64_t offset, void *buffer, size_t size);
	uint64_t size; /* of the whole image */
	int fd;
	const uint8_t *memory;
};

/* Of a descriptor that can be read; of memory. */
struct image_bytes image_bytes_of_file(int fd, uint64_t size);
struct image_bytes image_bytes_of_memory(const void *memory, size_t size);

/* What it is by its head; IMAGE_RAW if by none. Return: 0; -errno. */
int image_format_detect(const struct image_bytes *bytes, enum image_format *ret_format) MUST_CHECK;

/*
 * Whether it is of that format, and what it names. *ret_names counts if it is 0; ret_names->named
 * always: "" if it names nothing. Return: 0; IMAGE_FORMAT_E_; -errno.
 */
int image_format_check(const struct image_bytes *bytes, enum image_format format,
		       struct image_names *ret_names) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest file copy: the host writes a file into the guest's file system, piece by piece.
 *
 * The guest sends each message back, the outcome in the header's status. There is no checksum.
 * Source: Linux include/uapi/linux/hyperv.h (struct hv_start_fcopy, struct hv_do_fcopy),
 * drivers/hv/hv_fcopy.c, tools/hv/hv_fcopy_daemon.c, tools/hv/hv_fcopy_uio_daemon.c (which finds
 * the channel by its instance).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define IC_FILE_COPY_TYPE \
	GUID(0x34d14be3, 0xdee4, 0x41c8, 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92)
#define IC_FILE_COPY_INSTANCE \
	GUID(0xeb765408, 0x105f, 0x49b6, 0xb4, 0xaa, 0xc1, 0x23, 0xb6, 0x4d, 0x17, 0xd4)

enum ic_file_copy_operation {
	IC_FILE_COPY_START = 0,
	IC_FILE_COPY_WRITE = 1,
	IC_FILE_COPY_COMPLETE = 2,
	IC_FILE_COPY_CANCEL = 3, /* the guest removes what it has */
};

#define IC_FILE_COPY_OVERWRITE   1u
#define IC_FILE_COPY_CREATE_PATH 2u

/* Statuses beside IC_STATUS_OK and IC_STATUS_FAIL. */
#define IC_FILE_COPY_STATUS_EXISTS    0x80070050u
#define IC_FILE_COPY_STATUS_DISK_FULL 0x80070070u

/*
 * All of IC_FILE_COPY_COMPLETE and IC_FILE_COPY_CANCEL: Linux up to 6.9 hands these to its daemon
 * as long as they are, which has room for no more than a write's body, without the headers.
 */
struct ic_file_copy_header {
	uint32_t operation; /* enum ic_file_copy_operation */
	uint8_t service_ids[2][16];
} PACKED;
_Static_assert(sizeof(struct ic_file_copy_header) == 36, "wire format");

#define IC_FILE_COPY_NAME_MAX 260 /* UTF-16 units with the NUL */

/* IC_FILE_COPY_START */
struct ic_file_copy_start {
	struct ic_file_copy_header header;
	uint16_t name[IC_FILE_COPY_NAME_MAX];   /* of the file */
	uint16_t folder[IC_FILE_COPY_NAME_MAX]; /* where it goes */
	uint32_t flags;
	uint64_t size; /* bytes */
} PACKED;
_Static_assert(sizeof(struct ic_file_copy_start) == 1088, "wire format");

#define IC_FILE_COPY_PIECE_SIZE 6144 /* bytes */

/* IC_FILE_COPY_WRITE */
struct ic_file_copy_write {
	struct ic_file_copy_header header;
	uint32_t reserved;
	uint64_t offset;
	uint32_t size;
	uint8_t data[IC_FILE_COPY_PIECE_SIZE];
} PACKED;
_Static_assert(sizeof(struct ic_file_copy_write) == 6196, "wire format");

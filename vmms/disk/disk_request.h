/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is to be done with the file of a disk, as a caller asks for it: docs/dbus/org.vmms1.Manager.md,
 * WorkOnDisk.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/image/image.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_REQUEST_MAX (16 * 1024) /* bytes of its text */

enum disk_operation {
	DISK_CREATE,
	DISK_INFO,
	DISK_CHECK,
	DISK_CONVERT,
	DISK_RESIZE,
	DISK_COMPACT,
	DISK_MAP,
	DISK_MERGE,
	DISK_REBASE,
};

/* As in requests, closed by NULL. */
extern const char *const disk_operation_names[];

struct disk_request {
	enum disk_operation operation;
	char *path;   /* absolute: of the disk, or of the one that is made */
	char *format; /* NULL: what its head says; of a new one VHDX */
	char *target; /* of convert: the new one */
	char *target_format;
	char *parent;         /* of create, rebase: the VHDX that it is to stand on */
	uint64_t size;        /* of create, resize; 0: none was said, or that of the parent */
	uint64_t block_size;  /* 0: the format's own */
	unsigned sector_size; /* 0: 512 */
	uint64_t offset;      /* of map: where it begins */
	bool fixed;           /* a new one takes all of its space at once */
	bool shrink, repair;
};

/* Return: 0; negative with *failure filled. */
int disk_request_parse(const char *text, struct disk_request **ret_request,
		       struct failure *failure) MUST_CHECK;
void disk_request_free(struct disk_request *request);
DEFINE_CLEANUP(struct disk_request *, disk_request_free)

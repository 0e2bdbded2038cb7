/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file copy service: the host writes a file into the guest, which keeps it in memory.
 *
 * It keeps one file: the next takes the place of the last as soon as it begins to come, and of one
 * that does not come whole nothing stays. There is one folder; a host that would have others made
 * is not refused. Source: Linux drivers/hv/hv_fcopy.c, tools/hv/hv_fcopy_daemon.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ic_file_copy.h"
#include "guest-vsc/ic_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const struct ic_client_kind ic_file_copy_client_kind;

enum ic_file_copy_client_state {
	IC_FILE_COPY_CLIENT_NONE, /* there is no file */
	IC_FILE_COPY_CLIENT_COMING,
	IC_FILE_COPY_CLIENT_WHOLE,
};

struct ic_file_copy_client {
	struct ic_client ic;

	/* The program's, after ic_client_open(). */
	uint8_t *memory;    /* where the file lies; borrowed */
	size_t room;        /* bytes; a longer file finds the disk full */
	const char *folder; /* that is there, ASCII, with a slash at its end */

	enum ic_file_copy_client_state state;
	uint16_t file_folder[IC_FILE_COPY_NAME_MAX], file_name[IC_FILE_COPY_NAME_MAX];
	uint64_t size, filled;    /* bytes: as the host has said, and that are there */
	uint64_t copies, cancels; /* files that came whole; cancel messages */
};

/* Whether there is a whole file of that path, which is ASCII. */
bool ic_file_copy_client_has(const struct ic_file_copy_client *copy, const char *path);

/* The CRC-32 (IEEE 802.3) of what there is of the file. */
uint32_t ic_file_copy_client_checksum(const struct ic_file_copy_client *copy);

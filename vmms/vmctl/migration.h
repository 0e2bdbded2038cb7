/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What 'vmctl migrate' and the 'vmctl receive' that it runs on the other host say to each other, over
 * standard input and output of the latter:
 *
 *	migrate   a line: {"protocol": 1, "definition": {…}}
 *	receive   a line: {"protocol": 1, "boot_id": "…", "findings": ["…", …]}: what is in the way
 *	migrate   a line: {"protocol": 1}: the VM is to come; or the end, where it was only a check, or
 *	          something is in the way
 *	receive   a line as before: it has made the VM; or what was in the way of that, and the end
 *
 * Then the workers have the stream (vmwp/state/move_stream.h), and receive ends when the VM runs there,
 * or cannot.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#define MIGRATION_PROTOCOL 1
#define MIGRATION_LINE_MAX JSON_SIZE_MAX /* bytes, with the newline */

#define MIGRATION_BOOT_ID_SIZE 64

/*
 * One line; takes over the tree, NULL: for want of memory. SIGPIPE is ignored by the caller. Return:
 * 0; -errno.
 */
int migration_write(int fd, struct json_object *tree) MUST_CHECK;

/*
 * The next line, of which no byte more is read. *ret_tree: an object of this protocol, put by the
 * caller. Return: 0; -ENODATA: the stream ends; -EPROTO: it is no such line, or of another protocol;
 * -errno.
 */
int migration_read(int fd, struct json_object **ret_tree) MUST_CHECK;

/* By which a host is known until it boots again; "" if it does not tell. */
void migration_boot_id(char text[static MIGRATION_BOOT_ID_SIZE]);

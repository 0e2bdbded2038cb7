/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What 'vmctl migrate' and the 'vmctl receive' that it runs on the other host say to each other, over
 * standard input and output of the latter:
 *
 *	migrate   a line: {"protocol": 2, "definition": {…}}
 *	receive   a line: {"protocol": 2, "boot_id": "…", "findings": ["…", …]}: what is in the way
 *	migrate   a line: {"protocol": 2, "way": "tcp"}: the VM is to come so; or the end, where it was
 *	          only a check, or something is in the way
 *	receive   a line as before, with "address", "port" and "key": its vmms waits for the VM there; or
 *	          with "unreachable": why it cannot; or with what was in the way, and the end
 *	migrate   the end, when the VM is there, or nobody is interested any more; or "way": "why", where it
 *	          has not come: then receive says on standard error what it knows of that; or, where vmms
 *	          here has not found the other, as at once with --ssh: a line: {"protocol": 2, "way": "ssh"}: the VM is to come so
 *	receive   a line as before: it has made the VM; or what was in the way of that, and the end
 *
 * Then, by ssh, the workers have the stream (vmwp/state/move_stream.h), and receive ends when the VM runs
 * there, or cannot.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stdint.h>

#define MIGRATION_PROTOCOL 2
#define MIGRATION_LINE_MAX JSON_SIZE_MAX /* bytes, with the newline */

#define MIGRATION_BY_TCP "tcp"
#define MIGRATION_BY_SSH "ssh"
#define MIGRATION_WHY    "why" /* it has not come: what is known there of that? */

#define MIGRATION_BOOT_ID_SIZE 64
#define MIGRATION_KEY_SIZE     32 /* bytes */

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

/* As hexadecimal digits. */
struct json_object *migration_key_to_json(const uint8_t key[static MIGRATION_KEY_SIZE]);

/* Return: 0; -EINVAL. */
int migration_key_parse(const char *text, uint8_t ret_key[static MIGRATION_KEY_SIZE]) MUST_CHECK;

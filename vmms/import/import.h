/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs that were exported from Hyper-V: their configuration, and the definition that is made of it.
 *
 * A configuration is a tree of nodes with names, whose leaves are numbers, texts, truth values and
 * bytes: Windows Server 2016 and later write it as .vmcx, Windows Server 2008 to 2012 R2 as XML.
 * Either is read into the same tree of JSON; bytes are texts of hexadecimal digits there.
 *
 * No file that Hyper-V has written was at hand: docs/import.md says what that means. A file is
 * hostile; what is read of it is bounded by the constants below.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stddef.h>

#define IMPORT_FILE_MAX    (16u * 1024 * 1024) /* bytes */
#define IMPORT_ENTRIES_MAX 16384u              /* nodes and leaves of a tree */
#define IMPORT_DEPTH_MAX   16u
#define IMPORT_TEXT_MAX    65536u /* bytes of one value */

/* What is wrong with a file, for people. */
struct import_error {
	char text[256];
};

/*
 * The file is told by how it begins. Return: 0 with *ret_tree, which is the caller's; -EINVAL with
 * *ret_error filled; -ENOMEM.
 */
int import_read(const void *bytes, size_t size, struct json_object **ret_tree,
		struct import_error *ret_error) MUST_CHECK;

/* What is made of a configuration. */
struct import {
	/* vmms-vm.json(5), but that paths of disks and names of switches are theirs. */
	struct json_object *definition;
	struct json_object *notes; /* texts: what was changed, or could not be taken over */
};

/*
 * Return: 0 with *ret_import, of which the caller frees with import_deinit(); -EINVAL with
 * *ret_error filled: it has nothing that a VM could be made of; -ENOMEM.
 */
int import_make(struct json_object *configuration, struct import *ret_import,
		struct import_error *ret_error) MUST_CHECK;

void import_deinit(struct import *import);

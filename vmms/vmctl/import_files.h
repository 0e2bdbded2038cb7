/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of an export of Hyper-V's: which of them is the configuration, and where the disks are
 * that it names by paths of another host.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

#define IMPORT_FILES_MAX 4096u /* of a folder and those in it; more are not looked at */

struct import_files {
	char **paths;
	size_t count;
};

/*
 * All files of a folder, or of that which a file lies in, without those that symbolic links lead to.
 * An export has its configuration in a folder "Virtual Machines"; then the folder above is what
 * counts. The caller frees with import_files_deinit(). Return: 0; -errno.
 */
int import_files_find(const char *path, struct import_files *ret_files) MUST_CHECK;
void import_files_deinit(struct import_files *files);

/*
 * The configuration: a .vmcx, else an .xml, with a GUID for its name, outside of the folder of
 * checkpoints. Return: 0 with *ret_path, which is borrowed; -ENOENT; -ENOTUNIQ: there are several.
 */
int import_files_configuration(const struct import_files *files, const char **ret_path) MUST_CHECK;

/* The file that Windows' path names, by its last part in either case; NULL: there is none. */
const char *import_files_disk(const struct import_files *files, const char *path);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder of the daemon's own, with one JSON file for each thing in it, NAME.json.
 *
 * A file is replaced as a whole or not at all: what is new is written beside it and made durable
 * (stage), then takes its name in one step (commit). A crash in between leaves the old file, and a
 * leftover that the next folder_open() removes. One daemon at a time has the folder (flock(2)).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOLDER_NAME_MAX 64 /* bytes of a name that is written */

struct folder;

/*
 * Opens the folder `path`/`name`, making what is missing of it. Return: 0; -EBUSY if another daemon
 * has it; -errno.
 */
int folder_open(const char *path, const char *name, struct folder **ret_folder) MUST_CHECK;
void folder_free(struct folder *folder);
DEFINE_CLEANUP(struct folder *, folder_free)

/* The path of the folder; of a file, in memory that the caller frees. */
const char *folder_path(const struct folder *folder);
char *folder_file_path(const struct folder *folder, const char *name);

/* There is a file of that name, whatever it holds. */
bool folder_has(const struct folder *folder, const char *name);

/*
 * Which of the files that have had a name it is: a file that is changed or replaced has another
 * stamp. All 0: there is none.
 */
struct folder_stamp {
	uint64_t device, file, size;
	int64_t seconds, nanoseconds;
};

struct folder_stamp folder_stamp(const struct folder *folder, const char *name);

/*
 * All files, in the order of their names. name: without .json; any bytes. Return: 0; the first
 * number of `found` that is not; -errno.
 */
int folder_each(struct folder *folder, int (*found)(void *data, const char *name, const char *path),
		void *data) MUST_CHECK;

/*
 * Reads a file of less than `size` bytes. Return: 0, the tree is the caller's; -ENOENT; -EINVAL: it
 * is larger, or no JSON; -errno.
 */
int folder_load(const struct folder *folder, const char *name, size_t size,
		struct json_object **ret_tree) MUST_CHECK;

/*
 * Writes a tree beside the file it will replace, for folder_commit() or folder_discard(): one for
 * each name. Return: 0; -errno: nothing has changed.
 */
int folder_stage(struct folder *folder, const char *name, struct json_object *tree) MUST_CHECK;

/*
 * What was staged under that name becomes the file. Return: 0; -errno: the old file, if any, is
 * still it, or, should the folder itself fail, may come back after a power cut.
 */
int folder_commit(struct folder *folder, const char *name) MUST_CHECK;

/* What was staged under that name, if anything, is dropped. */
void folder_discard(struct folder *folder, const char *name);

/* Stage and commit. */
int folder_save(struct folder *folder, const char *name, struct json_object *tree) MUST_CHECK;

/* Return: 0; -ENOENT; -errno. */
int folder_delete(struct folder *folder, const char *name) MUST_CHECK;

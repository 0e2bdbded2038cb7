/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions on disk: one JSON file per VM, NAME.json, in a folder (vmms/base/folder.h) of the
 * daemon's own.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/base/folder.h"

struct store;

/*
 * Opens the folder `path`/vms, making what is missing of it. Return: 0; -EBUSY if another daemon
 * has it; -errno.
 */
int store_open(const char *path, struct store **ret_store) MUST_CHECK;
void store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store_free)

/* The path of the folder; of the file of a VM, in memory that the caller frees. */
const char *store_path(const struct store *store);
char *store_file_path(const struct store *store, const char *name);

/* There is a file of that name, whatever it holds. */
bool store_has(const struct store *store, const char *name);

/*
 * Whether the file of that name is the one that had the stamp, so that nothing is lost if it is
 * replaced: none is lost either if there is none.
 */
bool store_is_same(const struct store *store, const char *name, const struct folder_stamp *stamp);
struct folder_stamp store_stamp(const struct store *store, const char *name);

/* What was found in one file: a definition, which is the callee's to free, or why it is broken. */
struct store_entry {
	const char *name; /* of the file, without .json; borrowed */
	struct folder_stamp stamp;
	struct definition *definition;
	struct json_error error; /* where definition is NULL */
};

/*
 * Reads all files, in the order of their names. Return: 0; the first callback that is not; -errno.
 */
int store_load(struct store *store, int (*found)(void *data, struct store_entry *entry),
	       void *data) MUST_CHECK;

/*
 * Writes a definition beside the file it will replace, for store_commit() or store_discard(): one
 * for each VM. Return: 0; -errno: nothing has changed.
 */
int store_stage(struct store *store, const struct definition *definition) MUST_CHECK;

/*
 * The staged definition of that name becomes the file. Return: 0; -errno: the old file, if any, is
 * still it, or, should the folder itself fail, may come back after a power cut.
 */
int store_commit(struct store *store, const char *name) MUST_CHECK;

/* The staged definition of that name, if any, is dropped. */
void store_discard(struct store *store, const char *name);

/* Stage and commit. */
int store_save(struct store *store, const struct definition *definition) MUST_CHECK;

/* Return: 0; -ENOENT; -errno. */
int store_delete(struct store *store, const char *name) MUST_CHECK;

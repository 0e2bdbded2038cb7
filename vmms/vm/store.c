/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions on disk: the folder's files, read and checked. */
#include "vmms/vm/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert(DEFINITION_NAME_MAX <= FOLDER_NAME_MAX, "names of VMs are names of files");

struct store {
	struct folder *folder;
};

int store_open(const char *path, struct store **ret_store)
{
	CLEANUP(store_freep) struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	r = folder_open(path, "vms", &store->folder);
	if (r < 0)
		return r;
	*ret_store = TAKE_PTR(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	folder_free(store->folder);
	free(store);
}

const char *store_path(const struct store *store)
{
	return folder_path(store->folder);
}

char *store_file_path(const struct store *store, const char *name)
{
	return folder_file_path(store->folder, name);
}

bool store_has(const struct store *store, const char *name)
{
	return folder_has(store->folder, name);
}

struct folder_stamp store_stamp(const struct store *store, const char *name)
{
	return folder_stamp(store->folder, name);
}

bool store_is_same(const struct store *store, const char *name, const struct folder_stamp *stamp)
{
	const struct folder_stamp none = { 0 }, now = folder_stamp(store->folder, name);

	return memcmp(&now, &none, sizeof(now)) == 0 || memcmp(&now, stamp, sizeof(now)) == 0;
}

/* ---- Reading ---- */

static void store_entry_fail(struct store_entry *entry, const char *key, const char *message)
{
	definition_free(TAKE_PTR(entry->definition));
	entry->error = (struct json_error){ 0 };
	snprintf(entry->error.key, sizeof(entry->error.key), "%s", key);
	snprintf(entry->error.message, sizeof(entry->error.message), "%s", message);
}

/* What a definition must have to be the file of that name. */
static void store_entry_check(struct store_entry *entry)
{
	if (strcmp(entry->definition->name, entry->name) != 0)
		store_entry_fail(entry, "name", "must be the name of the file, without .json");
	else if (guid_is_null(&entry->definition->uuid))
		store_entry_fail(entry, "uuid", "is missing; uuidgen(1) makes one");
}

struct load {
	struct store *store;
	int (*found)(void *data, struct store_entry *entry);
	void *data;
};

static int store_load_file(void *data, const char *name, const char *path)
{
	const struct load *load = data;
	struct store_entry entry = { .name = name, .stamp = store_stamp(load->store, name) };
	int r;

	r = definition_load(path, &entry.definition, &entry.error);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT)
		return 0; /* deleted meanwhile */
	if (r == 0)
		store_entry_check(&entry);
	else if (r != -EINVAL)
		store_entry_fail(&entry, "", strerror(-r));
	return load->found(load->data, &entry);
}

int store_load(struct store *store, int (*found)(void *data, struct store_entry *entry), void *data)
{
	return folder_each(store->folder, store_load_file, &(struct load){ store, found, data });
}

/* ---- Writing ---- */

int store_stage(struct store *store, const struct definition *definition)
{
	AUTO_JSON struct json_object *tree = definition_to_json(definition);

	return tree ? folder_stage(store->folder, definition->name, tree) : -ENOMEM;
}

int store_commit(struct store *store, const char *name)
{
	return folder_commit(store->folder, name);
}

void store_discard(struct store *store, const char *name)
{
	folder_discard(store->folder, name);
}

int store_save(struct store *store, const struct definition *definition)
{
	int r;

	r = store_stage(store, definition);
	if (r < 0)
		return r;
	r = store_commit(store, definition->name);
	if (r < 0)
		store_discard(store, definition->name);
	return r;
}

int store_delete(struct store *store, const char *name)
{
	return folder_delete(store->folder, name);
}

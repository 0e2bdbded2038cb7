/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions on disk, replaced atomically. */
#include "vmms/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define SUFFIX        ".json"
#define STAGED_SUFFIX ".staged"
#define FILE_MODE     0600
#define FOLDER_MODE   0700

struct store {
	char *path;
	int folder; /* of the files; also holds the lock */
};

/* File names inside the folder. A staged one begins with a dot, which no name of a VM does. */
struct file_name {
	char text[DEFINITION_NAME_MAX + 16];
};

static struct file_name file_name(const char *name)
{
	struct file_name file;

	snprintf(file.text, sizeof(file.text), "%.*s" SUFFIX, DEFINITION_NAME_MAX, name);
	return file;
}

static struct file_name staged_name(const char *name)
{
	struct file_name file;

	snprintf(file.text, sizeof(file.text), ".%.*s" STAGED_SUFFIX, DEFINITION_NAME_MAX, name);
	return file;
}

static int make_folders(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s/", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, FOLDER_MODE) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static bool ends_in(const char *text, const char *suffix)
{
	size_t length = strlen(text), suffix_length = strlen(suffix);

	return length > suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

static int is_staged_file(const struct dirent *entry)
{
	return entry->d_name[0] == '.' && ends_in(entry->d_name, STAGED_SUFFIX);
}

/* Leftovers of a daemon that was killed before it committed. */
static int remove_staged(struct store *store)
{
	struct dirent **files;
	int count, r = 0;

	count = scandir(store->path, &files, is_staged_file, NULL);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (unlinkat(store->folder, files[i]->d_name, 0) < 0)
			r = -errno;
		free(files[i]);
	}
	free(files);
	return r;
}

int store_open(const char *path, struct store **ret_store)
{
	CLEANUP(store_freep) struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	store->folder = -1;
	if (asprintf(&store->path, "%s/vms", path) < 0) {
		store->path = NULL;
		return -ENOMEM;
	}
	r = make_folders(store->path);
	if (r < 0)
		return r;
	store->folder = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->folder < 0)
		return -errno;
	if (flock(store->folder, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = remove_staged(store);
	if (r < 0)
		return r;
	*ret_store = TAKE_PTR(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	close_fdp(&store->folder);
	free(store->path);
	free(store);
}

const char *store_path(const struct store *store)
{
	return store->path;
}

char *store_file_path(const struct store *store, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s" SUFFIX, store->path, name) < 0 ? NULL : path;
}

bool store_has(const struct store *store, const char *name)
{
	return faccessat(store->folder, file_name(name).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- Reading ---- */

static int is_definition_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && ends_in(entry->d_name, SUFFIX);
}

static void entry_fail(struct store_entry *entry, const char *key, const char *message)
{
	definition_free(TAKE_PTR(entry->definition));
	entry->error = (struct json_error){ 0 };
	snprintf(entry->error.key, sizeof(entry->error.key), "%s", key);
	snprintf(entry->error.message, sizeof(entry->error.message), "%s", message);
}

/* What a definition must have to be the file of that name. */
static void entry_check(struct store_entry *entry)
{
	if (strcmp(entry->definition->name, entry->name) != 0)
		entry_fail(entry, "name", "must be the name of the file, without .json");
	else if (guid_is_null(&entry->definition->uuid))
		entry_fail(entry, "uuid", "is missing; uuidgen(1) makes one");
}

static int load_file(struct store *store, const char *file,
		     int (*found)(void *data, struct store_entry *entry), void *data)
{
	AUTO_FREE char *name = strndup(file, strlen(file) - strlen(SUFFIX));
	AUTO_FREE char *path = name ? store_file_path(store, name) : NULL;
	struct store_entry entry = { .name = name };
	int r;

	if (!path)
		return -ENOMEM;
	r = definition_load(path, &entry.definition, &entry.error);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT)
		return 0; /* deleted meanwhile */
	if (r == 0)
		entry_check(&entry);
	else if (r != -EINVAL)
		entry_fail(&entry, "", strerror(-r));
	return found(data, &entry);
}

int store_load(struct store *store, int (*found)(void *data, struct store_entry *entry), void *data)
{
	struct dirent **files;
	int count, r = 0;

	count = scandir(store->path, &files, is_definition_file, alphasort);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = load_file(store, files[i]->d_name, found, data);
		free(files[i]);
	}
	free(files);
	return r;
}

/* ---- Writing ---- */

static int write_all(int fd, const char *text, size_t size)
{
	ssize_t n;

	while (size > 0) {
		n = write(fd, text, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_durably(int fd, struct json_object *tree)
{
	const char *text;
	int r;

	text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	r = write_all(fd, text, strlen(text));
	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int store_stage(struct store *store, const struct definition *definition)
{
	AUTO_JSON struct json_object *tree = definition_to_json(definition);
	AUTO_CLOSE int fd = -1;
	int r;

	if (!tree)
		return -ENOMEM;
	fd = openat(store->folder, staged_name(definition->name).text,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return -errno;
	r = write_durably(fd, tree);
	if (r < 0)
		store_discard(store, definition->name);
	return r;
}

int store_commit(struct store *store, const char *name)
{
	if (renameat(store->folder, staged_name(name).text, store->folder, file_name(name).text) <
		    0 ||
	    fsync(store->folder) < 0)
		return -errno;
	return 0;
}

void store_discard(struct store *store, const char *name)
{
	unlinkat(store->folder, staged_name(name).text, 0);
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
	if (unlinkat(store->folder, file_name(name).text, 0) < 0 || fsync(store->folder) < 0)
		return -errno;
	return 0;
}

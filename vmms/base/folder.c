/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of JSON files, replaced atomically. */
#include "vmms/base/folder.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "vmms/base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define SUFFIX        ".json"
#define STAGED_SUFFIX ".staged"
#define FILE_MODE     0600
#define LOCK_TRIES    50 /* in a second */
#define FOLDER_MODE   0700

struct folder {
	char *path;
	int fd; /* also holds the lock */
};

/* File names inside the folder. A staged one begins with a dot, which no name does. */
struct file_name {
	char text[FOLDER_NAME_MAX + 16];
};

static struct file_name folder_file_name(const char *name)
{
	struct file_name file;

	snprintf(file.text, sizeof(file.text), "%.*s" SUFFIX, FOLDER_NAME_MAX, name);
	return file;
}

static struct file_name folder_staged_name(const char *name)
{
	struct file_name file;

	snprintf(file.text, sizeof(file.text), ".%.*s" STAGED_SUFFIX, FOLDER_NAME_MAX, name);
	return file;
}

static int folder_make_folders(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s/", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, FOLDER_MODE) < 0 && errno != EEXIST)
			return error_origin(-errno);
		*slash = '/';
	}
	return 0;
}

static bool folder_ends_in(const char *text, const char *suffix)
{
	size_t length = strlen(text), suffix_length = strlen(suffix);

	return length > suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

static int folder_is_staged_file(const struct dirent *entry)
{
	return entry->d_name[0] == '.' && folder_ends_in(entry->d_name, STAGED_SUFFIX);
}

/* Leftovers of a daemon that was killed before it committed. */
static int folder_remove_staged(struct folder *folder)
{
	struct dirent **files;
	int count, r = 0;

	count = scandir(folder->path, &files, folder_is_staged_file, NULL);
	if (count < 0)
		return error_origin(-errno);
	for (int i = 0; i < count; i++) {
		if (unlinkat(folder->fd, files[i]->d_name, 0) < 0)
			r = -errno;
		free(files[i]);
	}
	free(files);
	return r;
}

/*
 * For a moment after a daemon was killed, a process that it was just about to start may still hold
 * what the daemon had open.
 */
static int folder_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = 1000000000 / LOCK_TRIES };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return error_origin(-errno);
		(void)nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

int folder_open(const char *path, const char *name, struct folder **ret_folder)
{
	CLEANUP(folder_freep) struct folder *folder = calloc(1, sizeof(*folder));
	int r;

	if (!folder)
		return -ENOMEM;
	folder->fd = -1;
	if (asprintf(&folder->path, "%s/%s", path, name) < 0) {
		folder->path = NULL;
		return -ENOMEM;
	}
	r = folder_make_folders(folder->path);
	if (r < 0)
		return r;
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return error_origin(-errno);
	r = folder_lock(folder->fd);
	if (r < 0)
		return r;
	r = folder_remove_staged(folder);
	if (r < 0)
		return r;
	*ret_folder = TAKE_PTR(folder);
	return 0;
}

void folder_free(struct folder *folder)
{
	if (!folder)
		return;
	close_fdp(&folder->fd);
	free(folder->path);
	free(folder);
}

const char *folder_path(const struct folder *folder)
{
	return folder->path;
}

char *folder_file_path(const struct folder *folder, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s" SUFFIX, folder->path, name) < 0 ? NULL : path;
}

int folder_load(const struct folder *folder, const char *name, size_t size,
		struct json_object **ret_tree)
{
	AUTO_FREE char *text = malloc(size);
	AUTO_CLOSE int fd = -1;
	struct json_error error;
	ssize_t got;

	if (!text)
		return -ENOMEM;
	fd = openat(folder->fd, folder_file_name(name).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	got = read(fd, text, size);
	if (got < 0)
		return error_origin(-errno);
	return (size_t)got == size ? -EINVAL : json_parse(text, (size_t)got, ret_tree, &error);
}

bool folder_has(const struct folder *folder, const char *name)
{
	return faccessat(folder->fd, folder_file_name(name).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

struct folder_stamp folder_stamp(const struct folder *folder, const char *name)
{
	struct stat status;

	if (fstatat(folder->fd, folder_file_name(name).text, &status, 0) < 0)
		return (struct folder_stamp){ 0 };
	return (struct folder_stamp){ .device = status.st_dev,
				      .file = status.st_ino,
				      .size = (uint64_t)status.st_size,
				      .seconds = status.st_mtim.tv_sec,
				      .nanoseconds = status.st_mtim.tv_nsec };
}

/* ---- Reading ---- */

static int folder_is_file_of_ours(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && folder_ends_in(entry->d_name, SUFFIX);
}

static int folder_found_file(struct folder *folder, const char *file,
			     int (*found)(void *data, const char *name, const char *path),
			     void *data)
{
	AUTO_FREE char *name = strndup(file, strlen(file) - strlen(SUFFIX));
	AUTO_FREE char *path = name ? folder_file_path(folder, name) : NULL;

	return path ? found(data, name, path) : -ENOMEM;
}

int folder_each(struct folder *folder, int (*found)(void *data, const char *name, const char *path),
		void *data)
{
	struct dirent **files;
	int count, r = 0;

	count = scandir(folder->path, &files, folder_is_file_of_ours, alphasort);
	if (count < 0)
		return error_origin(-errno);
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = folder_found_file(folder, files[i]->d_name, found, data);
		free(files[i]);
	}
	free(files);
	return r;
}

/* ---- Writing ---- */

static int folder_write_durably(int fd, struct json_object *tree)
{
	const char *text;
	int r;

	text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	r = file_write_all(fd, text, strlen(text));
	if (r == 0)
		r = file_write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int folder_stage(struct folder *folder, const char *name, struct json_object *tree)
{
	AUTO_CLOSE int fd = -1;
	int r;

	fd = openat(folder->fd, folder_staged_name(name).text,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return error_origin(-errno);
	fault_point(FAULT_FOLDER_OPENED_STAGED);
	r = folder_write_durably(fd, tree);
	if (r < 0)
		folder_discard(folder, name);
	fault_point(FAULT_FOLDER_WROTE_STAGED);
	return r;
}

int folder_commit(struct folder *folder, const char *name)
{
	if (renameat(folder->fd, folder_staged_name(name).text, folder->fd,
		     folder_file_name(name).text) < 0 ||
	    fsync(folder->fd) < 0)
		return error_origin(-errno);
	fault_point(FAULT_FOLDER_COMMITTED);
	return 0;
}

void folder_discard(struct folder *folder, const char *name)
{
	unlinkat(folder->fd, folder_staged_name(name).text, 0);
}

int folder_save(struct folder *folder, const char *name, struct json_object *tree)
{
	int r;

	r = folder_stage(folder, name, tree);
	if (r < 0)
		return r;
	r = folder_commit(folder, name);
	if (r < 0)
		folder_discard(folder, name);
	return r;
}

int folder_delete(struct folder *folder, const char *name)
{
	if (unlinkat(folder->fd, folder_file_name(name).text, 0) < 0 || fsync(folder->fd) < 0)
		return error_origin(-errno);
	fault_point(FAULT_FOLDER_DELETED);
	return 0;
}

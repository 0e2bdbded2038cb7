/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking for the files of an export. */
#include "vmms/vmctl/import_files.h"

#include "common/base/cleanup.h"
#include "common/base/guid.h"

#include <errno.h>
#include <fts.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FOLDERS_DEEP 4

static const char *files_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool files_ends_with(const char *path, const char *end)
{
	size_t size = strlen(path);

	return size >= strlen(end) && strcasecmp(path + size - strlen(end), end) == 0;
}

/* The export's own folder. */
static int files_folder(const char *path, char folder[static PATH_MAX])
{
	struct stat status;

	if (!realpath(path, folder) || stat(folder, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode))
		dirname(folder);
	if (strcasecmp(files_base(folder), "Virtual Machines") == 0)
		dirname(folder);
	return 0;
}

static int files_add(struct import_files *files, const char *path)
{
	files->paths[files->count] = strdup(path);
	if (!files->paths[files->count])
		return -ENOMEM;
	files->count++;
	return 0;
}

int import_files_find(const char *path, struct import_files *ret_files)
{
	char folder[PATH_MAX], *roots[] = { folder, NULL };
	struct import_files files = { .paths = calloc(IMPORT_FILES_MAX, sizeof(*files.paths)) };
	FTS *walk = NULL;
	FTSENT *entry;
	int r;

	r = files.paths ? files_folder(path, folder) : -ENOMEM;
	if (r == 0) {
		walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
		r = walk ? 0 : -errno;
	}
	while (r == 0 && files.count < IMPORT_FILES_MAX && (entry = fts_read(walk))) {
		if (entry->fts_info == FTS_D && entry->fts_level >= FOLDERS_DEEP)
			fts_set(walk, entry, FTS_SKIP);
		else if (entry->fts_info == FTS_F)
			r = files_add(&files, entry->fts_path);
	}
	if (walk)
		fts_close(walk);
	if (r < 0)
		import_files_deinit(&files);
	*ret_files = files;
	return r;
}

void import_files_deinit(struct import_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->paths[i]);
	free(files->paths);
	*files = (struct import_files){ 0 };
}

static bool files_is_configuration(const char *path, const char *end)
{
	const char *base = files_base(path);
	char name[GUID_TEXT_SIZE];
	struct guid guid;

	if (!files_ends_with(path, end) || strcasestr(path, "/Snapshots/"))
		return false;
	snprintf(name, sizeof(name), "%s", base);
	return strlen(base) == GUID_TEXT_SIZE - 1 + strlen(end) && guid_parse(name, &guid) == 0;
}

int import_files_configuration(const struct import_files *files, const char **ret_path)
{
	static const char *const ends[] = { ".vmcx", ".xml" };
	const char *found = NULL;

	for (size_t i = 0; !found && i < ARRAY_SIZE(ends); i++)
		for (size_t j = 0; j < files->count; j++) {
			if (!files_is_configuration(files->paths[j], ends[i]))
				continue;
			if (found)
				return -ENOTUNIQ;
			found = files->paths[j];
		}
	*ret_path = found;
	return found ? 0 : -ENOENT;
}

const char *import_files_disk(const struct import_files *files, const char *path)
{
	const char *last = path;

	for (const char *at = path; *at; at++)
		if (*at == '\\' || *at == '/')
			last = at + 1;
	for (size_t i = 0; i < files->count; i++)
		if (strcasecmp(files_base(files->paths[i]), last) == 0)
			return files->paths[i];
	return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the parent of a differencing image may be. */
#include "common/image/image_parent.h"

#include "common/base/cleanup.h"
#include "common/base/path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int image_parent_beside(const char *child, const char *name, char path[static PATH_MAX])
{
	const char *slash = strrchr(child, '/');
	int folder = slash ? (int)(slash - child) + 1 : 0;

	if (snprintf(path, PATH_MAX, "%.*s%s", folder, child, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	for (char *c = path + folder; *c; c++)
		if (*c == '\\')
			*c = '/';
	return 0;
}

static bool image_parent_is_relative(const char *name)
{
	return name[0] && name[0] != '/' && name[0] != '\\' && name[strcspn(name, ":/\\")] != ':';
}

/* The last part of the first name that there is. */
static const char *image_parent_file(const struct image_parent_names *names)
{
	const char *name = names->relative[0]   ? names->relative
			   : names->absolute[0] ? names->absolute
						: names->volume;

	for (const char *c = name; *c; c++)
		if (*c == '/' || *c == '\\' || *c == ':')
			name = c + 1;
	return name;
}

int image_parent_place(const char *child, const struct image_parent_names *names, unsigned number,
		       char path[static PATH_MAX])
{
	const char *absolute = number == 1 ? names->volume : names->absolute;
	const char *file;

	switch (number) {
	case 0:
		return image_parent_is_relative(names->relative)
			       ? image_parent_beside(child, names->relative, path)
			       : -ENOENT;
	case 1:
	case 2:
		if (absolute[0] != '/')
			return -ENOENT;
		return snprintf(path, PATH_MAX, "%s", absolute) < PATH_MAX ? 0 : -ENAMETOOLONG;
	default:
		file = image_parent_file(names);
		return file[0] ? image_parent_beside(child, file, path) : -ENOENT;
	}
}

int image_parent_find(const char *child, const struct image_parent_names *names,
		      char path[static PATH_MAX])
{
	int found = -ENOENT;

	for (unsigned i = 0; i < IMAGE_PARENT_PLACES; i++) {
		AUTO_CLOSE int path_fd = -1;
		char place[PATH_MAX];
		struct stat status;
		int r = image_parent_place(child, names, i, place);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		path_fd = path_look(place, &status);
		if (path_fd < 0 && found == 0)
			continue;
		strcpy(path, place);
		found = 0;
		if (path_fd >= 0)
			return 0;
	}
	return found;
}

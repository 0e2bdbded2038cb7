/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a VHDX or VHD image, also one with a parent, for tests.
 *
 * usage: make_image vhd|vhdx PATH MIB [PARENT [RELATIVE [ABSOLUTE]]]
 *
 * The image names its parent as RELATIVE, by default the last part of its path, and as ABSOLUTE.
 */
#include "common/base/cleanup.h"
#include "common/image/vhd.h"
#include "common/image/vhdx.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parent {
	const char *path, *relative, *absolute;
};

static void copy(char text[static VHDX_PATH_MAX], const char *from)
{
	snprintf(text, VHDX_PATH_MAX, "%s", from);
}

static int make_vhdx(struct vhdx_file *file, uint64_t size, const struct parent *parent)
{
	struct vhdx_parent named = { .linkage = { { 0 } } };
	const struct vhdx_options options = { .size = size,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 4096,
					      .parent = parent ? &named : NULL };

	if (parent) {
		AUTO_CLOSE int fd = open(parent->path, O_RDONLY | O_CLOEXEC);
		struct vhdx_patches patches;
		struct vhdx below;
		uint64_t most;
		int r = vhdx_open_fd(fd, false, &below, &patches, &most);

		if (r)
			return r;
		named.linkage = below.header.data_write;
		copy(named.relative, parent->relative);
		copy(named.absolute, parent->absolute);
	}
	return vhdx_make(file, &options);
}

static int make_vhd(struct vhdx_file *file, uint64_t size, const struct parent *parent)
{
	struct vhd_parent named = { .id = { 0 } };
	const struct vhd_options options = { .size = size,
					     .block_size = VHD_BLOCK,
					     .parent = parent ? &named : NULL };

	if (parent) {
		AUTO_CLOSE int fd = open(parent->path, O_RDONLY | O_CLOEXEC);
		struct vhd below;
		uint64_t most;
		int r = vhd_open_fd(fd, &below, &most);

		if (r)
			return r;
		memcpy(named.id, below.id, sizeof(named.id));
		copy(named.relative, parent->relative);
		copy(named.absolute, parent->absolute);
		copy(named.name, parent->relative);
	}
	return vhd_make(file, &options);
}

int main(int argc, char *argv[])
{
	struct parent parent = { .relative = "", .absolute = "" };
	struct vhdx_file file;
	AUTO_CLOSE int fd = -1;
	uint64_t size;

	if (argc < 4)
		return 2;
	fd = open(argv[2], O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	file = vhdx_file_of(&fd, 0);
	size = strtoull(argv[3], NULL, 10) << 20;
	if (argc > 4) {
		const char *slash = strrchr(argv[4], '/');

		parent.path = argv[4];
		parent.relative = argc > 5 ? argv[5] : slash ? slash + 1 : argv[4];
		parent.absolute = argc > 6 ? argv[6] : "";
	}
	return (strcmp(argv[1], "vhd") == 0 ? make_vhd : make_vhdx)(&file, size,
								    argc > 4 ? &parent : NULL) != 0;
}

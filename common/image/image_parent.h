/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the parent of a differencing image may be.
 *
 * VHD and VHDX name it as Windows does: by a path from the child's folder, by one from a volume, and
 * by one with a drive's letter. The last two mean nothing here, unless they are paths of this host;
 * but images that have come from another host usually lie beside each other.
 *
 * Sources: MS-VHDX, 2.6.2.6; the VHD specification 1.0, "Dynamic Disk Header Format".
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <limits.h>
#include <stddef.h>

/* As the child has them, in the order in which they count; "": not in that way. */
struct image_parent_names {
	const char *relative, *volume, *absolute;
};

#define IMAGE_PARENT_PLACES 4u /* to be tried, one after the other */

/*
 * One of these places. child: the path of the image. Return: 0; -ENOENT: nothing is named so, and
 * the next counts; -ENAMETOOLONG.
 */
int image_parent_place(const char *child, const struct image_parent_names *names, unsigned number,
		       char path[static PATH_MAX]) MUST_CHECK;

/* The first of these places where something is; the first of all, if nothing is anywhere. Return: as above. */
int image_parent_find(const char *child, const struct image_parent_names *names,
		      char path[static PATH_MAX]) MUST_CHECK;

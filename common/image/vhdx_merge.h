/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHDX image that is brought into the one that it stands on, and what else is done to chains of
 * images that nobody writes.
 *
 * What the child has of its own is copied to the parent, where it could not be seen before, for the
 * child had it. So at each moment, whatever is lost, the child reads as it did; and from the end on
 * the parent reads as the child. Begun again, it copies all of it again, which changes nothing. Only
 * one image may stand on the parent: others would see what is copied.
 *
 * The parent is another image then (its DataWriteGuid): the child is told of that before, as the one
 * that its parent may also be (parent_linkage2), and keeps its own, so that those that stand on it
 * do not notice.
 *
 * Source: MS-VHDX, 2.6.2.6.1.
 *
 * Thread: any.
 */
#pragma once

#include "common/image/vhdx_change.h"

/* All borrowed: as vhdx_open() made them, to be written. */
struct vhdx_merge {
	struct vhdx_file *parent, *child;
	struct vhdx *parent_image, *child_image;
};

/*
 * *ret_moved: bytes that are copied; *ret_room: how many of them the parent has no room for yet.
 * Reads only. Return: 0; VHDX_E_PARENT: it is not the child's; -ENOTSUP: they have not the same
 * size; VHDX_E_; -errno.
 */
int vhdx_merge_measure(const struct vhdx_merge *merge, uint64_t *ret_moved,
		       uint64_t *ret_room) MUST_CHECK;

/* Return: as above; -ECANCELED: so far. */
int vhdx_merge(const struct vhdx_merge *merge, const struct vhdx_follower *follower) MUST_CHECK;

/*
 * The image stands on that parent now, which has the same bytes as the one before; it keeps its
 * DataWriteGuid. Done or not done, whatever happens. `file` and `vhdx` are as vhdx_open() made them,
 * to be written. Return: 0; -EINVAL: the parent cannot be named; VHDX_E_; -errno.
 */
int vhdx_relink(struct vhdx_file *file, struct vhdx *vhdx,
		const struct vhdx_parent *parent) MUST_CHECK;

/* ---- Of descriptors, open for reading and writing (vhdx_merge_file.c) ---- */

/* As vhdx_merge_measure(); logs are replayed before. */
int vhdx_merge_measure_fd(int parent_fd, int child_fd, uint64_t *ret_moved,
			  uint64_t *ret_room) MUST_CHECK;

/* As vhdx_merge(); -ENOSPC, with nothing changed, also if there is not as much room as it takes. */
int vhdx_merge_fd(int parent_fd, int child_fd, const struct vhdx_follower *follower) MUST_CHECK;

/*
 * As vhdx_relink(): `path` leads to the image, `parent` to what it is to stand on. One that stands
 * there already is left alone. Return: also as vhdx_child_name().
 */
int vhdx_relink_fd(int fd, const char *path, int parent_fd, const char *parent) MUST_CHECK;

/* The parent, which is what it was, is found at that path from now on. */
int vhdx_rename_parent_fd(int fd, const char *path, const char *parent) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of vhdx*.c share. */
#pragma once

#include "common/image/vhdx.h"

/* Return: 0; VHDX_E_TRUNCATED; -errno. */
int vhdx_read(const struct vhdx_file *file, uint64_t offset, void *buffer, size_t size) MUST_CHECK;
int vhdx_read_patched(const struct vhdx_file *file, const struct vhdx_patches *patches,
		      uint64_t offset, void *buffer, size_t size) MUST_CHECK;

/* Of structures that begin with a signature and a checksum. */
bool vhdx_is_whole(void *structure, size_t size);
void vhdx_seal(void *structure, size_t size);

/* Fills in what follows from sizes. */
void vhdx_derive(struct vhdx *vhdx);

/* Reads the metadata region. Return: 0; VHDX_E_; -errno. */
int vhdx_metadata_read(const struct vhdx_file *file, const struct vhdx_patches *patches,
		       struct vhdx *vhdx) MUST_CHECK;

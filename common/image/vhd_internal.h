/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of vhd*.c share. */
#pragma once

#include "common/image/vhd.h"

/* As it lies in the file: big-endian. checksum: the field in the structure. */
uint32_t vhd_checksum(const void *structure, size_t size, const uint32_t *checksum);

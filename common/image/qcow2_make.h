/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New qcow2 images without content. Source: QEMU's docs/interop/qcow2.txt.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define QCOW2_MAKE_MAX (UINT64_C(64) << 40) /* bytes of the disk */

/* fd: an empty file, open for writing. Return: 0; -EINVAL: there can be no such image; -errno. */
int qcow2_make(int fd, uint64_t size) MUST_CHECK;

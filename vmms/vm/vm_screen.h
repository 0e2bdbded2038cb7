/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: what its guest shows on its screen.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"

#include <stdint.h>

struct vm;

/*
 * fd: memory with width * height pixels of 4 bytes in rows without gaps, the callee's; -1 with
 * *failure.
 */
typedef void (*vm_picture_fn)(void *data, int fd, uint32_t width, uint32_t height,
			      const struct failure *failure);

/*
 * What is on the screen now; who: of the one who looks, for the log. Return: 0: `done` will be called
 * once; a negative number with *failure filled: it will not.
 */
int vm_take_picture(struct vm *vm, const char *who, vm_picture_fn done, void *data,
		    struct failure *failure) MUST_CHECK;

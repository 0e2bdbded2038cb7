/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: who looks at its guest's screen, and who types there.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"

#include <stdint.h>

struct vm;

#define VM_TYPIST_MAX 64 /* bytes of a user's name that are told apart */

struct vm_screen {
	char typist[VM_TYPIST_MAX]; /* who typed last */
	uint64_t typed_at;          /* CLOCK_BOOTTIME, microseconds; 0: nobody yet */
};

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

/* For the log, that somebody has typed: once a minute of the same user. */
void vm_screen_note_typing(struct vm *vm, const char *who);

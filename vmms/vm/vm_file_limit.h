/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: how large the files may become that its worker writes.
 *
 * A worker that a guest has taken over could have its raw images, which it has open for writing,
 * fill their file systems. So no file that it writes grows beyond the largest of them
 * (RLIMIT_FSIZE, which holds for its io_uring too); the daemon raises that with prlimit(2) for what
 * may grow, by as much as that needs: a larger image that comes, and a core file or a saved VM's
 * file while it is written. Guest memory that is shared is a file, too. The worker cannot raise it: that call is not
 * on its list. Where workers are users of their own this takes CAP_SYS_RESOURCE; without, there is
 * no limit.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"

#include <stdint.h>

#define VM_FILE_LIMIT_NONE UINT64_MAX

struct opened_files;
struct vm;

/* The VM has got its worker, whose guest does not run yet. A host that refuses is logged. */
void vm_file_limit_begin(struct vm *vm, const struct opened_files *opened);

/* The worker is an earlier daemon's: what holds goes on to hold. */
void vm_file_limit_adopt(struct vm *vm);

/* A file of that size comes, and stays. Return: 0; negative with *failure filled. */
int vm_file_limit_raise(struct vm *vm, uint64_t size, struct failure *failure) MUST_CHECK;

/* A file of the guest's memory is about to be written. Return: 0; negative with *failure filled. */
int vm_file_limit_begin_memory(struct vm *vm, struct failure *failure) MUST_CHECK;
void vm_file_limit_end_memory(struct vm *vm);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A core file of the guest (vmwp/control/core_file.h), written while its vps are paused. Pages of
 * zeros become holes of the file.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "vmwp/machine/machine.h"

#include <stdint.h>

struct memory_dump;

struct memory_dump_callbacks {
	/* Bytes of the guest's memory that are in the file, of all that it has. */
	void (*progress)(void *data, uint64_t done, uint64_t size);

	/* Once; result: 0; -ECANCELED; -errno of writing. The dump may be freed then. */
	void (*done)(void *data, int result);
};

/*
 * Whether a dump may go there, which a machine need not be paused for. Return: 0; -EINVAL: it is no
 * empty regular file that is open for writing; -errno.
 */
int memory_dump_check(int fd) MUST_CHECK;

/*
 * Begins. fd: an empty regular file, open for writing; taken over if it succeeds. The machine is
 * borrowed, and is to stay paused or kept until the dump is done; if it does not, the file is of no
 * use, and nothing else happens. Return: 0; MACHINE_E_STATE: the machine is neither; -EINVAL: fd is
 * no such file; -errno.
 */
int memory_dump_new(struct machine *machine, struct loop *loop, int fd,
		    const struct memory_dump_callbacks *callbacks, void *data,
		    struct memory_dump **ret_dump) MUST_CHECK;

/* It is done soon. */
void memory_dump_cancel(struct memory_dump *dump);

/* One that is done, or whose loop has been freed. NULL is allowed. */
void memory_dump_free(struct memory_dump *dump);
DEFINE_CLEANUP(struct memory_dump *, memory_dump_free)

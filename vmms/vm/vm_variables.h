/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the file in which its worker keeps what its firmware, and the system by it, has set:
 * STATE/firmware/UUID.variables. It is made empty by the first start of a VM of generation 2, is the
 * worker's to write (vmwp/machine/variables.h), and goes with the VM.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/firmware/firmware.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the file at most. */
#define VM_VARIABLES_SIZE_MAX (UINT64_C(2) << 20)

struct vm;

/* Whether its worker writes one. */
bool vm_variables_are_kept(const struct vm *vm);

/* Return: 0, and a descriptor for its worker, or -1 where that needs none; -errno. */
int vm_variables_open(const struct vm *vm, int *ret_fd, struct failure *failure) MUST_CHECK;

/*
 * What is in the file now, also while its worker writes there; no file is a new one. Return: the
 * state, with the bytes of a copy that is whole in ret_bytes; a negative number with *failure filled,
 * where the VM keeps none, too.
 */
int vm_variables_read(const struct vm *vm, uint8_t ret_bytes[static VARIABLES_SIZE],
		      struct failure *failure) MUST_CHECK;

/* They are made anew at the next start of the VM, which has to be at rest. Return: as failure_set(). */
int vm_variables_reset(struct vm *vm, struct failure *failure) MUST_CHECK;

/* The VM is deleted. A file that stays is in nobody's way: ids do not come again. */
void vm_variables_delete(const struct vm *vm);

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

/* The VM is deleted. A file that stays is in nobody's way: ids do not come again. */
void vm_variables_delete(const struct vm *vm);

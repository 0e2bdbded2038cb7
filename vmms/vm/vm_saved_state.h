/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its saved state, and what is written down of that.
 *
 * A VM is saved as long as there is STATE/saved/UUID.json: with the definition by which it ran, and
 * what its disks' images were when its worker had ended. Its memory and devices are in UUID.state,
 * in that folder or where the setting says. The former is written last and removed first, so that
 * what is in the latter never goes on twice.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct opened_files;
struct vm;

struct vm_saved_state {
	bool exists;               /* it is written down */
	uint64_t saved_at;         /* CLOCK_REALTIME, microseconds */
	unsigned checkpoint;       /* whose the file is, which stays with that; 0: it is the VM's */
	struct json_object *files; /* images of disks as they were; NULL: not known */
};

void vm_saved_state_deinit(struct vm_saved_state *state);

void vm_saved_state_path(const struct vm *vm, char path[PATH_MAX]);

/* The same of a checkpoint. */
void vm_saved_state_checkpoint_path(const struct vm *vm, unsigned id, char path[PATH_MAX]);

/*
 * Reads what an earlier daemon has written down; a VM that is saved gets the definition by which it
 * ran, and what it has is pending.
 */
void vm_saved_state_load(struct vm *vm);

/* The VM is saved from now on. Return: 0; -errno: it is not. */
int vm_saved_state_commit(struct vm *vm) MUST_CHECK;

/* The same with what a checkpoint has. */
int vm_saved_state_take_checkpoint(struct vm *vm, unsigned id) MUST_CHECK;

/* Its worker has ended: nobody writes to its disks any more, which look like that. */
void vm_saved_state_note_files(struct vm *vm, const struct opened_files *opened);

/* Whether the disks are as they were. Return: 0; negative with *failure filled. */
int vm_saved_state_check_files(const struct vm *vm, const struct opened_files *opened,
			       struct failure *failure) MUST_CHECK;

/*
 * The VM is not saved any more: it runs again, or somebody wants that. The file is removed when
 * there is time. Return: 0; negative with *failure filled: it still is.
 */
int vm_saved_state_forget(struct vm *vm, struct failure *failure) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its checkpoints.
 *
 * They have the definition and the disks, and, if that was wanted of a VM that ran, its memory and
 * devices; of a VM that runs, the disks go on in their children at one instant (vm_checkpoint_live.c). STATE/checkpoints/UUID.json has the tree (vmms/vm/checkpoints.h). Before files are made for a new one, what the tree is going to
 * be is written down beside what it is; the change is made by the VM's definition, which names the
 * new files from then on: should the daemon be killed, the next one sees by that which of both trees
 * it is. Files that are not needed are removed last.
 *
 * Each verb is an operation of the VM (vmms/vm/vm.h): nothing else is done to the VM meanwhile.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"
#include "vmms/vm/checkpoints.h"
#include "vmms/vm/vm_change.h"

#include <stdbool.h>

struct checkpoint_work;
struct image_fork;
struct vm;

struct vm_checkpoints {
	struct checkpoints *tree;     /* NULL: there are none, and never were */
	bool broken;                  /* what is written down cannot be read, and stays as it is */
	struct checkpoint_work *work; /* what is under way; NULL: nothing */
	struct checkpoint_pending
		*pending;           /* when an earlier daemon ended, until it is known what came
					       of it; NULL: nothing */
	struct image_fork *cleaner; /* removes what is not needed; or NULL */
	struct checkpoint_paths cleaned; /* by that */
	bool lets_go; /* images that are not needed were just open, and are being closed */
};

/* Reads what is written down. */
void vm_checkpoint_load(struct vm *vm);

/* The VM's definition is known: what an earlier daemon has begun is finished, or taken back. */
void vm_checkpoint_settle(struct vm *vm);

/* An earlier daemon has begun something, and that is not settled. */
bool vm_checkpoint_is_unsettled(const struct vm *vm);

/*
 * The VM is off, and nothing is done with it: disks of checkpoints that were deleted are merged, until
 * something is to be done.
 */
void vm_checkpoint_resume(struct vm *vm);

/* What nobody has asked for is not under way any more. */
void vm_checkpoint_give_way(struct vm *vm);

/* The worker has been asked to go on with new images, and has not answered. */
bool vm_checkpoint_is_forking(const struct vm *vm);
void vm_checkpoint_free(struct vm *vm);

/* How many there are. */
unsigned vm_checkpoint_count(const struct vm *vm);

/* NULL: there is none of that number. */
const struct checkpoint *vm_checkpoint_find(const struct vm *vm, unsigned id);

/* {"checkpoints": […], "current": …}: docs/dbus/. NULL without memory. */
struct json_object *vm_checkpoint_describe(const struct vm *vm);

/*
 * A disk that this definition would have a VM write is one of a checkpoint of any VM: that would be
 * worth nothing any more. Return: 0; negative with *failure filled.
 */
int vm_checkpoint_check_disks(const struct vm *vm, const struct definition *definition,
			      struct failure *failure) MUST_CHECK;

/*
 * The verbs: return and `done` as those of vmms/vm/vm.h. name: "": the time; *ret_id: of the new one,
 * which counts if `done` is told of no failure.
 */
int vm_checkpoint_create(struct vm *vm, const char *name, const char *notes,
			 enum definition_checkpoints type, vm_done_fn done, void *data,
			 unsigned *ret_id, struct failure *failure) MUST_CHECK;

/* What the VM's disks and definition are now is lost. */
int vm_checkpoint_apply(struct vm *vm, unsigned id, vm_done_fn done, void *data,
			struct failure *failure) MUST_CHECK;
int vm_checkpoint_delete(struct vm *vm, unsigned id, bool subtree, vm_done_fn done, void *data,
			 struct failure *failure) MUST_CHECK;

/* At once. name, notes: NULL: as it is. Return: 0; negative with *failure filled. */
int vm_checkpoint_change(struct vm *vm, unsigned id, const char *name, const char *notes,
			 struct failure *failure) MUST_CHECK;

/* The VM is going to be deleted. Return: 0; negative with *failure filled: it has checkpoints. */
int vm_checkpoint_forget(struct vm *vm, struct failure *failure) MUST_CHECK;

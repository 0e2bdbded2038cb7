/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of checkpoints (vmms/vm/vm_checkpoint*.c) share among themselves.
 */
#pragma once

#include "vmms/image/image.h"
#include "vmms/vm/vm_checkpoint.h"

/* A verb that is under way. */
struct checkpoint_work {
	struct vm *vm;
	struct checkpoints *next;            /* what the tree becomes; NULL: it is so */
	bool cleaned;                        /* files that are not needed have been looked at */
	struct checkpoint_paths made, below; /* new images, and on what each stands */
	bool settled;                        /* of struct image_fork_request */
	struct image_fork *fork;             /* NULL: not begun, or over */
	char what[CHECKPOINT_NAME_MAX + 64]; /* what is done, for the log */
	vm_done_fn done;                     /* of who asked */
	void *data;
};

/* Of the tree as it is. Return: 0; -ENOMEM. */
int checkpoint_work_new(struct vm *vm, vm_done_fn done, void *data,
			struct checkpoint_work **ret_work) MUST_CHECK;
void checkpoint_work_free(struct checkpoint_work *work);
DEFINE_CLEANUP(struct checkpoint_work *, checkpoint_work_free)

/*
 * vm->change.definition and the work are ready: makes the images, then the change. Return: 0;
 * negative with *failure filled: nothing has happened.
 */
int checkpoint_work_begin(struct vm *vm, struct failure *failure) MUST_CHECK;

/*
 * The operation of a verb, data: the VM. The definition has been changed; failure: but could not be
 * saved, which the next daemon sees.
 */
void checkpoint_work_changed(void *data, const struct failure *failure);

/* r: of checkpoint_save(). Return: negative, with *failure filled. */
int checkpoint_work_refuse_to_save(const struct vm *vm, int r, struct failure *failure);

/*
 * Writes down what the tree is, and, while there is work, what it is going to be. Return: 0; -EFBIG:
 * it is more than could be read again; -errno.
 */
int checkpoint_save(const struct vm *vm) MUST_CHECK;

/* Removes what is not needed; what cannot be done now is done another time. */
void checkpoint_clean(struct vm *vm);

/* The cleaner has ended, or there was nothing for it to do: the work that is there is done. */
void checkpoint_cleaned(struct vm *vm);

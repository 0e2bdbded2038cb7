/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of checkpoints (vmms/vm/vm_checkpoint*.c) share among themselves.
 */
#pragma once

#include "vmms/image/image.h"
#include "vmms/vm/vm_checkpoint.h"

#include <sys/stat.h>

/* What was going to be when an earlier daemon ended. */
struct checkpoint_pending {
	struct checkpoints *tree;
	struct checkpoint_paths made;
};

void checkpoint_pending_free(struct checkpoint_pending *pending);

/* A verb that is under way. */
struct checkpoint_work {
	struct vm *vm;
	struct checkpoints *next;            /* what the tree becomes; NULL: it is so */
	bool cleaned;                        /* files that are not needed have been looked at */
	struct checkpoint_paths made, below; /* new images, and on what each stands */
	bool settled;                        /* of struct image_fork_request */
	bool live;                           /* of a VM that has a worker */
	enum definition_checkpoints type;    /* then */
	bool freezes, frozen, sent;          /* the guest; and the request for the new images */
	struct held_file *files;             /* the new images, which vm->opening.files holds */
	size_t file_count;
	struct saved_file *saved_file; /* for memory and devices, that is being made; or NULL */
	struct file_holder *state;     /* while the worker writes it; or NULL */
	bool saves, saved;             /* it does; it has, and stands still */
	unsigned applied;              /* the checkpoint with memory that the VM becomes; 0: none */
	struct image_fork *fork;       /* NULL: not begun, or over */
	bool merges;                   /* disks, when all else is done */
	bool resumed;                  /* nobody has asked for it: it gives way to who asks */
	struct checkpoint_merge merge; /* that is under way */
	struct image_merge *copying;   /* NULL: none is, or it has ended */
	struct job *job;               /* NULL: nothing has been merged */
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

/* What was begun is taken back, where nothing has happened yet. */
void checkpoint_work_abandon(struct vm *vm, const struct failure *failure);

/* The new images, made of the work's paths. Return: 0; negative with *failure filled. */
int checkpoint_work_fork(struct vm *vm, struct failure *failure) MUST_CHECK;

/*
 * vm_checkpoint_live.c: as checkpoint_work_begin() of a VM that has a worker; the new images are there;
 * and its disks have been exchanged, or never will be.
 */
int checkpoint_live_begin(struct vm *vm, struct failure *failure) MUST_CHECK;
int checkpoint_live_forked(struct vm *vm, struct failure *failure) MUST_CHECK;
void checkpoint_live_thaw(struct vm *vm);
void checkpoint_live_resume(struct vm *vm);

/* The definition names one of those images. */
bool checkpoint_happened(const struct definition *definition, const struct checkpoint_paths *made);

/* r: of checkpoint_save(). Return: negative, with *failure filled. */
int checkpoint_work_refuse_to_save(const struct vm *vm, int r, struct failure *failure);

/*
 * Writes down what the tree is, and, while there is work, what it is going to be. Return: 0; -EFBIG:
 * it is more than could be read again; -errno.
 */
int checkpoint_save(const struct vm *vm) MUST_CHECK;

/* Files with memory of which no checkpoint is any more are removed, sooner or later. */
void checkpoint_clean_states(struct vm *vm);

/* Removes what is not needed; what cannot be done now is done another time. */
void checkpoint_clean(struct vm *vm);

/*
 * vm_checkpoint_merge.c: what can be merged is. Return: whether something is under way, of which
 * checkpoint_cleaned() or checkpoint_work_finish() comes.
 */
bool checkpoint_merge_next(struct vm *vm);

/* What an earlier daemon had done, but not written down. Return: 0; -ENOMEM; -errno. */
int checkpoint_merge_settle(struct vm *vm) MUST_CHECK;

/*
 * vm_checkpoint_users.c, for a process: another VM, a disk of which stands on that file; NULL: there is
 * none. data: the VM.
 */
const char *checkpoint_find_user(void *data, const struct stat *file);

/* The last of a verb: whoever asked is told. failure: NULL: all is well. */
void checkpoint_work_finish(struct vm *vm, const struct failure *failure);

/* The cleaner has ended, or there was nothing for it to do: the work that is there is done. */
void checkpoint_cleaned(struct vm *vm);

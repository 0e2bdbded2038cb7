/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the AppArmor profile that its processes run under (vmms/apparmor/apparmor.h), of each run
 * another one.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/apparmor/apparmor.h"
#include "vmms/base/failure.h"

#include <stdbool.h>

struct manager;
struct vm;

/* Changed by the functions below alone. */
struct vm_confinement {
	char profile[APPARMOR_NAME_SIZE]; /* of this run; "": it is not confined */
	struct apparmor_load *load;       /* that is under way; NULL: none */
	void (*done)(struct vm *vm, const struct failure *failure);
};

/*
 * done: called once, perhaps before this returns: the processes of a run that begins now can be
 * started; failure: NULL, or why they are not to be. The VM goes unconfined where that is allowed,
 * and its log says so.
 */
void vm_confinement_begin(struct vm *vm,
			  void (*done)(struct vm *vm, const struct failure *failure));

/* It is not to begin after all: done() tells soon, with a failure. */
void vm_confinement_cancel(struct vm *vm);

/* The processes of the run have ended, or are none of ours any more. */
void vm_confinement_end(struct vm *vm);

/* Nobody is told, and what is loaded stays. */
void vm_confinement_free(struct vm *vm);

/* Those that run are under this one, as an earlier daemon has written down. */
void vm_confinement_adopt(struct vm *vm, const char *profile);

/* What a process of that kind is to be under; NULL: nothing. kind: "", APPARMOR_IMAGE_SERVER, … */
const char *vm_confinement_profile(const struct vm *vm, const char *kind,
				   char room[APPARMOR_NAME_SIZE]);

/* Removes what earlier daemons have left, once VMs that run have been taken over. */
void vm_confinement_remove_stale(struct manager *manager);

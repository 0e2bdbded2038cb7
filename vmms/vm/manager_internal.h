/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What vmms/vm/manager*.c share.
 */
#pragma once

#include "vmms/vm/manager.h"

/* Reads the store for the first time, without telling the observer. */
int manager_load(struct manager *manager) MUST_CHECK;

/* Into the lists, at its place by name. Its uuid does not change any more. */
void manager_insert(struct manager *manager, struct vm *vm);

/* Out of the list, with the observer told; frees the VM. */
void manager_forget(struct manager *manager, struct vm *vm);

void broken_definition_free(struct broken_definition *broken);
void manager_forget_broken(struct manager *manager);

/* Nothing has that name yet. Return: 0; negative with *failure filled. */
int manager_check_name(struct manager *manager, const char *name,
		       struct failure *failure) MUST_CHECK;

/* May an owner (NULL: the host's administrator, who is told everything) be told of that VM? */
bool manager_owner_knows(const char *owner, const struct vm *vm);

#define MANAGER_DESCRIPTION_SIZE (DEFINITION_NAME_MAX + 8)

/* How an owner is told of another VM: text, or one that stays. */
const char *manager_describe(const char *owner, const struct vm *vm,
			     char text[static MANAGER_DESCRIPTION_SIZE]);

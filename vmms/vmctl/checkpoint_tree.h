/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checkpoints of a VM, which the first argument names, as vmms tells of them: ListCheckpoints.
 */
#pragma once

#include "vmms/vmctl/service.h"

/* *ret_path: of the VM. Both are the caller's. */
enum status checkpoint_tree_get(struct invocation *invocation, char **ret_path,
				struct json_object **ret_tree);

/* The array of them; NULL: it makes no sense. */
struct json_object *checkpoint_tree_list(struct json_object *tree);

/* A member. */
unsigned checkpoint_number(struct json_object *object, const char *key);

/*
 * By its number, or its name, if one alone has that. *ret_path, *ret_tree: the caller's;
 * *ret_checkpoint: in the tree. Where it fails, that has been said.
 */
enum status checkpoint_tree_find(struct invocation *invocation, const char *word, char **ret_path,
				 struct json_object **ret_tree,
				 struct json_object **ret_checkpoint);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands about checkpoints. */
#include "vmms/vmctl/commands.h"

static const struct option_row create_options[] = {
	{ "name", "NAME", VALUE_TEXT, "of the checkpoint (default: the time)" },
	{ "notes", "TEXT", VALUE_TEXT, "what it is good for" },
	{ "type", "production|production-only|standard", VALUE_CHOICE,
	  "of a VM that runs (default: by its definition); -only: not if its guest does not "
	  "freeze; "
	  "standard: with memory" },
	{ 0 },
};

static const struct option_row apply_options[] = {
	{ "keep", NULL, VALUE_NONE, "make a checkpoint of what the VM is now, before" },
	{ "discard", NULL, VALUE_NONE, "what the VM is now is lost" },
	{ 0 },
};

static const struct option_row rename_options[] = {
	{ "notes", "TEXT", VALUE_TEXT, "what it is good for, instead of what it has" },
	{ 0 },
};

static const struct option_row delete_options[] = {
	{ "subtree", NULL, VALUE_NONE, "those that stand on it, too" },
	{ 0 },
};

const struct command commands_checkpoint[] = {
	{ "checkpoint create",
	  "VM",
	  1,
	  1,
	  { VALUE_VM },
	  "make a checkpoint of a VM, which may run",
	  NULL,
	  create_options,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_create },
	{ "checkpoint list",
	  "VM",
	  1,
	  1,
	  { VALUE_VM },
	  "show the tree of a VM's checkpoints",
	  NULL,
	  NULL,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_list },
	{ "checkpoint show",
	  "VM CHECKPOINT",
	  2,
	  2,
	  { VALUE_VM, VALUE_TEXT },
	  "tell of a checkpoint, by its number or name",
	  NULL,
	  NULL,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_show },
	{ "checkpoint apply",
	  "VM CHECKPOINT",
	  2,
	  2,
	  { VALUE_VM, VALUE_TEXT },
	  "make a VM that is off what it was at a checkpoint",
	  NULL,
	  apply_options,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_apply },
	{ "checkpoint rename",
	  "VM CHECKPOINT NAME",
	  3,
	  3,
	  { VALUE_VM, VALUE_TEXT },
	  "give a checkpoint another name",
	  NULL,
	  rename_options,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_rename },
	{ "checkpoint delete",
	  "VM CHECKPOINT",
	  2,
	  2,
	  { VALUE_VM, VALUE_TEXT },
	  "delete a checkpoint of a VM that is off",
	  NULL,
	  delete_options,
	  true,
	  REMOTE_BUS,
	  command_checkpoint_delete },
	{ 0 },
};

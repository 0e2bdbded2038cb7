/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands about the cluster that a host is a node of. */
#include "vmms/vmctl/commands.h"

static const struct option_row add_options[] = {
	{ "definition", "PATH", VALUE_FILE,
	  "its definition, on storage that all nodes reach; written there if it is not yet" },
	{ "priority", "high|medium|low|none", VALUE_CHOICE,
	  "who starts first, and stays where there is not room for all; none: it runs on one node "
	  "alone, the preferred one or this (default: medium)" },
	{ "prefer", "NODE", VALUE_TEXT,
	  "where it had better be; given again: the first more than the next" },
	{ "hosts", "NODE", VALUE_TEXT, "where it may be; has to be given for each such node" },
	{ "together-with", "VM", VALUE_VM,
	  "on the node of that one, if possible; may be given again" },
	{ "apart-from", "VM", VALUE_VM, "on another node, if possible; may be given again" },
	{ "restarts", "N", VALUE_TEXT,
	  "failures on a node within an hour before another is tried (default: 3; 0: never)" },
	{ "offline", "shutdown|save|turn-off", VALUE_CHOICE,
	  "what a stop does with the guest (default: shutdown)" },
	{ "dry-run", NULL, VALUE_NONE, "only print Pacemaker's commands" },
	{ 0 },
};

static const struct option_row dry_options[] = {
	{ "dry-run", NULL, VALUE_NONE, "only print Pacemaker's commands" },
	{ 0 },
};

const struct command commands_cluster[] = {
	{ "cluster add",
	  "VM",
	  1,
	  1,
	  { VALUE_VM },
	  "have the cluster start, watch and move a VM",
	  "As a resource ocf:vmms:VM, with what it is to be placed by, in one change. A VM that\n"
	  "runs goes on.",
	  add_options,
	  true,
	  REMOTE_THERE,
	  command_cluster_add },
	{ "cluster remove",
	  "VM",
	  1,
	  1,
	  { VALUE_VM },
	  "take a VM from the cluster; it goes on where it is",
	  NULL,
	  dry_options,
	  false,
	  REMOTE_THERE,
	  command_cluster_remove },
	{ "undrain",
	  "",
	  0,
	  0,
	  { VALUE_NONE },
	  "after 'drain' in a cluster: let it place VMs on this node again",
	  NULL,
	  dry_options,
	  false,
	  REMOTE_THERE,
	  command_undrain },
	{ 0 },
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands about files of disks. */
#include "vmms/vmctl/commands.h"

#define NO_WAIT                                                                             \
	{                                                                                   \
		"no-wait", NULL, VALUE_NONE, "print the number of the job, for 'vmctl job'" \
	}
#define FORMAT                                                       \
	{                                                            \
		"format", "raw|qcow2|vhd|vhdx|vmdk", VALUE_CHOICE,   \
			"of the image (default: what its head says)" \
	}
#define NEW_OPTIONS                                                                    \
	{ "format", "vhdx|raw|vhd|qcow2", VALUE_CHOICE,                                \
	  "of the new disk (default: what its name ends with, or vhdx)" },             \
		{ "block-size", "SIZE", VALUE_TEXT,                                    \
		  "of VHDX: what it grows by, 1M to 256M (default: 32M)" },            \
		{ "sector-size", "512|4096", VALUE_CHOICE, "of VHDX (default: 512)" }, \
	{                                                                              \
		"fixed", NULL, VALUE_NONE, "take all of its space at once"             \
	}

static const struct option_row create_options[] = {
	{ "parent", "FILE", VALUE_FILE,
	  "a VHDX that it stands on: it holds what is written from then on" },
	NEW_OPTIONS,
	NO_WAIT,
	{ 0 },
};

static const struct option_row format_options[] = { FORMAT, { 0 } };
static const struct option_row chain_options[] = { NO_WAIT, { 0 } };
static const struct option_row compact_options[] = { FORMAT, NO_WAIT, { 0 } };

static const struct option_row convert_options[] = {
	{ "from-format", "raw|qcow2|vhd|vhdx|vmdk", VALUE_CHOICE,
	  "of the image that is there (default: what its head says)" },
	NEW_OPTIONS,
	NO_WAIT,
	{ 0 },
};

static const struct option_row check_options[] = {
	{ "repair", NULL, VALUE_NONE, "mend what can be mended without loss" },
	FORMAT,
	NO_WAIT,
	{ 0 },
};

static const struct option_row resize_options[] = {
	{ "shrink", NULL, VALUE_NONE,
	  "the disk may become smaller; what is behind its end is lost" },
	FORMAT,
	NO_WAIT,
	{ 0 },
};

const struct command commands_disk[] = {
	{ "disk create",
	  "FILE [SIZE]",
	  1,
	  2,
	  { VALUE_FILE, VALUE_TEXT },
	  "make the file of a new, empty disk",
	  NULL,
	  create_options,
	  true,
	  REMOTE_THERE,
	  command_disk_create },
	{ "disk info",
	  "FILE",
	  1,
	  1,
	  { VALUE_FILE },
	  "tell what the file of a disk is, also while a VM uses it",
	  NULL,
	  format_options,
	  true,
	  REMOTE_THERE,
	  command_disk_info },
	{ "disk check",
	  "FILE",
	  1,
	  1,
	  { VALUE_FILE },
	  "look whether the file of a disk is whole",
	  "The exit status is 1 if there is a problem.",
	  check_options,
	  true,
	  REMOTE_THERE,
	  command_disk_check },
	{ "disk convert",
	  "FILE NEW-FILE",
	  2,
	  2,
	  { VALUE_FILE, VALUE_FILE },
	  "copy a disk into a new file, of another format if that is wanted",
	  NULL,
	  convert_options,
	  true,
	  REMOTE_THERE,
	  command_disk_convert },
	{ "disk resize",
	  "FILE [+]SIZE",
	  2,
	  2,
	  { VALUE_FILE, VALUE_TEXT },
	  "give a disk another size",
	  NULL,
	  resize_options,
	  true,
	  REMOTE_THERE,
	  command_disk_resize },
	{ "disk compact",
	  "FILE",
	  1,
	  1,
	  { VALUE_FILE },
	  "give back what the file of a disk takes and does not need",
	  NULL,
	  compact_options,
	  true,
	  REMOTE_THERE,
	  command_disk_compact },
	{ "disk map",
	  "FILE",
	  1,
	  1,
	  { VALUE_FILE },
	  "show which parts of a disk are there, and where in the file",
	  "Of raw and VHDX images.",
	  format_options,
	  true,
	  REMOTE_THERE,
	  command_disk_map },
	{ "disk merge",
	  "FILE",
	  1,
	  1,
	  { VALUE_FILE },
	  "bring what a VHDX has into the one that it stands on, and remove it",
	  NULL,
	  chain_options,
	  true,
	  REMOTE_THERE,
	  command_disk_merge },
	{ "disk rebase",
	  "FILE PARENT",
	  2,
	  2,
	  { VALUE_FILE, VALUE_FILE },
	  "say where the disk is now that a VHDX stands on",
	  NULL,
	  chain_options,
	  true,
	  REMOTE_THERE,
	  command_disk_rebase },
	{ 0 },
};

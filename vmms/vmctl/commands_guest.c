/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands that need the help of a guest, or look into it. */
#include "vmms/vmctl/commands.h"

static const struct option_row kvp_options[] = {
	{ "pool", "external|guest|auto|auto-external|auto-internal", VALUE_CHOICE,
	  "(default: auto to list, guest to get, external else)" },
	{ 0 },
};

static const struct option_row backup_options[] = {
	{ "to", "FOLDER", VALUE_FILE, "of create: where the backups are" },
	{ "full", NULL, VALUE_NONE, "of create: all, and not what has changed alone" },
	{ "since", "POINT", VALUE_TEXT,
	  "of create: what has changed since the folder's last point, which that is, or nothing" },
	{ "crash-consistent", NULL, VALUE_NONE,
	  "of create and serve: as after a loss of power, without freezing file systems" },
	{ "scratch-size", "SIZE", VALUE_TEXT,
	  "of create and serve: for what the guest overwrites of each disk (default: 4G)" },
	{ "keep", "NUMBER", VALUE_TEXT, "of create: so many points, and no more" },
	{ "socket", "PATH", VALUE_FILE, "of serve: where clients find the disks" },
	{ "limit", "SECONDS", VALUE_TEXT,
	  "a guest that is still frozen then is thawed (default: 60)" },
	{ "no-wait", NULL, VALUE_NONE, "print the number of the job, for 'vmctl job'" },
	{ 0 },
};

static const struct option_row restore_options[] = {
	{ "point", "POINT", VALUE_TEXT, "of 'vmctl backup list' (default: the last)" },
	{ "name", "NAME", VALUE_TEXT, "of the new VM, beside the one that there was" },
	{ "to", "FOLDER", VALUE_FILE, "where its disks are to be (default: where they were)" },
	{ "disk", "CONTROLLER:LUN", VALUE_TEXT, "that disk alone, in FILE: raw, or .vhdx" },
	{ 0 },
};

static const struct option_row copy_options[] = {
	{ "overwrite", NULL, VALUE_NONE, "replace a file that is there" },
	{ "create-path", NULL, VALUE_NONE, "make the folders that are missing" },
	{ "verify", NULL, VALUE_NONE,
	  "compare checksums afterwards; needs vmms-guest in the guest" },
	{ "no-wait", NULL, VALUE_NONE, "print the number of the job, for 'vmctl job'" },
	{ 0 },
};

static const struct option_row dump_options[] = {
	{ "no-wait", NULL, VALUE_NONE, "print the number of the job, for 'vmctl job'" },
	{ 0 },
};

static const struct option_row type_options[] = {
	{ "enter", NULL, VALUE_NONE, "press the Enter key after the text" },
	{ 0 },
};

const struct command commands_guest[] = {
	{ "key",
	  "VM KEYS...",
	  2,
	  MANY,
	  { VALUE_VM, VALUE_TEXT },
	  "press keys on the keyboard of a guest: ctrl-alt-del",
	  "Names with '-' between them are pressed together. Beside letters, digits and signs\n"
	  "there are ctrl, rctrl, shift, rshift, alt, altgr, meta, menu, enter, esc, tab, space,\n"
	  "backspace, delete, insert, home, end, pageup, pagedown, up, down, left, right, minus,\n"
	  "equal, sysrq, capslock, numlock, scrolllock and f1 to f12.",
	  NULL,
	  true,
	  REMOTE_BUS,
	  command_key },
	{ "type",
	  "VM TEXT",
	  2,
	  2,
	  { VALUE_VM, VALUE_TEXT },
	  "type text on the keyboard of a guest",
	  "As on a US keyboard: the guest has to have that layout.",
	  type_options,
	  true,
	  REMOTE_BUS,
	  command_type },
	{ "kvp",
	  "list|get|set|delete VM [KEY [VALUE]]",
	  2,
	  4,
	  { VALUE_CHOICE, VALUE_VM },
	  "read and write the key-value pairs of a guest",
	  "In Linux they are kept by hv_kvp_daemon. The pool 'auto' is what the guest tells of\n"
	  "itself; 'external' is what the host tells the guest, 'guest' what the guest tells.",
	  kvp_options,
	  true,
	  REMOTE_BUS,
	  command_kvp },
	{ "backup",
	  "create|serve|freeze|thaw|list|verify VM|FOLDER [POINT]",
	  1,
	  3,
	  { VALUE_CHOICE, VALUE_VM },
	  "back up a VM: all, or what has changed since the last backup",
	  "'create', which can be left out, makes a point in a folder; 'list' shows its points, "
	  "and\n"
	  "'verify' checks them. 'serve' has other programs read the disks, by the network block\n"
	  "device protocol, as they are now. The guest's file systems are frozen for a moment, in\n"
	  "Linux by hv_vss_daemon. 'freeze' and 'thaw' do that alone.",
	  backup_options,
	  true,
	  REMOTE_THERE,
	  command_backup },
	{ "restore",
	  "FOLDER [FILE]",
	  1,
	  2,
	  { VALUE_FILE, VALUE_FILE },
	  "make a VM, or the file of a disk, of a backup",
	  "Under its own name it is the VM that it was, which must be there no more; --name makes\n"
	  "another one. Files must not be there before.",
	  restore_options,
	  true,
	  REMOTE_THERE,
	  command_restore },
	{ "copy",
	  "FILE VM:/PATH",
	  2,
	  2,
	  { VALUE_FILE, VALUE_TEXT },
	  "copy a file into a guest",
	  "In Linux by hv_fcopy_daemon, or hv_fcopy_uio_daemon from 6.10 on. A path that ends in "
	  "/\n"
	  "is a folder. What is left of a copy that fails or is interrupted is removed, if the\n"
	  "guest can.",
	  copy_options,
	  true,
	  REMOTE_THERE,
	  command_copy },
	{ "dump",
	  "VM FILE",
	  2,
	  2,
	  { VALUE_VM, VALUE_FILE },
	  "write the memory of a guest to a file",
	  "A core file, for crash(8) and makedumpfile(8). The VM is paused meanwhile. What the\n"
	  "guest has in its memory, passwords among it, is in the file, which only its owner\n"
	  "may read.",
	  dump_options,
	  true,
	  REMOTE_THERE,
	  command_dump },
	{ "exec",
	  "VM [-- COMMAND...]",
	  1,
	  MANY,
	  { VALUE_VM, VALUE_TEXT },
	  "run a program in a guest, as its root",
	  "By the agent of the package vmms-guest. Without a command, a login shell. On a\n"
	  "terminal the program gets one of its own. The exit status is the program's, or 128\n"
	  "and the number of the signal that ended it.",
	  NULL,
	  true,
	  REMOTE_STREAM,
	  command_exec },
	{ "connect",
	  "VM PORT",
	  2,
	  2,
	  { VALUE_VM, VALUE_TEXT },
	  "connect standard input and output to a port of a guest",
	  "By Hyper-V sockets: in Linux a port of AF_VSOCK, for which the guest needs hv_sock.\n"
	  "Ends when the guest sends no more.",
	  NULL,
	  true,
	  REMOTE_THERE,
	  command_connect },
	{ "ssh",
	  "[USER@]VM [-- COMMAND...]",
	  1,
	  MANY,
	  { VALUE_VM, VALUE_TEXT },
	  "log in to a guest without a network, with ssh",
	  "By 'vmctl connect VM 22', where the package vmms-guest, or systemd 256 and later, has\n"
	  "sshd listen. The exit status is that of the command, or 255.",
	  NULL,
	  true,
	  REMOTE_BUS,
	  command_ssh },
	{ 0 },
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs that make guests for 'vmctl quick-create': run, watched, and undone.
 *
 * They are packaging/libexec/guest-from-*, which say how they talk. Each makes a complete
 * folder, or none. They are in a process group of their own: vmctl passes an interrupt on to them, and
 * waits until they have ended.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/service.h"

/* The folder, and what the guest in it is started and reached with. */
struct guest {
	char *folder; /* absolute */
	char *command_line, *user, *password;
	bool seed; /* there is a seed.iso beside the disk */
};

/*
 * Runs a program by its name, with arguments of which the first is the folder; closed by NULL.
 * label: of its line on the terminal. The caller deinits *ret_guest, also on failure.
 */
enum status guest_make(struct invocation *invocation, const char *program,
		       const char *const *arguments, const char *label, struct guest *ret_guest);

/* Removes the folder, for whom it is of no use after all. */
void guest_remove(const struct guest *guest);
void guest_deinit(struct guest *guest);

/* A file of the folder, by its absolute path. NULL without memory. */
struct json_object *guest_file(const struct guest *guest, const char *name);

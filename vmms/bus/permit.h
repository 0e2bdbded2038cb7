/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a user may write into the definition of a VM.
 *
 * A definition names things of the host, and vmms has them all. A VM's own user names files, which
 * are opened as that user (vmms/image/resources.h), and the user-mode network. Somebody else,
 * though allowed to manage the VM, names no files: they would be opened with the owner's rights, or
 * root's. What is in the definition already may stay, whoever put it there.
 *
 * user: NULL: root, or the user whose daemon it is, who may do everything.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/base/user_lookup.h"

/* The VM is the user's own: by name and number, where the definition has both. */
bool permit_is_owner(const struct user_found *user, const struct definition *definition);

/* How many of the VMs are the user's own. */
unsigned permit_count(const struct user_found *user, const struct list *vms);

/* stored: NULL: a new VM, which becomes the user's. */
int permit_definition(const struct user_found *user, const struct definition *stored,
		      struct definition *wanted, struct failure *failure) MUST_CHECK;

/* Another disk or medium, whatever it is. */
int permit_file(const struct user_found *user, const struct definition *stored,
		struct failure *failure) MUST_CHECK;

/* Another adapter, or one that has been changed. */
int permit_adapter(const struct user_found *user, const struct definition *stored,
		   const struct definition_adapter *adapter, struct failure *failure) MUST_CHECK;

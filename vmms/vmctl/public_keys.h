/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public keys of whoever calls vmctl, for a guest that is made on another host.
 */
#pragma once

#include "vmms/vmctl/command.h"

/*
 * *ret_fd: a file, read from its beginning, of the keys in the files that --ssh-key names, or else
 * in ~/.ssh; closed by the caller; -1: there are none. Nothing else of those files is in it, a
 * private key least of all. What is wrong has been said.
 */
enum status public_keys_gather(const struct invocation *invocation, int *ret_fd);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SHA-256 of a file here, and of one in a guest: by sha256sum(1) on either side, in the guest
 * by the agent of the package vmms-guest.
 */
#pragma once

#include "vmms/vmctl/command.h"

#define DIGEST_SIZE 65 /* of the text, in hexadecimal, with its end */

/* What fails has been said, by sha256sum or here. fd: read from its beginning. */
enum status digest_of_file(int fd, char text[static DIGEST_SIZE]);

/* What fails has been said. Its status is then that of vmctl exec. path: in the guest. */
enum status digest_of_guest_file(struct invocation *invocation, const char *vm, const char *path,
				 char text[static DIGEST_SIZE]);

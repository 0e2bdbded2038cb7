/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shutting a process in: a user of its own, no capabilities, no_new_privs; an empty root, no
 * network, no System V objects, in namespaces of its own. What it has open stays open.
 *
 * Thread: the process's only one, since threads that are there already would stay outside.
 */
#pragma once

#include "common/base/cc.h"

#include <sys/types.h>

#define ISOLATE_SAME_USER ((uid_t)-1)

enum {
	_ISOLATE_E_OK,
	ISOLATE_E_USER,       /* it may not become that user */
	ISOLATE_E_PRIVILEGES, /* it cannot give them up */
	ISOLATE_E_NAMESPACES, /* they are not to be had here; all else is done */
};

/*
 * user: user and group to become, which takes CAP_SETUID and CAP_SETGID; ISOLATE_SAME_USER: none.
 * Return: 0; ISOLATE_E_, with *ret_error the -errno.
 */
int isolate_process(uid_t user, int *ret_error) MUST_CHECK;

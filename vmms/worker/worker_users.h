/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The users that workers become: a range of numbers, of which each worker has one for as long as
 * it lives, so that workers are strangers to each other.
 *
 * They own nothing, and no name service knows them. One that was given back is the last to be given
 * out again.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * The default: in what systemd's assignment of user numbers (uids-gids.md) leaves to nobody, next
 * below what it gives to images of foreign systems; above all that a host gives its users.
 */
#define WORKER_USERS_FIRST 2147287040u /* 0x7ffd0000 */
#define WORKER_USERS_LAST  2147352575u /* 0x7ffdffff */

struct worker_users {
	uid_t first, last; /* both 0: none; workers stay who we are */
	uid_t next;        /* where the search begins */
};

/* "FIRST-LAST" or "none". Return: 0; -EINVAL. */
int worker_users_parse(const char *text, struct worker_users *ret_users) MUST_CHECK;

/*
 * One that is not in use; 0 if there are none to be had. is_used(): whether that one is. Return: 0;
 * -EUSERS: all are.
 */
int worker_users_take(struct worker_users *users, bool (*is_used)(void *data, uid_t user),
		      void *data, uid_t *ret_user) MUST_CHECK;

/*
 * Whether a process of that user lives. The kernel is asked, so that it does not matter whose
 * process that is, and whether the service sees it in /proc. Where the kernel does not say: yes.
 */
bool worker_users_has_processes(uid_t user);

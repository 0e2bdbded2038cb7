/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users of the host: those who call, and those who own VMs.
 *
 * What a user has named is opened as that user, by a process that has become so for good, or looked
 * at while user_enter() is in force. The latter changes the thread's file system credentials and
 * supplementary groups alone, so that the user cannot signal or trace us meanwhile.
 *
 * Looking users up may ask services of the network (nsswitch.conf(5)), and is for processes that
 * may wait (vmms/base/helper.h); the event loop's thread has vmms/base/user_lookup.h.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user {
	char *name;
	uid_t uid;
	gid_t gid, *groups; /* groups: all of them, the first too */
	int group_count;
};

/* Return: 0; -ESRCH: there is no such user; -errno. */
int user_find_name(const char *name, struct user **ret_user) MUST_CHECK;
int user_find_uid(uid_t uid, struct user **ret_user) MUST_CHECK;
void user_free(struct user *user);
DEFINE_CLEANUP(struct user *, user_free)

/* Whether the user is in the group of that name. */
bool user_is_in(const struct user *user, const char *group);

/*
 * For a process that does nothing else any more: it is the user's for good, whose own mounts (FUSE)
 * it sees as they are, and still nobody traces it or looks into its memory. Return: 0; -EPERM: we
 * may not become another.
 */
int user_become(const struct user *user) MUST_CHECK;

/*
 * From now on files are opened as the user; user_leave() ends it, and cannot fail: without what we
 * were we do not go on. Users do not nest. Return: 0; -EPERM: we may not become another.
 */
int user_enter(const struct user *user) MUST_CHECK;
void user_leave(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users of the host.
 *
 * The system calls are made directly: the C library's setgroups(3) would change all threads. With
 * the file system's user, the kernel takes the capabilities that override permissions of files, and
 * gives them back (capabilities(7)).
 */
#include "vmms/base/user.h"

#include "common/base/error.h"
#include "common/base/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECORD_SIZE_MAX (1 << 20) /* bytes of a record of the user database */
#define GROUPS_MAX      65536     /* NGROUPS_MAX of the kernel */

/* ---- Looking up ---- */

void user_free(struct user *user)
{
	if (!user)
		return;
	free(user->name);
	free(user->groups);
	free(user);
}

static int user_take_groups(struct user *user)
{
	int count = 64;

	for (;;) {
		gid_t *groups = reallocarray(user->groups, (size_t)count, sizeof(*groups));

		if (!groups)
			return -ENOMEM;
		user->groups = groups;
		user->group_count = count;
		if (getgrouplist(user->name, user->gid, groups, &user->group_count) >= 0)
			return 0;
		if (count >= GROUPS_MAX)
			return -E2BIG;
		count *= 4;
	}
}

static int user_make_user(const struct passwd *record, struct user **ret_user)
{
	CLEANUP(user_freep) struct user *user = calloc(1, sizeof(*user));
	int r;

	if (!user)
		return -ENOMEM;
	user->name = strdup(record->pw_name);
	if (!user->name)
		return -ENOMEM;
	user->uid = record->pw_uid;
	user->gid = record->pw_gid;
	r = user_take_groups(user);
	if (r < 0)
		return r;
	*ret_user = TAKE_PTR(user);
	return 0;
}

/* name NULL: by number */
static int user_find(const char *name, uid_t uid, struct user **ret_user)
{
	AUTO_FREE char *buffer = NULL;
	struct passwd record, *found = NULL;
	int r = ERANGE;

	for (size_t size = 1024; r == ERANGE && size <= RECORD_SIZE_MAX; size *= 4) {
		free(buffer);
		buffer = malloc(size);
		if (!buffer)
			return -ENOMEM;
		r = name ? getpwnam_r(name, &record, buffer, size, &found)
			 : getpwuid_r(uid, &record, buffer, size, &found);
	}
	/* Some services answer so where there is no such user. */
	if (r == ENOENT || r == ESRCH || (r == 0 && !found))
		return -ESRCH;
	return r != 0 ? -r : user_make_user(found, ret_user);
}

int user_find_name(const char *name, struct user **ret_user)
{
	return user_find(name, (uid_t)-1, ret_user);
}

int user_find_uid(uid_t uid, struct user **ret_user)
{
	return user_find(NULL, uid, ret_user);
}

bool user_is_in(const struct user *user, const char *group)
{
	AUTO_FREE char *buffer = malloc(RECORD_SIZE_MAX);
	struct group record, *found = NULL;

	if (!buffer || getgrnam_r(group, &record, buffer, RECORD_SIZE_MAX, &found) != 0 || !found)
		return false;
	for (int i = 0; i < user->group_count; i++) {
		if (user->groups[i] == found->gr_gid)
			return true;
	}
	return false;
}

/* ---- Opening files as somebody ---- */

static struct {
	bool entered;
	gid_t *groups; /* ours */
	int group_count;
} ours;

static int user_save_groups(void)
{
	int count = getgroups(0, NULL);

	if (count < 0)
		return error_origin(-errno);
	ours.groups = calloc((size_t)count + 1, sizeof(*ours.groups));
	if (!ours.groups)
		return -ENOMEM;
	ours.group_count = getgroups(count, ours.groups);
	return ours.group_count < 0 ? -errno : 0;
}

static bool user_set_groups(const gid_t *groups, int count)
{
	return syscall(SYS_setgroups, count, groups) == 0;
}

/* The calls tell only what was: so that again. */
static bool user_set_identity(uid_t uid, gid_t gid)
{
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	return (gid_t)setfsgid((gid_t)-1) == gid && (uid_t)setfsuid((uid_t)-1) == uid;
}

int user_become(const struct user *user)
{
	if (!user_set_groups(user->groups, user->group_count) ||
	    syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
	    syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0)
		return -EPERM;
	return 0;
}

int user_enter(const struct user *user)
{
	int r;

	r = user_save_groups();
	if (r == 0 && !user_set_groups(user->groups, user->group_count))
		r = -EPERM;
	if (r < 0) {
		free(TAKE_PTR(ours.groups));
		return r;
	}
	ours.entered = true;
	if (user_set_identity(user->uid, user->gid))
		return 0;
	user_leave();
	return -EPERM;
}

void user_leave(void)
{
	if (!ours.entered)
		return;
	ours.entered = false;
	if (!user_set_identity(geteuid(), getegid()) ||
	    !user_set_groups(ours.groups, ours.group_count)) {
		log_error("cannot be oneself again");
		abort();
	}
	free(TAKE_PTR(ours.groups));
}

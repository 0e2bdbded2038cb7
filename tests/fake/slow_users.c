/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user database that does not answer for a while, for programs that this is loaded into: while
 * the folder SLOW_USERS has a file of that name, or number, who looks the user up waits.
 */
#include <dlfcn.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char *who)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	const char *folder = getenv("SLOW_USERS");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder ? folder : "/nonexistent", who);
	while (access(path, F_OK) == 0)
		nanosleep(&pause, NULL);
}

__attribute__((visibility("default"))) int getpwnam_r(const char *name, struct passwd *record,
						      char *buffer, size_t size,
						      struct passwd **ret_record)
{
	int (*next)(const char *, struct passwd *, char *, size_t, struct passwd **) =
		dlsym(RTLD_NEXT, "getpwnam_r");

	wait_for(name);
	return next(name, record, buffer, size, ret_record);
}

__attribute__((visibility("default"))) int getpwuid_r(uid_t uid, struct passwd *record,
						      char *buffer, size_t size,
						      struct passwd **ret_record)
{
	int (*next)(uid_t, struct passwd *, char *, size_t, struct passwd **) =
		dlsym(RTLD_NEXT, "getpwuid_r");
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	wait_for(number);
	return next(uid, record, buffer, size, ret_record);
}

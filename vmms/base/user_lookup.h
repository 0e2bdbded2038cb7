/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking up users of the host without waiting for the answer.
 *
 * Their database may be a service of the network (nsswitch.conf(5)), and one that is down takes as
 * long as it likes. So a process asks it (vmms/base/helper.h), for USER_LOOKUP_TIMEOUT at most, and
 * what it says is kept for USER_LOOKUP_KEPT: who calls once calls again soon.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "vmms/base/helper.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define USER_LOOKUP_TIMEOUT 20                /* seconds */
#define USER_LOOKUP_KEPT    UINT64_C(5000000) /* microseconds */
#define USER_LOOKUPS_MAX    64                /* that are kept or under way */
#define USER_NAME_SIZE      257               /* bytes, with the end */

/* Who is meant. */
struct user_key {
	const char *name; /* NULL: by number */
	uid_t uid;
};

struct user_found {
	char name[USER_NAME_SIZE];
	uid_t uid;
	bool is_member; /* of the group that was given to user_lookups_new() */
};

struct user_lookups;

/* group: borrowed. */
int user_lookups_new(sd_event *loop, struct helpers *helpers, const char *group,
		     struct user_lookups **ret_lookups) MUST_CHECK;

/* Nobody who waits is told. */
void user_lookups_free(struct user_lookups *lookups);
DEFINE_CLEANUP(struct user_lookups *, user_lookups_free)

/*
 * What is known of a user. Return: 0; -ESRCH: there is no such user; -EAGAIN: that is not known,
 * user_lookups_ask() finds out; another -errno: they could not be looked up.
 */
int user_lookups_find(struct user_lookups *lookups, const struct user_key *key,
		      struct user_found *ret_found) MUST_CHECK;

/* Somebody who waits; whose it is unlinks it to wait no more. */
struct user_waiter {
	struct list link;

	/* Called once, never before user_lookups_ask() has returned. result: as of
	 * user_lookups_find(), but never -EAGAIN; found: borrowed, NULL unless it is 0. */
	void (*answered)(void *data, int result, const struct user_found *found);
	void *data;
};

/* Return: 0; -EBUSY: too many are being looked up; -errno. */
int user_lookups_ask(struct user_lookups *lookups, const struct user_key *key,
		     struct user_waiter *waiter) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking up users of the host without waiting for the answer. */
#include "vmms/base/user_lookup.h"

#include "common/base/text.h"
#include "vmms/base/user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	int result;
	struct user_found found;
};
_Static_assert(sizeof(struct answer) <= HELPER_MESSAGE_MAX, "fits a message");

struct lookup {
	struct list link; /* the oldest first */
	struct user_lookups *lookups;
	struct user_key key;   /* the name is our own */
	struct list waiters;   /* of struct user_waiter */
	struct helper *helper; /* NULL: it has ended */
	struct answer answer;
	uint64_t until; /* microseconds: that long it is true */
};

struct user_lookups {
	sd_event *loop;
	struct helpers *helpers;
	const char *group;
	struct list list;
	unsigned count;
};

/* ---- The process ---- */

static int lookup_find(const struct user_key *key, struct user **ret_user)
{
	return key->name ? user_find_name(key->name, ret_user) : user_find_uid(key->uid, ret_user);
}

static void lookup_run(int socket, void *data)
{
	const struct lookup *lookup = data;
	CLEANUP(user_freep) struct user *user = NULL;
	struct answer answer = { 0 };

	answer.result = lookup_find(&lookup->key, &user);
	if (answer.result == 0 && strlen(user->name) >= sizeof(answer.found.name))
		answer.result = -ENAMETOOLONG;
	if (answer.result == 0) {
		snprintf(answer.found.name, sizeof(answer.found.name), "%s", user->name);
		answer.found.uid = user->uid;
		answer.found.is_member = user_is_in(user, lookup->lookups->group);
	}
	helper_send(socket, &answer, sizeof(answer), -1);
}

/* ---- What it says ---- */

static void lookup_free(struct lookup *lookup)
{
	if (!lookup)
		return;
	list_unlink(&lookup->link);
	lookup->lookups->count--;
	list_for_each (link, &lookup->waiters)
		list_unlink(link);
	helper_free(lookup->helper);
	free((char *)lookup->key.name);
	free(lookup);
}

static void lookup_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct lookup *lookup = owner;

	if (size == sizeof(lookup->answer))
		memcpy(&lookup->answer, bytes, size);
	close_fdp(&fd);
}

static uint64_t lookup_now(const struct user_lookups *lookups)
{
	uint64_t time = 0;

	(void)sd_event_now(lookups->loop, CLOCK_MONOTONIC, &time);
	return time;
}

/* What is not known is asked for again by the next. */
static void lookup_ended(void *owner, int result)
{
	struct lookup *lookup = owner;
	bool known;

	lookup->helper = NULL;
	if (result == -ETIMEDOUT && lookup->answer.result == -EAGAIN)
		lookup->answer.result = -ETIMEDOUT;
	else if (lookup->answer.result == -EAGAIN)
		lookup->answer.result = -EIO;
	known = lookup->answer.result == 0 || lookup->answer.result == -ESRCH;
	lookup->until = known ? lookup_now(lookup->lookups) + USER_LOOKUP_KEPT : 0;
	list_for_each (link, &lookup->waiters) {
		struct user_waiter *waiter = container_of(link, struct user_waiter, link);

		list_unlink(link);
		waiter->answered(waiter->data, lookup->answer.result,
				 lookup->answer.result == 0 ? &lookup->answer.found : NULL);
	}
}

static const struct helper_callbacks callbacks = { .message = lookup_heard, .ended = lookup_ended };

/* ---- Asking ---- */

static void lookup_forget_old(struct user_lookups *lookups)
{
	uint64_t time = lookup_now(lookups);

	list_for_each (link, &lookups->list) {
		struct lookup *lookup = container_of(link, struct lookup, link);

		if (!lookup->helper && lookup->until <= time)
			lookup_free(lookup);
	}
}

static struct lookup *lookup_find_lookup(const struct user_lookups *lookups,
					 const struct user_key *key)
{
	list_for_each (link, (struct list *)&lookups->list) {
		struct lookup *lookup = container_of(link, struct lookup, link);

		if (text_equal(lookup->key.name, key->name) &&
		    (key->name || lookup->key.uid == key->uid))
			return lookup;
	}
	return NULL;
}

int user_lookups_find(struct user_lookups *lookups, const struct user_key *key,
		      struct user_found *ret_found)
{
	const struct lookup *lookup;

	lookup_forget_old(lookups);
	lookup = lookup_find_lookup(lookups, key);
	if (!lookup || lookup->helper)
		return -EAGAIN;
	if (lookup->answer.result == 0)
		*ret_found = lookup->answer.found;
	return lookup->answer.result;
}

static int lookup_begin(struct lookup *lookup)
{
	char whose[USER_NAME_SIZE + 8];
	const struct helper_config config = { .whose = whose,
					      .timeout = USER_LOOKUP_TIMEOUT,
					      .work = lookup_run,
					      .data = lookup,
					      .callbacks = &callbacks,
					      .owner = lookup };

	/* Nobody's name: those who cannot be found do not use up what a user has. */
	if (lookup->key.name)
		snprintf(whose, sizeof(whose), "name:%s", lookup->key.name);
	else
		snprintf(whose, sizeof(whose), "uid:%" PRIu32, (uint32_t)lookup->key.uid);
	return helper_new(lookup->lookups->helpers, &config, &lookup->helper);
}

/* One that is kept makes room. */
static bool lookup_has_room(struct user_lookups *lookups)
{
	list_for_each (link, &lookups->list) {
		struct lookup *lookup = container_of(link, struct lookup, link);

		if (lookups->count < USER_LOOKUPS_MAX)
			break;
		if (!lookup->helper)
			lookup_free(lookup);
	}
	return lookups->count < USER_LOOKUPS_MAX;
}

static struct lookup *lookup_new(struct user_lookups *lookups, const struct user_key *key)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->lookups = lookups;
	lookup->key.uid = key->uid;
	lookup->answer.result = -EAGAIN;
	list_init(&lookup->link);
	list_init(&lookup->waiters);
	lookups->count++;
	lookup->key.name = key->name ? strdup(key->name) : NULL;
	if (key->name && !lookup->key.name) {
		lookup_free(lookup);
		return NULL;
	}
	list_append(&lookups->list, &lookup->link);
	return lookup;
}

int user_lookups_ask(struct user_lookups *lookups, const struct user_key *key,
		     struct user_waiter *waiter)
{
	struct lookup *lookup = lookup_find_lookup(lookups, key);
	int r = 0;

	if (lookup && !lookup->helper) {
		lookup_free(lookup);
		lookup = NULL;
	}
	if (!lookup) {
		if (!lookup_has_room(lookups))
			return -EBUSY;
		lookup = lookup_new(lookups, key);
		r = lookup ? lookup_begin(lookup) : -ENOMEM;
	}
	if (r < 0) {
		lookup_free(lookup);
		return r;
	}
	list_append(&lookup->waiters, &waiter->link);
	return 0;
}

/* ---- All of them ---- */

int user_lookups_new(sd_event *loop, struct helpers *helpers, const char *group,
		     struct user_lookups **ret_lookups)
{
	struct user_lookups *lookups = calloc(1, sizeof(*lookups));

	if (!lookups)
		return -ENOMEM;
	lookups->loop = sd_event_ref(loop);
	lookups->helpers = helpers;
	lookups->group = group;
	list_init(&lookups->list);
	*ret_lookups = lookups;
	return 0;
}

void user_lookups_free(struct user_lookups *lookups)
{
	if (!lookups)
		return;
	list_for_each (link, &lookups->list)
		lookup_free(container_of(link, struct lookup, link));
	sd_event_unref(lookups->loop);
	free(lookups);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The users that workers become. */
#include "vmms/worker/worker_users.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#define NUMBER_MAX 16 /* bytes, with the NUL */

int worker_users_parse(const char *text, struct worker_users *ret_users)
{
	const char *dash = strchr(text, '-');
	uint64_t first, last;
	char number[NUMBER_MAX];

	if (strcmp(text, "none") == 0) {
		*ret_users = (struct worker_users){ 0 };
		return 0;
	}
	if (!dash || (size_t)(dash - text) >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, (size_t)(dash - text));
	number[dash - text] = '\0';
	/* Neither root nor -1, which is no user. */
	if (parse_unsigned(number, 1, UINT32_MAX - 1, &first) < 0 ||
	    parse_unsigned(dash + 1, first, UINT32_MAX - 1, &last) < 0)
		return -EINVAL;
	*ret_users = (struct worker_users){ .first = (uid_t)first,
					    .last = (uid_t)last,
					    .next = (uid_t)first };
	return 0;
}

int worker_users_take(struct worker_users *users, bool (*is_used)(void *data, uid_t user),
		      void *data, uid_t *ret_user)
{
	uint64_t count = (uint64_t)users->last - users->first + 1;

	if (users->first == 0) {
		*ret_user = 0;
		return 0;
	}
	for (uint64_t i = 0; i < count; i++) {
		uid_t user = users->next;

		users->next = user == users->last ? users->first : user + 1;
		if (is_used(data, user))
			continue;
		*ret_user = user;
		return 0;
	}
	return -EUSERS;
}

bool worker_users_has_processes(uid_t user)
{
	errno = 0;
	(void)getpriority(PRIO_USER, user);
	return errno != ESRCH;
}

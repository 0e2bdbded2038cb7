/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of 'vmctl migrate' share. What fails has been said. */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/service.h"

#include <stdbool.h>

struct migration {
	struct invocation *invocation;
	struct invocation there; /* of the host that the VM goes to */
	const char *name, *host; /* as they were given */
	char *path;              /* of the VM, on the bus */
	char *job;               /* likewise; NULL: not begun */
	struct json_object *definition, *findings;
	int fd; /* to the other host's vmctl, until vmms has it */
	unsigned bandwidth, max_downtime, timeout;
};

/* Of the other side's answer. */
void migrate_take_findings(struct migration *migration, struct json_object *answer);

/* Return: STATUS_FAILED, said, where something is in the way. check: nothing else is wanted. */
enum status migrate_conclude_check(struct migration *migration, bool check);

/* The other side answers a line, which is taken over. One that has ended has perhaps said why. */
enum status migrate_ask(struct migration *migration, struct json_object *line,
			struct json_object **ret_answer);

/* The options of a move as an a{sv}. Return: 0, or more; -errno. */
int migrate_append_options(const struct migration *migration, sd_bus_message *call) MUST_CHECK;

/* Until the job has ended. */
enum status migrate_follow(struct migration *migration);

void migrate_say_moved(struct migration *migration, struct json_object **ret_result);

/*
 * Introduces the daemons to each other, and follows the move. Return: STATUS_OK with *ret_went false:
 * they do not reach each other, which has been said: nothing has moved.
 */
enum status migrate_by_tcp(struct migration *migration, struct json_object **ret_result,
			   bool *ret_went);

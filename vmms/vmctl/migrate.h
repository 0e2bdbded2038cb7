/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The move of one VM to one other host, for the commands that move VMs: 'vmctl migrate' and 'vmctl
 * drain'. Options are taken from the invocation, by migrate's names. What fails has been said.
 */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "vmms/vmctl/command.h"

struct migration;

/* name, host: borrowed. SIGPIPE is ignored from now on. Return: NULL: no memory. */
struct migration *migrate_new(struct invocation *invocation, const char *name, const char *host);

/* Whoever waits at the other side learns that nothing more comes. */
void migrate_free(struct migration *migration);
DEFINE_CLEANUP(struct migration *, migrate_free)

/*
 * Looks at both sides. Return: STATUS_OK also where something is in the way: *ret_findings, an array
 * of texts, borrowed.
 */
enum status migrate_look(struct migration *migration, struct json_object **ret_findings);

/* Says on standard error what is in the way; with the VM's and the host's name. */
void migrate_print_findings(const char *name, const char *host, struct json_object *findings);

/*
 * Moves it, after migrate_look() that has found nothing, and says so. *ret_result: "vm", "host" and
 * what the guest had to bear, put by the caller; NULL: nothing is known of that.
 */
enum status migrate_go(struct migration *migration, struct json_object **ret_result);

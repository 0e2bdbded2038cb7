/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of vmctl backup and vmctl restore share: cmd_backup.c makes points,
 * cmd_backup_folder.c looks at folders and keeps them short, cmd_restore.c restores.
 */
#pragma once

#include "vmms/vmctl/backup_data.h"
#include "vmms/vmctl/service.h"

/* How far it is, on a terminal. */
struct backup_teller {
	const char *label;
	bool quiet;
	uint64_t told; /* milliseconds: when last; 0: never */
};

/* Of struct backup_progress; data: the teller. */
bool backup_tell(void *data, uint64_t done, uint64_t total);
void backup_tell_end(struct backup_teller *teller);

/* Says why. Return: the status for that. */
enum status backup_failed(const char *why);

/* A socket that listens there, for its owner alone. Return: its descriptor; -errno. */
int backup_listen(const char *path);

/* Asks vmms for a backup of the VM at that path of the bus. *ret_job: freed by the caller. */
enum status backup_ask(struct invocation *invocation, const char *path, int socket, bool releases,
		       char **ret_job);

/* What the job says once the disks are served. *ret_description: NULL: it has ended before. */
enum status backup_wait_for_service(struct invocation *invocation, const char *job,
				    struct json_object **ret_description);

enum status backup_create(struct invocation *invocation, const char *vm);
enum status backup_serve(struct invocation *invocation, const char *vm);
enum status backup_list(struct invocation *invocation);
enum status backup_verify(struct invocation *invocation);

/* What is backed up of a VM that is in that state, which is at rest. NULL without memory. */
struct json_object *backup_describe_stopped(struct json_object *definition, const char *state);

/* item: the disk in the definition. Return: 0; negative with why filled. */
int backup_take_stopped(const struct backup_set *set, struct backup_disk *disk,
			struct json_object *item, const struct backup_progress *progress,
			char why[static BACKUP_WHY_MAX]) MUST_CHECK;

/* In a definition. NULL: it is not there. */
struct json_object *backup_find_disk(struct json_object *definition,
				     const struct backup_disk *disk);

/* --keep: the oldest points go, and the one that is the oldest then becomes full. */
enum status backup_keep(struct invocation *invocation, struct backup_set *set,
			struct backup_teller *teller);

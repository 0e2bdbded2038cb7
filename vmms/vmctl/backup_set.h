/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder of backups of one VM: points, each with all disks that the VM writes. Stored format.
 *
 * NUMBER.json is a point; it is there when the point is complete and durable. It says of each disk
 * which files it is in, NUMBER-CONTROLLER-LUN.data and .index (vmms/vmctl/backup_data.h), and whether
 * that is all of it ("full"), or what changed since the parent, an earlier point. Files without a point
 * are what is left of one that did not become complete.
 *
 * Whoever changes a folder has it locked.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/json.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKUP_DISKS_MAX  32
#define BACKUP_POINTS_MAX 4096
#define BACKUP_NAME_MAX   64 /* bytes of a file's name */
#define BACKUP_WHY_MAX    512

struct backup_disk {
	unsigned controller, lun;
	uint64_t size;  /* bytes of the disk */
	uint64_t bytes; /* of its data that were read */
	bool full;
	uint64_t chunks;
	uint32_t checksum; /* of the index: CRC-32C */
	char data[BACKUP_NAME_MAX], index[BACKUP_NAME_MAX];
};

struct backup_point {
	unsigned number, parent; /* parent: 0: none */
	char id[GUID_TEXT_SIZE];
	int64_t time; /* seconds since 1970 */
	char consistency[16];
	char vm[256], uuid[GUID_TEXT_SIZE];
	struct json_object *definition;
	size_t disk_count;
	struct backup_disk disks[BACKUP_DISKS_MAX];
};

struct backup_set {
	char path[PATH_MAX];
	int folder;
	size_t count;
	struct backup_point **points; /* the oldest first */
};

/*
 * change: it is made, if it is not there, and locked. Return: 0; negative with `why` filled.
 */
int backup_set_open(const char *path, bool change, struct backup_set **ret_set,
		    char why[static BACKUP_WHY_MAX]) MUST_CHECK;
void backup_set_free(struct backup_set *set);
DEFINE_CLEANUP(struct backup_set *, backup_set_free)

/* NULL: there is none. */
struct backup_point *backup_set_last(const struct backup_set *set);
struct backup_point *backup_set_find(const struct backup_set *set, unsigned number);
struct backup_disk *backup_point_find(struct backup_point *point, unsigned controller,
				      unsigned lun);

void backup_point_free(struct backup_point *point);
DEFINE_CLEANUP(struct backup_point *, backup_point_free)

/* Writes the point's file, durably, in the place of one of that number. Return: 0; -errno. */
int backup_set_write(struct backup_set *set, const struct backup_point *point) MUST_CHECK;

/* Adds it to those that are known; taken over, also on failure. Return: 0; -ENOMEM. */
int backup_set_add(struct backup_set *set, struct backup_point *point) MUST_CHECK;

/* Removes the oldest, on which none stands. Return: 0; -errno. */
int backup_set_remove_first(struct backup_set *set) MUST_CHECK;

/* Removes files that belong to no point. */
void backup_set_clean(const struct backup_set *set);

/* As it is written. NULL without memory. */
struct json_object *backup_point_to_json(const struct backup_point *point);

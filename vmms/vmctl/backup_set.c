/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of backups of one VM. */
#include "vmms/vmctl/backup_set.h"

#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT         "vmms-backup"
#define VERSION        1
#define POINT_SIZE_MAX (4u << 20) /* bytes of a file */

/* ---- A point ---- */

void backup_point_free(struct backup_point *point)
{
	if (!point)
		return;
	json_object_put(point->definition);
	free(point);
}

static struct json_object *disk_to_json(const struct backup_disk *disk)
{
	return json_make(
		"controller", json_object_new_uint64(disk->controller), "lun",
		json_object_new_uint64(disk->lun), "size", json_object_new_uint64(disk->size),
		"bytes", json_object_new_uint64(disk->bytes), "full",
		json_object_new_boolean(disk->full), "data", json_object_new_string(disk->data),
		"index", json_object_new_string(disk->index), "chunks",
		json_object_new_uint64(disk->chunks), "checksum",
		json_object_new_uint64(disk->checksum), NULL);
}

struct json_object *backup_point_to_json(const struct backup_point *point)
{
	struct json_object *disks = json_object_new_array();

	for (size_t i = 0; i < point->disk_count; i++)
		json_append(&disks, disk_to_json(&point->disks[i]));
	return json_make(
		"format", json_object_new_string(FORMAT), "version", json_object_new_int64(VERSION),
		"number", json_object_new_uint64(point->number), "parent",
		json_object_new_uint64(point->parent), "point", json_object_new_string(point->id),
		"time", json_object_new_int64(point->time), "consistency",
		json_object_new_string(point->consistency), "vm", json_object_new_string(point->vm),
		"uuid", json_object_new_string(point->uuid), "disks", disks, "definition",
		json_object_get(point->definition), NULL);
}

static uint64_t member_number(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_object_get(object, key);
	int64_t number = json_object_get_int64(value);

	return number > 0 ? (uint64_t)number : 0;
}

/* Return: whether it fits. */
static bool member_text(struct json_object *object, const char *key, char *text, size_t size)
{
	const char *value = json_object_get_string(json_object_object_get(object, key));
	int length = snprintf(text, size, "%s", value ? value : "");

	return value && length >= 0 && (size_t)length < size;
}

/* A file of the folder itself. */
static bool name_is_plain(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static bool disk_from_json(struct json_object *object, struct backup_disk *disk)
{
	*disk = (struct backup_disk){
		.controller = (unsigned)member_number(object, "controller"),
		.lun = (unsigned)member_number(object, "lun"),
		.size = member_number(object, "size"),
		.bytes = member_number(object, "bytes"),
		.full = json_object_get_boolean(json_object_object_get(object, "full")),
		.chunks = member_number(object, "chunks"),
		.checksum = (uint32_t)member_number(object, "checksum"),
	};
	return json_object_is_type(object, json_type_object) && disk->size > 0 &&
	       disk->size <= INT64_MAX &&
	       member_text(object, "data", disk->data, sizeof(disk->data)) &&
	       member_text(object, "index", disk->index, sizeof(disk->index)) &&
	       name_is_plain(disk->data) && name_is_plain(disk->index);
}

static bool point_from_json(struct json_object *object, struct backup_point *point)
{
	struct json_object *disks = json_object_object_get(object, "disks");
	char format[32];
	bool fits = json_object_is_type(object, json_type_object) &&
		    member_text(object, "format", format, sizeof(format)) &&
		    strcmp(format, FORMAT) == 0 && member_number(object, "version") == VERSION &&
		    json_object_is_type(disks, json_type_array) &&
		    json_object_array_length(disks) <= BACKUP_DISKS_MAX;

	if (!fits)
		return false;
	point->number = (unsigned)member_number(object, "number");
	point->parent = (unsigned)member_number(object, "parent");
	point->time = (int64_t)member_number(object, "time");
	point->definition = json_object_get(json_object_object_get(object, "definition"));
	point->disk_count = json_object_array_length(disks);
	for (size_t i = 0; fits && i < point->disk_count; i++)
		fits = disk_from_json(json_object_array_get_idx(disks, i), &point->disks[i]);
	return fits && point->parent < point->number &&
	       json_object_is_type(point->definition, json_type_object) &&
	       member_text(object, "point", point->id, sizeof(point->id)) &&
	       member_text(object, "consistency", point->consistency, sizeof(point->consistency)) &&
	       member_text(object, "vm", point->vm, sizeof(point->vm)) &&
	       member_text(object, "uuid", point->uuid, sizeof(point->uuid));
}

struct backup_disk *backup_point_find(struct backup_point *point, unsigned controller, unsigned lun)
{
	for (size_t i = 0; i < point->disk_count; i++) {
		if (point->disks[i].controller == controller && point->disks[i].lun == lun)
			return &point->disks[i];
	}
	return NULL;
}

/* ---- The folder ---- */

void backup_set_free(struct backup_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++)
		backup_point_free(set->points[i]);
	free(set->points);
	close_fdp(&set->folder);
	free(set);
}

int backup_set_add(struct backup_set *set, struct backup_point *point)
{
	struct backup_point **points =
		reallocarray(set->points, set->count + 1, sizeof(struct backup_point *));

	if (!points) {
		backup_point_free(point);
		return -ENOMEM;
	}
	set->points = points;
	points[set->count++] = point;
	return 0;
}

struct backup_point *backup_set_last(const struct backup_set *set)
{
	return set->count > 0 ? set->points[set->count - 1] : NULL;
}

struct backup_point *backup_set_find(const struct backup_set *set, unsigned number)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->points[i]->number == number)
			return set->points[i];
	}
	return NULL;
}

/* "12.json". 0: it is no such name. */
static unsigned point_number(const char *name)
{
	char canonical[32];
	unsigned number = (unsigned)strtoul(name, NULL, 10);

	snprintf(canonical, sizeof(canonical), "%u.json", number);
	return strcmp(name, canonical) == 0 ? number : 0;
}

static int set_read_point(struct backup_set *set, const char *name, char why[BACKUP_WHY_MAX])
{
	CLEANUP(backup_point_freep) struct backup_point *point = calloc(1, sizeof(*point));
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *text = NULL;
	struct json_error error;
	char path[PATH_MAX];
	size_t size;
	int r = -ENAMETOOLONG;

	if (!point)
		return -ENOMEM;
	if (snprintf(path, sizeof(path), "%s/%s", set->path, name) < (int)sizeof(path))
		r = file_read(path, POINT_SIZE_MAX, &text, &size);
	if (r == 0)
		r = json_parse(text, size, &tree, &error);
	if (r == 0 && (!point_from_json(tree, point) || point->number != point_number(name)))
		r = -EBADMSG;
	if (r < 0) {
		snprintf(why, BACKUP_WHY_MAX, "'%s' in '%.200s' cannot be read: %s", name,
			 set->path, strerror(-r));
		return r;
	}
	return backup_set_add(set, TAKE_PTR(point));
}

static int point_compare(const void *a, const void *b)
{
	const struct backup_point *first = *(struct backup_point *const *)a;
	const struct backup_point *second = *(struct backup_point *const *)b;

	return first->number < second->number ? -1 : first->number > second->number;
}

static int set_read(struct backup_set *set, char why[BACKUP_WHY_MAX])
{
	DIR *directory = opendir(set->path);
	int r = 0;

	if (!directory) {
		r = -errno;
		snprintf(why, BACKUP_WHY_MAX, "'%.200s' cannot be read: %s", set->path,
			 strerror(-r));
		return r;
	}
	for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
		if (point_number(entry->d_name) > 0 && set->count < BACKUP_POINTS_MAX)
			r = set_read_point(set, entry->d_name, why);
	}
	closedir(directory);
	if (set->count > 0)
		qsort(set->points, set->count, sizeof(struct backup_point *), point_compare);
	return r;
}

static int set_open_folder(struct backup_set *set, bool change, char why[BACKUP_WHY_MAX])
{
	if (change && mkdir(set->path, 0700) < 0 && errno != EEXIST) {
		snprintf(why, BACKUP_WHY_MAX, "'%.200s' cannot be made: %s", set->path,
			 strerror(errno));
		return -1;
	}
	set->folder = open(set->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->folder < 0) {
		snprintf(why, BACKUP_WHY_MAX, "'%.200s' cannot be opened: %s", set->path,
			 strerror(errno));
		return -1;
	}
	if (flock(set->folder, (change ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		snprintf(why, BACKUP_WHY_MAX, "'%.200s' is in use by another backup", set->path);
		return -1;
	}
	return 0;
}

int backup_set_open(const char *path, bool change, struct backup_set **ret_set,
		    char why[static BACKUP_WHY_MAX])
{
	CLEANUP(backup_set_freep) struct backup_set *set = calloc(1, sizeof(*set));
	int r;

	snprintf(why, BACKUP_WHY_MAX, "%s", strerror(ENOMEM));
	if (!set)
		return -ENOMEM;
	set->folder = -1;
	if (snprintf(set->path, sizeof(set->path), "%s", path) >= (int)sizeof(set->path)) {
		snprintf(why, BACKUP_WHY_MAX, "the name of the folder is too long");
		return -ENAMETOOLONG;
	}
	r = set_open_folder(set, change, why);
	if (r == 0)
		r = set_read(set, why);
	if (r < 0)
		return r;
	*ret_set = TAKE_PTR(set);
	return 0;
}

/* ---- Changes ---- */

int backup_set_write(struct backup_set *set, const struct backup_point *point)
{
	AUTO_JSON struct json_object *tree = backup_point_to_json(point);
	const char *text =
		tree ? json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY) : NULL;
	char name[BACKUP_NAME_MAX], temporary[BACKUP_NAME_MAX];
	AUTO_CLOSE int fd = -1;
	int r;

	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%u.json", point->number);
	snprintf(temporary, sizeof(temporary), ".%u.json.vmms-new", point->number);
	fd = openat(set->folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(set->folder, temporary, set->folder, name) < 0)
		r = -errno;
	if (r == 0 && fsync(set->folder) < 0)
		r = -errno;
	return r;
}

int backup_set_remove_first(struct backup_set *set)
{
	struct backup_point *point = set->points[0];
	char name[BACKUP_NAME_MAX];

	snprintf(name, sizeof(name), "%u.json", point->number);
	if (unlinkat(set->folder, name, 0) < 0 || fsync(set->folder) < 0)
		return -errno;
	set->count--;
	memmove(set->points, set->points + 1, set->count * sizeof(struct backup_point *));
	backup_point_free(point);
	backup_set_clean(set);
	return 0;
}

/* A name that only a backup gives: "12-0-3.data", ".12.json.vmms-new". */
static bool name_is_ours(const char *name)
{
	const char *dot = strrchr(name, '.');
	unsigned number, controller, lun;

	if (!dot)
		return false;
	if (strcmp(dot, ".vmms-new") == 0)
		return sscanf(name, ".%u.json", &number) == 1;
	return sscanf(name, "%u-%u-%u.", &number, &controller, &lun) == 3 &&
	       (strcmp(dot, ".data") == 0 || strcmp(dot, ".index") == 0);
}

static bool set_uses(const struct backup_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++) {
		for (size_t j = 0; j < set->points[i]->disk_count; j++) {
			const struct backup_disk *disk = &set->points[i]->disks[j];

			if (strcmp(disk->data, name) == 0 || strcmp(disk->index, name) == 0)
				return true;
		}
	}
	return false;
}

void backup_set_clean(const struct backup_set *set)
{
	DIR *directory = opendir(set->path);

	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (name_is_ours(entry->d_name) && !set_uses(set, entry->d_name))
			(void)unlinkat(set->folder, entry->d_name, 0);
	}
	closedir(directory);
}

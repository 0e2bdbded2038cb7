/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl backup of a VM that does not run: all of its disks, from their files, which vmctl opens with the
 * rights of who calls it, and keeps locked against a start meanwhile.
 */
#include "vmms/vmctl/cmd_backup.h"

#include "common/image/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct json_object *backup_describe_stopped(struct json_object *definition, const char *state)
{
	char point[GUID_TEXT_SIZE];
	struct guid id;

	if (guid_generate(&id) < 0)
		return NULL;
	guid_format(&id, point);
	return json_make("point", json_object_new_string(point), "time",
			 json_object_new_int64(time(NULL)), "consistency",
			 json_object_new_string(strcmp(state, "off") == 0 ? "off" : "crash"),
			 "definition", json_object_get(definition), NULL);
}

static int stopped_refuse(const char *path, const char *what, char why[BACKUP_WHY_MAX])
{
	snprintf(why, BACKUP_WHY_MAX, "'%.200s' cannot be backed up: %s", path, what);
	return -EIO;
}

static const char *stopped_error_text(int r)
{
	if (r == -ENOTSUP)
		return "only its VM reads this format, or what it stands on, once it runs";
	return r < 0 ? strerror(-r) : vhdx_error_text(r);
}

static int stopped_read(const struct backup_set *set, struct backup_disk *disk, int fd,
			const char *format, const char *path,
			const struct backup_progress *progress, char why[BACKUP_WHY_MAX])
{
	CLEANUP(image_content_freep) struct image_content *content = NULL;
	int r = image_content_open(
		fd, format ? (enum image_format)image_format_find(format) : IMAGE_RAW, false,
		&content);

	if (r)
		return stopped_refuse(path, stopped_error_text(r), why);
	disk->size = image_content_size(content);
	disk->full = true;
	r = backup_data_copy(set, disk, content, progress);
	return r ? stopped_refuse(path, stopped_error_text(r), why) : 0;
}

int backup_take_stopped(const struct backup_set *set, struct backup_disk *disk,
			struct json_object *item, const struct backup_progress *progress,
			char why[static BACKUP_WHY_MAX])
{
	const struct image_options options = { .read_only = true, .sector_size = 512 };
	const char *path = json_object_get_string(json_object_object_get(item, "path"));
	const char *format = json_object_get_string(json_object_object_get(item, "format"));
	struct image image;
	int r;

	if (!path)
		return stopped_refuse("", "it has no file", why);
	r = image_open(path, &options, &image);
	if (r)
		return stopped_refuse(path, image_error_text(r), why);
	r = stopped_read(set, disk, image.fd, format, path, progress, why);
	close_fdp(&image.fd);
	return r;
}

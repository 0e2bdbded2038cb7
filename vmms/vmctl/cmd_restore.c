/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl restore: disks of a backup, and the VM. */
#include "vmms/vmctl/cmd_backup.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/file.h"
#include "common/base/parse.h"
#include "common/image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VHDX_BLOCK_SIZE (32u << 20)

struct restore {
	struct invocation *invocation;
	struct backup_set *set;
	struct backup_point *point;
	const char *name; /* of the new VM; NULL: as it was */
	struct backup_teller teller;
	size_t made; /* files, for whoever takes them back */
	char *paths[BACKUP_DISKS_MAX];
};

/* ---- A disk ---- */

static int restore_write(void *data, uint64_t offset, const void *bytes, size_t size)
{
	return image_content_write(data, offset, bytes, size);
}

static enum image_format restore_format(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcasecmp(dot, ".vhdx") == 0 ? IMAGE_VHDX : IMAGE_RAW;
}

static uint32_t restore_sector_size(struct json_object *item)
{
	int64_t size = json_object_get_int64(json_object_object_get(item, "sector_size"));

	return size == 4096 ? 4096 : 512;
}

static int restore_content(struct restore *restore, const struct backup_disk *disk,
			   const char *path, int fd, char why[BACKUP_WHY_MAX])
{
	struct json_object *definition = restore->point->definition;
	struct json_object *item = backup_find_disk(definition, disk);
	const struct image_content_options options = {
		.format = restore_format(path),
		.size = disk->size,
		.block_size = VHDX_BLOCK_SIZE,
		.sector_size = restore_sector_size(item),
		.physical_sector_size = 4096,
	};
	const struct backup_progress progress = { backup_tell, &restore->teller };
	CLEANUP(image_content_freep) struct image_content *content = NULL;
	struct backup_target target = { .write = restore_write };
	int r = image_content_make(fd, &options, &content);

	if (r == 0) {
		target.data = content;
		r = backup_data_restore(restore->set, restore->point, disk, &target, &progress,
					why);
		if (r < 0)
			return r;
		r = image_content_end(content);
	}
	if (r < 0)
		snprintf(why, BACKUP_WHY_MAX, "'%.200s' cannot be made: %s", path, strerror(-r));
	return r;
}

/* Of a file that was not there before. */
static enum status restore_disk(struct restore *restore, const struct backup_disk *disk,
				const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char why[BACKUP_WHY_MAX];
	int r;

	if (fd < 0) {
		snprintf(why, sizeof(why), "'%.200s' cannot be made: %s", path, strerror(errno));
		return backup_failed(why);
	}
	r = restore_content(restore, disk, path, fd, why);
	backup_tell_end(&restore->teller);
	if (r == 0)
		return STATUS_OK;
	(void)unlink(path);
	return backup_failed(why);
}

static enum status restore_one(struct restore *restore, const char *place)
{
	const char *path =
		restore->invocation->argument_count > 1 ? restore->invocation->arguments[1] : NULL;
	unsigned controller, lun;
	struct backup_disk *disk;
	char end;

	if (sscanf(place, "%u:%u%c", &controller, &lun, &end) != 2)
		return usage_error(restore->invocation, "'%s' is no disk; one is '0:0'", place);
	if (!path)
		return usage_error(restore->invocation, "which file is the disk to be in?");
	disk = backup_point_find(restore->point, controller, lun);
	if (!disk)
		return backup_failed("the point has no such disk");
	return restore_disk(restore, disk, path);
}

/* ---- The VM ---- */

/* FOLDER/NAME-C-L.FORMAT; the folder is that of the disk, unless one is said. NULL without memory. */
static char *restore_path(const struct restore *restore, struct json_object *disk)
{
	const char *folder = invocation_value(restore->invocation, "to"), *old, *format, *base;
	AUTO_FREE char *own = NULL;
	char *path;

	old = json_object_get_string(json_object_object_get(disk, "path"));
	format = json_object_get_string(json_object_object_get(disk, "format"));
	if (!restore->name && !folder)
		return old ? strdup(old) : NULL;
	base = restore->name ? restore->name : restore->point->vm;
	if (!folder && old && strchr(old, '/'))
		own = strndup(old, (size_t)(strrchr(old, '/') - old));
	AUTO_FREE char *absolute = absolute_path(folder ? folder : own ? own : ".");
	if (!absolute || asprintf(&path, "%s/%s-%d-%d.%s", absolute, base,
				  json_object_get_int(json_object_object_get(disk, "controller")),
				  json_object_get_int(json_object_object_get(disk, "lun")),
				  format && strcmp(format, "raw") != 0 ? "vhdx" : "raw") < 0)
		return NULL;
	return path;
}

static enum status restore_all_disks(struct restore *restore, struct json_object *definition)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < restore->point->disk_count; i++) {
		const struct backup_disk *disk = &restore->point->disks[i];
		struct json_object *item = backup_find_disk(definition, disk);
		char *path = item ? restore_path(restore, item) : NULL;

		if (!path)
			return backup_failed("the definition in the point has no place for a disk");
		status = restore_disk(restore, disk, path);
		if (status != STATUS_OK) {
			free(path);
			return status;
		}
		restore->paths[restore->made++] = path;
		json_object_object_add(item, "path", json_object_new_string(path));
		json_object_object_add(item, "format",
				       json_object_new_string(restore_format(path) == IMAGE_VHDX
								      ? "vhdx"
								      : "raw"));
	}
	return status;
}

/* A VM beside the one that there may still be is another one. */
static void restore_change_identity(const struct restore *restore, struct json_object *definition)
{
	struct json_object *adapters = json_object_object_get(definition, "network_adapters");
	char text[GUID_TEXT_SIZE];
	struct guid id;

	json_object_object_del(definition, "generation_id");
	if (guid_generate(&id) == 0) {
		guid_format(&id, text);
		json_object_object_add(definition, "generation_id", json_object_new_string(text));
	}
	json_object_object_del(definition, "owner");
	if (!restore->name)
		return;
	json_object_object_add(definition, "name", json_object_new_string(restore->name));
	json_object_object_del(definition, "uuid");
	for (size_t i = 0; json_object_is_type(adapters, json_type_array) &&
			   i < json_object_array_length(adapters);
	     i++) {
		json_object_object_del(json_object_array_get_idx(adapters, i), "mac");
		json_object_object_del(json_object_array_get_idx(adapters, i), "instance");
	}
}

static enum status restore_vm(struct restore *restore)
{
	struct json_object *definition = restore->point->definition;
	const char *name = restore->name ? restore->name : restore->point->vm;
	enum status status;

	restore_change_identity(restore, definition);
	status = restore_all_disks(restore, definition);
	if (status == STATUS_OK)
		status = service_call_manager(restore->invocation, "CreateVM", SERVICE_TIMEOUT,
					      NULL, "s", json_object_to_json_string(definition));
	for (size_t i = 0; i < restore->made; i++) {
		if (status != STATUS_OK)
			(void)unlink(restore->paths[i]);
		free(restore->paths[i]);
	}
	if (status == STATUS_OK)
		output_say(restore->invocation, "VM '%s' restored from point %u", name,
			   restore->point->number);
	return status;
}

enum status command_restore(struct invocation *invocation)
{
	struct restore restore = { .invocation = invocation,
				   .name = invocation_value(invocation, "name"),
				   .teller = { .label = "restore", .quiet = invocation->json } };
	CLEANUP(backup_set_freep) struct backup_set *set = NULL;
	const char *point = invocation_value(invocation, "point");
	const char *disk = invocation_value(invocation, "disk");
	uint64_t number = 0;
	char why[BACKUP_WHY_MAX];

	if (point && parse_unsigned(point, 1, UINT32_MAX, &number) < 0)
		return usage_error(invocation, "'%s' is no point", point);
	if (!disk && invocation->argument_count > 1)
		return usage_error(invocation, "a file is for --disk");
	if (backup_set_open(invocation->arguments[0], false, &set, why) < 0)
		return backup_failed(why);
	restore.set = set;
	restore.point = point ? backup_set_find(set, (unsigned)number) : backup_set_last(set);
	if (!restore.point)
		return backup_failed("there is no such point in the folder");
	return disk ? restore_one(&restore, disk) : restore_vm(&restore);
}

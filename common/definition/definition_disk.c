/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks and DVD drives of a definition, read by a table of keys. */
#include "common/definition/definition.h"
#include "common/definition/definition_internal.h"
#include "common/image/image.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char *const definition_drive_names[] = { "disk", "dvd", NULL };
const char *const definition_cache_names[] = { "direct", "buffered", "unsafe", NULL };
const char *const definition_on_error_names[] = { "automatic", "report", "pause", "stop", NULL };

static bool serial_is_valid(const char *serial)
{
	for (; *serial != '\0'; serial++) {
		if (!isgraph((unsigned char)*serial))
			return false;
	}
	return true;
}

static bool format_is_valid(const char *format)
{
	return image_format_find(format) >= 0;
}

static const struct json_text_rule serial_rule = {
	serial_is_valid,
	"must be printable ASCII without blanks",
};
static const struct json_text_rule format_rule = {
	format_is_valid,
	"must be raw, qcow2, vhd, vhdx or vmdk",
};

/* With fewer a guest takes its disk for broken. */
#define IOPS_MIN      10
#define IOPS_MAX      100000000
#define BANDWIDTH_MIN (UINT64_C(64) << 10)
#define BANDWIDTH_MAX (UINT64_C(1) << 40)

#define DISK(member) offsetof(struct definition_disk, member)

static const struct json_key disk_keys[] = {
	{ .name = "controller",
	  .read = json_read_unsigned,
	  .offset = DISK(controller),
	  .maximum = DEFINITION_CONTROLLERS_MAX - 1 },
	{ .name = "lun",
	  .read = json_read_unsigned,
	  .offset = DISK(lun),
	  .maximum = DEFINITION_LUNS_MAX - 1 },
	{ .name = "type",
	  .read = json_read_enum,
	  .offset = DISK(drive),
	  .detail = definition_drive_names },
	{ .name = "path",
	  .read = json_read_string,
	  .offset = DISK(path),
	  .minimum = 2,
	  .maximum = PATH_MAX - 1,
	  .detail = &definition_path_rule },
	{ .name = "format",
	  .read = json_read_string,
	  .offset = DISK(format),
	  .minimum = 1,
	  .maximum = 16,
	  .detail = &format_rule },
	{ .name = "serial",
	  .read = json_read_string,
	  .offset = DISK(serial),
	  .minimum = 1,
	  .maximum = DEFINITION_SERIAL_MAX,
	  .detail = &serial_rule },
	{ .name = "read_only", .read = json_read_bool, .offset = DISK(read_only) },
	{ .name = "cache",
	  .read = json_read_enum,
	  .offset = DISK(cache),
	  .detail = definition_cache_names },
	{ .name = "on_error",
	  .read = json_read_enum,
	  .offset = DISK(on_error),
	  .detail = definition_on_error_names },
	{ .name = "iops",
	  .read = json_read_uint64,
	  .offset = DISK(iops),
	  .minimum = IOPS_MIN,
	  .maximum = IOPS_MAX },
	{ .name = "bandwidth",
	  .read = json_read_size,
	  .offset = DISK(bandwidth),
	  .minimum = BANDWIDTH_MIN,
	  .maximum = BANDWIDTH_MAX },
	{ .name = "sector_size",
	  .read = json_read_unsigned,
	  .offset = DISK(sector_size),
	  .minimum = 512,
	  .maximum = 4096 },
};

void definition_disk_deinit(struct definition_disk *disk)
{
	free(disk->path);
	free(disk->format);
	free(disk->serial);
	*disk = (struct definition_disk){ 0 };
}

static int disk_check_dvd(struct json_reader *reader, struct json_object *object,
			  struct definition_disk *disk)
{
	if (json_object_object_get_ex(object, "read_only", NULL) && !disk->read_only)
		return definition_refuse_member(reader, object, "read_only",
						"a DVD is always read-only");
	if (json_object_object_get_ex(object, "sector_size", NULL) &&
	    disk->sector_size != DEFINITION_DVD_SECTOR_SIZE)
		return definition_refuse_member(
			reader, object, "sector_size",
			"a DVD has sectors of 2048 bytes; leave the key out");
	if (disk->iops || disk->bandwidth)
		return definition_refuse_member(reader, object, disk->iops ? "iops" : "bandwidth",
						"a DVD drive has no limits; leave the key out");
	if (image_format_find(disk->format) != IMAGE_RAW)
		return definition_refuse_member(reader, object, "format",
						"a DVD is always raw; leave the key out");
	disk->read_only = true;
	disk->sector_size = DEFINITION_DVD_SECTOR_SIZE;
	return 0;
}

static int disk_check(struct json_reader *reader, struct json_object *object,
		      struct definition_disk *disk)
{
	if (disk->drive == DEFINITION_DRIVE_DVD)
		return disk_check_dvd(reader, object, disk);
	if (!disk->path)
		return definition_refuse_member(reader, object, "path",
						"is missing; name the image file or block device");
	if (disk->sector_size != 512 && disk->sector_size != 4096)
		return definition_refuse_member(reader, object, "sector_size",
						"must be 512 or 4096");
	return 0;
}

static int disk_read(struct json_reader *reader, struct json_object *object,
		     struct definition_disk *ret_disk)
{
	struct definition_disk disk = { .sector_size = 512 };
	int r = -ENOMEM;

	disk.format = strdup(image_format_names[IMAGE_RAW]);
	if (disk.format)
		r = json_read(reader, object, disk_keys, ARRAY_SIZE(disk_keys), &disk);
	if (r == 0)
		r = disk_check(reader, object, &disk);
	if (r < 0) {
		definition_disk_deinit(&disk);
		return r;
	}
	*ret_disk = disk;
	return 0;
}

int definition_disk_from_json(struct json_object *object, struct definition_disk *ret_disk,
			      struct json_error *ret_error)
{
	struct json_reader reader = JSON_READER(ret_error);

	return disk_read(&reader, object, ret_disk);
}

struct definition_disk *definition_find_disk(const struct definition *definition,
					     unsigned controller, unsigned lun)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		struct definition_disk *disk = &definition->disks[i];

		if (disk->controller == controller && disk->lun == lun)
			return disk;
	}
	return NULL;
}

int definition_add_disk(struct definition *definition, struct definition_disk *disk)
{
	struct definition_disk *disks;

	if (definition_find_disk(definition, disk->controller, disk->lun))
		return -EEXIST;
	disks = reallocarray(definition->disks, definition->disk_count + 1, sizeof(*disks));
	if (!disks)
		return -ENOMEM;
	definition->disks = disks;
	disks[definition->disk_count++] = *disk;
	*disk = (struct definition_disk){ 0 };
	return 0;
}

void definition_remove_disk(struct definition *definition, struct definition_disk *disk)
{
	size_t index = (size_t)(disk - definition->disks);

	definition_disk_deinit(disk);
	definition->disk_count--;
	memmove(disk, disk + 1, (definition->disk_count - index) * sizeof(*disk));
}

int definition_disks_read(struct json_reader *reader, const struct json_key *key,
			  struct json_object *value, void *target)
{
	struct definition *definition = target;
	struct definition_disk disk;
	size_t mark;
	int r;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be an array of disks, not %s",
				   json_type_text(value));
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct json_object *element = json_object_array_get_idx(value, i);

		mark = json_enter_index(reader, i);
		r = disk_read(reader, element, &disk);
		if (r < 0)
			return r;
		r = definition_add_disk(definition, &disk);
		if (r == -EEXIST)
			json_refuse(reader, element,
				    "there is a disk at controller %u, lun %u already; give this "
				    "one another lun",
				    disk.controller, disk.lun);
		definition_disk_deinit(&disk);
		if (r < 0)
			return r == -EEXIST ? -EINVAL : r;
		json_leave(reader, mark);
	}
	return 0;
}

bool definition_is_ide(const struct definition *definition, unsigned controller, unsigned lun)
{
	return definition->generation == 1 && controller == 0 && lun < DEFINITION_IDE_DISKS;
}

bool definition_disk_is_written(const struct definition_disk *disk)
{
	return disk->drive == DEFINITION_DRIVE_DISK && !disk->read_only && disk->path;
}

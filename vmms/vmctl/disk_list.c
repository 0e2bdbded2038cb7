/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks of a VM and how they are. */
#include "vmms/vmctl/disk_list.h"

#include "common/base/text.h"
#include "vmms/vmctl/screen.h"
#include "vmms/vmctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum status disk_list_get(struct invocation *invocation, const char *path,
			  struct json_object **ret_disks)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	enum status status;
	int r;

	*ret_disks = NULL;
	status = service_new_call(invocation, path, "GetDisks", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_call(invocation->bus, call, SERVICE_TIMEOUT * UINT64_C(1000000), &error, &reply);
	if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_METHOD)) {
		sd_bus_error_free(&error);
		return STATUS_OK;
	}
	if (r >= 0)
		r = service_read_json(reply, &tree);
	if (r < 0)
		return service_failed(r, &error);
	*ret_disks = json_object_get(json_object_object_get(tree, "disks"));
	return STATUS_OK;
}

static const char *list_member(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_object_get(object, key);

	return value ? json_object_get_string(value) : "";
}

static void list_add_size(struct table *table, struct json_object *disk)
{
	struct json_object *size = json_object_object_get(disk, "size");
	char text[SCREEN_CELL] = "";

	if (size)
		screen_format_bytes((double)json_object_get_int64(size), text);
	table_add(table, "%s", text);
}

static void list_add_disk(struct table *table, struct json_object *disk)
{
	bool read_only = json_object_get_boolean(json_object_object_get(disk, "read_only"));

	table_add(table, "%s", list_member(disk, "controller"));
	table_add(table, "%s", list_member(disk, "lun"));
	table_add(table, "%s", list_member(disk, "type"));
	table_add(table, "%s", read_only ? "read-only" : "read-write");
	list_add_size(table, disk);
	table_add(table, "%s", list_member(disk, "format"));
	table_add(table, "%s", list_member(disk, "cache"));
	table_add(table, "%s", list_member(disk, "sector_size"));
	table_add(table, "%s", list_member(disk, "server"));
	table_add(table, "%s", list_member(disk, "health"));
	table_add(table, "%s", list_member(disk, "path"));
}

static void list_print_limits(struct json_object *disk)
{
	const char *iops = list_member(disk, "iops"), *bandwidth = list_member(disk, "bandwidth");

	if (iops[0] == '\0' && bandwidth[0] == '\0')
		return;
	printf("disk %s:%s: limited to %s%s%s%s%s a second\n", list_member(disk, "controller"),
	       list_member(disk, "lun"), iops, iops[0] != '\0' ? " requests" : "",
	       iops[0] != '\0' && bandwidth[0] != '\0' ? " and " : "", bandwidth,
	       bandwidth[0] != '\0' ? "B" : "");
}

static void list_print_problem(struct json_object *disk)
{
	const char *problem = list_member(disk, "problem");
	AUTO_FREE char *escaped = text_escape_new(problem, strlen(problem));

	if (problem[0] != '\0' && escaped)
		printf("disk %s:%s: %s\n", list_member(disk, "controller"),
		       list_member(disk, "lun"), escaped);
}

void disk_list_print(struct json_object *disks)
{
	static const char *const titles[] = { "CONTROLLER", "LUN",    "TYPE",  "ACCESS",
					      "SIZE",       "FORMAT", "CACHE", "SECTOR",
					      "SERVER",     "HEALTH", "PATH" };
	size_t count = disks ? json_object_array_length(disks) : 0;
	struct table *table = count > 0 ? table_new(titles, ARRAY_SIZE(titles)) : NULL;

	if (!table)
		return;
	for (size_t i = 0; i < count; i++)
		list_add_disk(table, json_object_array_get_idx(disks, i));
	putchar('\n');
	table_print(table);
	table_free(table);
	for (size_t i = 0; i < count; i++)
		list_print_limits(json_object_array_get_idx(disks, i));
	for (size_t i = 0; i < count; i++)
		list_print_problem(json_object_array_get_idx(disks, i));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be done with the file of a disk, as a caller asks for it. */
#include "vmms/disk/disk_request.h"

#include "common/base/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

const char *const disk_operation_names[] = {
	[DISK_CREATE] = "create",   [DISK_INFO] = "info",     [DISK_CHECK] = "check",
	[DISK_CONVERT] = "convert", [DISK_RESIZE] = "resize", [DISK_COMPACT] = "compact",
	[DISK_MAP] = "map",         [DISK_MERGE] = "merge",   [DISK_REBASE] = "rebase",
	[DISK_REBASE + 1] = NULL,
};

static bool disk_path_is_absolute(const char *text)
{
	return text[0] == '/';
}

static bool disk_format_is_known(const char *text)
{
	return image_format_find(text) >= 0;
}

static const struct json_text_rule path_rule = { disk_path_is_absolute, "an absolute path" };
static const struct json_text_rule format_rule = { disk_format_is_known,
						   "raw, qcow2, vhd, vhdx or vmdk" };

#define MEMBER(member) .offset = offsetof(struct disk_request, member)

static const struct json_key keys[] = {
	{ "operation", json_read_enum, MEMBER(operation), .required = true,
	  .detail = disk_operation_names },
	{ "path", json_read_string, MEMBER(path), .required = true, .minimum = 2,
	  .maximum = PATH_MAX - 1, .detail = &path_rule },
	{ "format", json_read_string, MEMBER(format), .minimum = 1, .maximum = 16,
	  .detail = &format_rule },
	{ "target", json_read_string, MEMBER(target), .minimum = 2, .maximum = PATH_MAX - 1,
	  .detail = &path_rule },
	{ "target_format", json_read_string, MEMBER(target_format), .minimum = 1, .maximum = 16,
	  .detail = &format_rule },
	{ "parent", json_read_string, MEMBER(parent), .minimum = 2, .maximum = PATH_MAX - 1,
	  .detail = &path_rule },
	{ "size", json_read_size, MEMBER(size), .minimum = 512, .maximum = INT64_MAX },
	{ "block_size", json_read_size, MEMBER(block_size), .minimum = VHDX_BLOCK_MIN,
	  .maximum = VHDX_BLOCK_MAX },
	{ "sector_size", json_read_unsigned, MEMBER(sector_size), .minimum = 512, .maximum = 4096 },
	{ "offset", json_read_uint64, MEMBER(offset), .maximum = INT64_MAX },
	{ "fixed", json_read_bool, MEMBER(fixed) },
	{ "shrink", json_read_bool, MEMBER(shrink) },
	{ "repair", json_read_bool, MEMBER(repair) },
};

/* What belongs to an operation, and to no other. Return: NULL: all is there. */
static const char *disk_request_find_fault(const struct disk_request *request)
{
	bool made = request->operation == DISK_CREATE || request->operation == DISK_CONVERT;
	bool sized = (request->operation == DISK_CREATE && !request->parent) ||
		     request->operation == DISK_RESIZE;

	if (request->parent && request->operation != DISK_CREATE &&
	    request->operation != DISK_REBASE)
		return "a parent goes with create and rebase";
	if (!request->parent && request->operation == DISK_REBASE)
		return "a parent has to be said";
	if (request->parent && (request->size || request->sector_size || request->fixed))
		return "a disk on a parent has its size and its sectors, and grows as it is "
		       "written: size, sector_size and fixed are of others";
	if (request->parent && request->format && strcmp(request->format, "vhdx") != 0)
		return "a disk on a parent is a VHDX";
	if (sized != (request->size > 0))
		return sized ? "a size has to be said" : "a size goes with create and resize";
	if ((request->operation == DISK_CONVERT) != (request->target != NULL))
		return "a target goes with convert, which needs one";
	if (request->target_format && !request->target)
		return "target_format goes with a target";
	if (!made && (request->fixed || request->block_size || request->sector_size))
		return "fixed, block_size and sector_size are of new disks";
	if (request->block_size & (request->block_size - 1))
		return "block_size has to be a power of two, from 1M to 256M";
	if (request->sector_size && request->sector_size != 512 && request->sector_size != 4096)
		return "sector_size has to be 512 or 4096";
	if (request->shrink && request->operation != DISK_RESIZE)
		return "shrink goes with resize";
	if (request->repair && request->operation != DISK_CHECK)
		return "repair goes with check";
	return NULL;
}

static int disk_request_read(const char *text, struct disk_request *request,
			     struct failure *failure)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	const char *fault;
	int r;

	r = json_read_text(text, strlen(text), DISK_REQUEST_MAX, keys, ARRAY_SIZE(keys), request,
			   &tree, &error);
	if (r == -EINVAL)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "%s%s%s", error.key,
				   error.key[0] ? " " : "", error.message);
	if (r < 0)
		return failure_no_memory(failure);
	fault = disk_request_find_fault(request);
	return fault ? failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "%s", fault) : 0;
}

int disk_request_parse(const char *text, struct disk_request **ret_request, struct failure *failure)
{
	CLEANUP(disk_request_freep) struct disk_request *request = calloc(1, sizeof(*request));
	int r = request ? disk_request_read(text, request, failure) : failure_no_memory(failure);

	if (r == 0)
		*ret_request = TAKE_PTR(request);
	return r;
}

void disk_request_free(struct disk_request *request)
{
	if (!request)
		return;
	free(request->path);
	free(request->format);
	free(request->target);
	free(request->target_format);
	free(request->parent);
	free(request);
}

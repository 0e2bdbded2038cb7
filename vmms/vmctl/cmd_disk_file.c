/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl disk create, convert, resize, compact, merge, rebase. */
#include "vmms/vmctl/disk_job.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/parse.h"
#include "common/image/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a name says that its format is. NULL: nothing. */
static const char *file_guess_format(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');

	if (!dot)
		return NULL;
	if (strcasecmp(dot, ".img") == 0)
		return "raw";
	for (size_t i = 0; image_format_names[i]; i++) {
		if (strcasecmp(dot + 1, image_format_names[i]) == 0)
			return image_format_names[i];
	}
	return NULL;
}

static void file_add_path(struct json_object **request, const char *key, const char *path)
{
	AUTO_FREE char *absolute = absolute_path(path);

	json_add(request, key, absolute ? json_object_new_string(absolute) : NULL);
}

static void file_add_text(struct json_object **request, const char *key, const char *value)
{
	if (value)
		json_add(request, key, json_object_new_string(value));
}

/* Of a new disk. Return: false: an option is wrong, which has been said. */
static bool file_add_options(struct invocation *invocation, struct json_object **request)
{
	unsigned sector_size;

	file_add_text(request, "block_size", invocation_value(invocation, "block-size"));
	if (invocation_has(invocation, "sector-size")) {
		if (!invocation_number(invocation, "sector-size", 4096, &sector_size))
			return false;
		json_add(request, "sector_size", json_object_new_int64(sector_size));
	}
	if (invocation_has(invocation, "fixed"))
		json_add(request, "fixed", json_object_new_boolean(true));
	return true;
}

static struct json_object *file_new_request(const struct invocation *invocation,
					    const char *operation)
{
	struct json_object *request =
		json_make("operation", json_object_new_string(operation), NULL);

	file_add_path(&request, "path", invocation->arguments[0]);
	return request;
}

/* found: NULL: it goes on without us. */
static enum status file_conclude(const struct invocation *invocation, struct json_object *found,
				 const char *done)
{
	if (!found)
		return STATUS_OK;
	if (invocation->json)
		return json_print(json_object_get(found)) < 0 ? service_failed(-ENOMEM, NULL)
							      : STATUS_OK;
	output_say(invocation, "'%s' %s",
		   json_object_get_string(json_object_object_get(found, "path")), done);
	return STATUS_OK;
}

static enum status file_do(struct invocation *invocation, struct json_object *request,
			   const char *done)
{
	AUTO_JSON struct json_object *found = NULL;
	enum status status = disk_job_do(invocation, request, invocation->arguments[0], &found);

	return status == STATUS_OK ? file_conclude(invocation, found, done) : status;
}

enum status command_disk_create(struct invocation *invocation)
{
	const char *format = invocation_value(invocation, "format");
	const char *parent = invocation_value(invocation, "parent");
	struct json_object *request;

	if (!parent == (invocation->argument_count < 2))
		return usage_error(invocation, parent ? "a disk on a parent has its size"
						      : "a new disk needs a size, or --parent");
	request = file_new_request(invocation, "create");
	if (parent)
		file_add_path(&request, "parent", parent);
	else
		file_add_text(&request, "size", invocation->arguments[1]);
	file_add_text(&request, "format",
		      format ? format : file_guess_format(invocation->arguments[0]));
	if (!file_add_options(invocation, &request)) {
		json_object_put(request);
		return STATUS_USAGE;
	}
	return file_do(invocation, request, "made");
}

enum status command_disk_convert(struct invocation *invocation)
{
	const char *format = invocation_value(invocation, "format");
	struct json_object *request = file_new_request(invocation, "convert");

	file_add_path(&request, "target", invocation->arguments[1]);
	file_add_text(&request, "format", invocation_value(invocation, "from-format"));
	file_add_text(&request, "target_format",
		      format ? format : file_guess_format(invocation->arguments[1]));
	if (!file_add_options(invocation, &request)) {
		json_object_put(request);
		return STATUS_USAGE;
	}
	return file_do(invocation, request, "made");
}

/* ---- resize ---- */

/* "+10G": so much more than it has. */
static enum status file_find_size(struct invocation *invocation, uint64_t *ret_size)
{
	AUTO_JSON struct json_object *found = NULL;
	struct json_object *request = file_new_request(invocation, "info"), *size;
	enum status status;

	file_add_text(&request, "format", invocation_value(invocation, "format"));
	status = disk_job_do(invocation, request, invocation->arguments[0], &found);
	if (status != STATUS_OK)
		return status;
	if (!json_object_object_get_ex(found, "size", &size))
		return service_failed(-EBADMSG, NULL);
	*ret_size = (uint64_t)json_object_get_int64(size);
	return STATUS_OK;
}

static enum status file_read_size(struct invocation *invocation, const char *text,
				  uint64_t *ret_size)
{
	uint64_t before = 0, size;
	bool more = text[0] == '+';
	enum status status;

	if (parse_size(text + more, &size) < 0)
		return usage_error(invocation,
				   "'%s' is no size, such as 64G, or +10G for so much more", text);
	if (more && invocation_has(invocation, "no-wait"))
		return usage_error(invocation, "--no-wait goes with a size that is not relative");
	status = more ? file_find_size(invocation, &before) : STATUS_OK;
	if (size > INT64_MAX - before)
		return usage_error(invocation, "'%s' is too much", text);
	*ret_size = before + size;
	return status;
}

enum status command_disk_resize(struct invocation *invocation)
{
	struct json_object *request;
	uint64_t size;
	enum status status = file_read_size(invocation, invocation->arguments[1], &size);

	if (status != STATUS_OK)
		return status;
	request = file_new_request(invocation, "resize");
	json_add(&request, "size", json_object_new_int64((int64_t)size));
	file_add_text(&request, "format", invocation_value(invocation, "format"));
	if (invocation_has(invocation, "shrink"))
		json_add(&request, "shrink", json_object_new_boolean(true));
	return file_do(invocation, request, "resized");
}

enum status command_disk_compact(struct invocation *invocation)
{
	struct json_object *request = file_new_request(invocation, "compact");

	file_add_text(&request, "format", invocation_value(invocation, "format"));
	return file_do(invocation, request, "compacted");
}

enum status command_disk_merge(struct invocation *invocation)
{
	return file_do(invocation, file_new_request(invocation, "merge"), "merged");
}

enum status command_disk_rebase(struct invocation *invocation)
{
	struct json_object *request = file_new_request(invocation, "rebase");

	file_add_path(&request, "parent", invocation->arguments[1]);
	return file_do(invocation, request, "rebased");
}

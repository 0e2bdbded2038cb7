/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl disk info, check, map. */
#include "vmms/vmctl/disk_job.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/parse.h"
#include "common/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct json_object *info_new_request(const struct invocation *invocation,
					    const char *operation)
{
	AUTO_FREE char *path = absolute_path(invocation->arguments[0]);
	const char *format = invocation_value(invocation, "format");
	struct json_object *request =
		json_make("operation", json_object_new_string(operation), "path",
			  path ? json_object_new_string(path) : NULL, NULL);

	if (format)
		json_add(&request, "format", json_object_new_string(format));
	return request;
}

static enum status info_print_json(struct json_object *found)
{
	return json_print(json_object_get(found)) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
}

/* ---- info ---- */

static int64_t info_number(struct json_object *found, const char *key)
{
	return json_object_get_int64(json_object_object_get(found, key));
}

static bool info_is(struct json_object *found, const char *key)
{
	return json_object_get_boolean(json_object_object_get(found, key));
}

static const char *info_text(struct json_object *found, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(found, key));

	return text ? text : "";
}

static void info_print_line(const char *title, const char *text)
{
	AUTO_FREE char *escaped = text_escape_new(text, strlen(text));

	printf("%-16s%s\n", title, escaped ? escaped : "");
}

static void info_print_size(struct json_object *found, const char *title, const char *key)
{
	char size[PARSE_SIZE_TEXT], line[PARSE_SIZE_TEXT + 32];

	if (!json_object_object_get_ex(found, key, NULL))
		return;
	parse_size_format((uint64_t)info_number(found, key), size);
	snprintf(line, sizeof(line), "%s", size);
	/* What is a number of bytes already needs no other. */
	if (strpbrk(size, "KMGT"))
		snprintf(line, sizeof(line), "%s (%" PRId64 " bytes)", size,
			 info_number(found, key));
	info_print_line(title, line);
}

static void info_print_use(struct json_object *found)
{
	char line[256];

	if (!info_is(found, "in_use"))
		return;
	snprintf(line, sizeof(line), "by VM '%s'", info_text(found, "vm"));
	info_print_line("in use:", info_text(found, "vm")[0] ? line : "yes");
}

static void info_print(struct json_object *found)
{
	char line[256];

	info_print_line("path:", info_text(found, "path"));
	snprintf(line, sizeof(line), "%s%s%s", info_text(found, "format"),
		 info_text(found, "type")[0] ? ", " : "", info_text(found, "type"));
	info_print_line("format:", line);
	info_print_size(found, "size:", "size");
	info_print_size(found, "file:", "file_size");
	info_print_size(found, "takes:", "allocated");
	info_print_size(found, "blocks:", "block_size");
	if (json_object_object_get_ex(found, "sector_size", NULL)) {
		snprintf(line, sizeof(line), "%" PRId64 " (physical %" PRId64 ")",
			 info_number(found, "sector_size"),
			 info_number(found, "physical_sector_size"));
		info_print_line("sectors:", line);
		info_print_line("id:", info_text(found, "id"));
	}
	if (info_is(found, "log_is_pending") && !info_is(found, "in_use"))
		info_print_line("log:", "it was not closed; its next use replays the log");
	info_print_use(found);
}

enum status command_disk_info(struct invocation *invocation)
{
	AUTO_JSON struct json_object *found = NULL;
	enum status status = disk_job_do(invocation, info_new_request(invocation, "info"),
					 invocation->arguments[0], &found);

	if (status != STATUS_OK || !found)
		return status;
	if (invocation->json)
		return info_print_json(found);
	info_print(found);
	return STATUS_OK;
}

/* ---- check ---- */

static void check_print(const struct invocation *invocation, struct json_object *found,
			struct json_object *problems)
{
	size_t count = json_object_array_length(problems);
	char unused[PARSE_SIZE_TEXT];

	for (size_t i = 0; i < count; i++)
		info_print_line("problem:",
				json_object_get_string(json_object_array_get_idx(problems, i)));
	if (info_number(found, "unused") > 0) {
		parse_size_format((uint64_t)info_number(found, "unused"), unused);
		printf("%s of the file are in use for nothing: 'vmctl disk compact' gives them "
		       "back\n",
		       unused);
	}
	if (count == 0)
		output_say(invocation, "'%s' is whole%s", invocation->arguments[0],
			   info_is(found, "repaired") ? " again" : "");
}

enum status command_disk_check(struct invocation *invocation)
{
	AUTO_JSON struct json_object *found = NULL;
	struct json_object *request = info_new_request(invocation, "check"), *problems;
	enum status status;

	if (invocation_has(invocation, "repair"))
		json_add(&request, "repair", json_object_new_boolean(true));
	status = disk_job_do(invocation, request, invocation->arguments[0], &found);
	if (status != STATUS_OK || !found)
		return status;
	if (!json_object_object_get_ex(found, "problems", &problems) ||
	    !json_object_is_type(problems, json_type_array))
		return service_failed(-EBADMSG, NULL);
	if (!invocation->json)
		check_print(invocation, found, problems);
	else if (info_print_json(found) != STATUS_OK)
		return STATUS_FAILED;
	return json_object_array_length(problems) > 0 ? STATUS_FAILED : STATUS_OK;
}

/* ---- map ---- */

/* Moves the parts of one answer to those of all. Return: where the next one begins; -1: nowhere. */
static int64_t map_take(struct json_object *found, struct json_object **runs)
{
	struct json_object *more, *next;

	if (!json_object_object_get_ex(found, "runs", &more) ||
	    !json_object_is_type(more, json_type_array))
		return -1;
	for (size_t i = 0; i < json_object_array_length(more); i++)
		json_append(runs, json_object_get(json_object_array_get_idx(more, i)));
	return json_object_object_get_ex(found, "next", &next) ? json_object_get_int64(next) : -1;
}

static enum status map_read(struct invocation *invocation, struct json_object **runs,
			    uint64_t *ret_size)
{
	int64_t offset = 0;

	while (offset >= 0) {
		AUTO_JSON struct json_object *found = NULL;
		struct json_object *request = info_new_request(invocation, "map");
		int64_t next;
		enum status status;

		json_add(&request, "offset", json_object_new_int64(offset));
		status = disk_job_do(invocation, request, invocation->arguments[0], &found);
		if (status != STATUS_OK)
			return status;
		*ret_size = (uint64_t)info_number(found, "size");
		next = map_take(found, runs);
		if (next >= 0 && next <= offset)
			return service_failed(-EBADMSG, NULL);
		offset = next;
	}
	return STATUS_OK;
}

static void map_print(struct json_object *runs)
{
	static const char *const titles[] = { "OFFSET", "LENGTH", "KIND", "IN FILE" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));

	if (!table)
		return;
	for (size_t i = 0; i < json_object_array_length(runs); i++) {
		struct json_object *run = json_object_array_get_idx(runs, i);

		table_add(table, "%" PRId64, info_number(run, "offset"));
		table_add(table, "%" PRId64, info_number(run, "length"));
		table_add(table, "%s", info_text(run, "kind"));
		table_add(table, "%s", info_text(run, "file_offset"));
	}
	table_print(table);
	table_free(table);
}

enum status command_disk_map(struct invocation *invocation)
{
	AUTO_JSON struct json_object *runs = json_object_new_array();
	uint64_t size = 0;
	enum status status = map_read(invocation, &runs, &size);

	if (status != STATUS_OK)
		return status;
	if (!runs)
		return service_failed(-ENOMEM, NULL);
	if (invocation->json)
		return json_print(json_make("size", json_object_new_int64((int64_t)size), "runs",
					    TAKE_PTR(runs), NULL)) < 0
			       ? service_failed(-ENOMEM, NULL)
			       : STATUS_OK;
	map_print(runs);
	return STATUS_OK;
}

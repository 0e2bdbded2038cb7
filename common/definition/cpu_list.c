/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Some of the host's CPUs. */
#include "common/definition/cpu_list.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ONLINE "/sys/devices/system/cpu/online"

int cpu_list_parse(const char *text, struct cpu_list *ret_list)
{
	return number_set_parse(text, ret_list->bits, CPU_LIST_MAX);
}

void cpu_list_format(const struct cpu_list *list, char text[static CPU_LIST_TEXT])
{
	number_set_format(list->bits, CPU_LIST_MAX, text, CPU_LIST_TEXT);
}

bool cpu_list_is_empty(const struct cpu_list *list)
{
	for (size_t i = 0; i < ARRAY_SIZE(list->bits); i++)
		if (list->bits[i])
			return false;
	return true;
}

void cpu_list_subtract(const struct cpu_list *list, const struct cpu_list *other,
		       struct cpu_list *ret_missing)
{
	for (size_t i = 0; i < ARRAY_SIZE(list->bits); i++)
		ret_missing->bits[i] = list->bits[i] & ~other->bits[i];
}

/* ---- In trees ---- */

int cpu_list_read(struct json_reader *reader, const struct json_key *key, struct json_object *value,
		  void *target)
{
	bool number = json_object_is_type(value, json_type_int);
	int r;

	if (!number && !json_object_is_type(value, json_type_string))
		return json_refuse(reader, value, "must be text such as \"0-3,8\", not %s",
				   json_type_text(value));
	r = cpu_list_parse(json_object_get_string(value), target);
	if (r == -ERANGE)
		return json_refuse(reader, value,
				   "names a CPU beyond %d, the last that can be used",
				   CPU_LIST_MAX - 1);
	if (r < 0)
		return json_refuse(reader, value,
				   "must be numbers of the host's CPUs, which count from 0, and "
				   "ranges of them, such as \"0-3,8\"");
	return 0;
}

struct json_object *cpu_list_to_json(const struct cpu_list *list)
{
	char text[CPU_LIST_TEXT];

	cpu_list_format(list, text);
	return json_object_new_string(text);
}

/* ---- The host's ---- */

int cpu_list_online(struct cpu_list *ret_list)
{
	AUTO_CLOSE int fd = open(ONLINE, O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t size;

	if (fd < 0)
		return error_origin(-errno);
	size = read(fd, text, sizeof(text) - 1);
	if (size < 0)
		return error_origin(-errno);
	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return cpu_list_parse(text, ret_list);
}

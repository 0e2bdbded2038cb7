/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Findings, and the running of tables of checks. */
#include "common/host/host_check.h"

#include "common/base/error.h"
#include "common/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const host_verdict_names[] = {
	[HOST_OK] = "ok",
	[HOST_WARNING] = "warning",
	[HOST_FAULT] = "fault",
	[HOST_UNKNOWN] = "unknown",
	NULL,
};

void host_found(struct host_finding *finding, enum host_verdict verdict, const char *format, ...)
{
	va_list arguments;

	finding->verdict = verdict;
	va_start(arguments, format);
	vsnprintf(finding->found, sizeof(finding->found), format, arguments);
	va_end(arguments);
}

void host_mend(struct host_finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->mend, sizeof(finding->mend), format, arguments);
	va_end(arguments);
}

/* Paths may be any bytes, and what was cut off may have been cut within a character. */
static struct json_object *text_to_json(const char *text)
{
	char repaired[sizeof(((struct host_finding *)NULL)->found)];

	text_repair(repaired, sizeof(repaired), text, strlen(text));
	return json_object_new_string(repaired);
}

void host_checks_run(const struct host_check *checks, const void *view, struct json_object **array)
{
	for (; checks->name; checks++) {
		struct host_finding finding = { 0 };

		checks->look(view, &finding);
		if (finding.found[0] == '\0')
			continue;
		json_append(array,
			    json_make("name", json_object_new_string(checks->name), "verdict",
				      json_object_new_string(host_verdict_names[finding.verdict]),
				      "found", text_to_json(finding.found), "mend",
				      text_to_json(finding.mend), NULL));
	}
}

void host_format_size(uint64_t bytes, char text[HOST_SIZE_TEXT])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double size = (double)bytes;
	size_t unit = 0;

	for (; size >= 1024 && unit < ARRAY_SIZE(units) - 1; unit++)
		size /= 1024;
	snprintf(text, HOST_SIZE_TEXT, "%.*f %s", unit > 0 && size < 10 ? 1 : 0, size, units[unit]);
}

int host_read(const char *root, const char *path, char *text, size_t size)
{
	char whole[PATH_MAX];
	ssize_t n;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	AUTO_CLOSE int fd = open(whole, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return error_origin(-errno);
	text[n] = '\0';
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return 0;
}

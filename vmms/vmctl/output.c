/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a command makes, for standard output or a file. */
#include "vmms/vmctl/output.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum status output_write_file(const struct invocation *invocation, const char *path,
				     const char *text)
{
	FILE *file = fopen(path, "wxe");
	bool failed = !file || fprintf(file, "%s\n", text) < 0;
	int error = errno;

	if (file && fclose(file) != 0 && !failed) {
		failed = true;
		error = errno;
	}
	if (!failed)
		return STATUS_OK;
	if (file)
		(void)unlink(path);
	usage_error(invocation, "cannot write '%s': %s", path, strerror(error));
	return STATUS_FAILED;
}

enum status output_write(const struct invocation *invocation, const char *text)
{
	const char *path = invocation_value(invocation, "output");

	if (path && strcmp(path, "-") != 0)
		return output_write_file(invocation, path, text);
	puts(text);
	return STATUS_OK;
}

void output_say(const struct invocation *invocation, const char *format, ...)
{
	AUTO_FREE char *message = NULL, *escaped = NULL;
	va_list arguments;

	if (invocation->json)
		return;
	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	if (message)
		escaped = text_escape_new(message, strlen(message));
	if (escaped)
		puts(escaped);
	fflush(stdout);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log messages, on standard error. */
#include "common/base/log.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048

/* Priorities of syslog(3): error, warning, info, debug. */
static const char priorities[] = { '3', '4', '6', '7' };

static _Atomic enum log_level log_level = LOG_LEVEL_INFO;
static const char *_Atomic log_name;

void log_set_level(enum log_level level)
{
	log_level = level;
}

bool log_shows(enum log_level level)
{
	return level <= log_level;
}

void log_set_name(const char *name)
{
	log_name = name;
}

bool log_leads_to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

void log_write(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	const char *name = log_name;
	char message[LOG_LINE_MAX / 2], line[LOG_LINE_MAX];
	size_t used = 0;
	va_list arguments;

	if (!log_shows(level))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (log_leads_to_journal())
		used += (size_t)sprintf(line, "<%c>", priorities[level]);
	if (name)
		used += (size_t)snprintf(line + used, 64, "%.48s: ", name);
	used += text_escape(line + used, sizeof(line) - used - 1, message, strlen(message));
	line[used++] = '\n';
	/*
	 * One write, so that lines of several processes do not mix. Nowhere to report its failure.
	 */
	if (write(STDERR_FILENO, line, used) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

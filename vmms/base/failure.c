/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why something that a caller asked for was not done. */
#include "vmms/base/failure.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int failure_set(struct failure *failure, const char *name, const char *format, ...)
{
	va_list arguments;

	failure->name = name;
	va_start(arguments, format);
	vsnprintf(failure->message, sizeof(failure->message), format, arguments);
	va_end(arguments);
	/* A message cut in the middle of a character would not pass as a D-Bus string. */
	failure->message[text_utf8_prefix(failure->message, strlen(failure->message))] = '\0';
	return -EINVAL;
}

int failure_no_memory(struct failure *failure)
{
	failure_set(failure, DBUS_ERROR_INTERNAL, "vmms has no memory left; try again later");
	return -ENOMEM;
}

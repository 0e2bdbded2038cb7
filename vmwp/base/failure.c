/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Failure sentences. */
#include "vmwp/base/failure.h"

#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *failure, int error, const char *format, ...)
{
	va_list arguments;

	if (failure->message[0])
		return error;
	va_start(arguments, format);
	vsnprintf(failure->message, sizeof(failure->message), format, arguments);
	va_end(arguments);
	return error;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why something that a caller asked for was not done: a stable name, and a message that tells a
 * person what to do next.
 *
 * Functions that take a `struct failure *` return 0, or a negative number with *failure filled.
 */
#pragma once

#include "common/base/cc.h"
#include "common/dbus_names.h"

#define FAILURE_MESSAGE_MAX 1024

struct failure {
	const char *name; /* DBUS_ERROR_…; static */
	char message[FAILURE_MESSAGE_MAX];
};

/* Return: -EINVAL, for the caller to pass on. */
int failure_set(struct failure *failure, const char *name, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Without memory. Return: -ENOMEM. */
int failure_no_memory(struct failure *failure);

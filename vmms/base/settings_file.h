/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The form of vmms.conf(5): a line for each setting, "name = value"; blanks around either do not
 * count, nor do empty lines and those that begin with #.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

#define SETTINGS_FILE_MAX 65536 /* bytes */

/* Return: 0; another number ends the reading. */
typedef int (*settings_file_fn)(void *data, const char *name, const char *value, unsigned line);

/*
 * text: of that size, with a NUL behind; it is cut up, and names and values are parts of it.
 * Return: 0; what `found` has returned; -EINVAL: the line of *ret_line, the first is 1, has no such
 * form.
 */
int settings_file_parse(char *text, size_t size, settings_file_fn found, void *data,
			unsigned *ret_line) MUST_CHECK;

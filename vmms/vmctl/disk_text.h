/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks and paths as they are written on the command line.
 */
#pragma once

#include "common/base/json.h"

/* As seen from the working directory; vmms has another. Freed by the caller; NULL without memory,
 * or without a working directory. */
char *absolute_path(const char *path);

/*
 * "PATH[,ro][,serial=TEXT][,cache=MODE][,sector-size=N][,controller=N][,lun=N]" as a disk of a
 * definition. What the values may be is for the definition's reader to say. Return: 0; -EINVAL
 * with *ret_word the part that is not understood, which the caller frees; -ENOMEM.
 */
int disk_text_parse(const char *text, struct json_object **ret_disk, char **ret_word) MUST_CHECK;

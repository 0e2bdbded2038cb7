/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a definition, from a file, and what becomes of it for another VM.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

/*
 * path: "-" is standard input. A text that is longer than a definition may be is cut one byte after
 * that, for vmms to refuse. Freed by the caller; NULL with errno set.
 */
char *definition_text_read(const char *path);

/* It becomes another VM of that name: what has to be its own is left out. */
void definition_text_rename(struct json_object *tree, const char *name);

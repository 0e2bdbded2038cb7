/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a definition, from a file.
 */
#pragma once

#include "common/base/cc.h"

/*
 * path: "-" is standard input. A text that is longer than a definition may be is cut one byte after
 * that, for vmms to refuse. Freed by the caller; NULL with errno set.
 */
char *definition_text_read(const char *path);

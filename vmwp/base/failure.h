/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why something could not be done: one sentence for the person who can change it.
 *
 * Functions that fail for reasons an administrator can act on (a bad kernel image, a disk that is
 * missing) return a negative errno for the program and fill a struct failure for the person.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>

struct failure {
	char message[512]; /* "" as long as nothing was said */
};

/* Keeps the first sentence: what is deepest knows best. Returns `error`, a negative errno. */
int failure_set(struct failure *failure, int error, const char *format, ...) PRINTF_LIKE(3, 4);

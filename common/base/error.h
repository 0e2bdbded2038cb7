/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an error begins: the place that first makes a negative errno of a fault of the host.
 *
 *     return error_origin(-errno);
 *
 * logs file, line, function and the errno's name at the debug level, and is the errno. So what is
 * told at the end of a long way ("Input/output error") can be followed back to where it began. What
 * passes an errno on does not say so again. Not for what a guest or a caller can cause, which has
 * codes of its own; lines are limited all the same. Without the debug level it costs a comparison.
 * Thread: any. errno is left as it was.
 */
#pragma once

#include "common/base/log.h"

/* error: a negative errno. Return: it. */
#define error_origin(error)                                                     \
	({                                                                      \
		int origin_error_ = (error);                                    \
		if (log_shows(LOG_LEVEL_DEBUG))                                 \
			error_log(origin_error_, __FILE__, __LINE__, __func__); \
		origin_error_;                                                  \
	})

void error_log(int error, const char *file, int line, const char *function);

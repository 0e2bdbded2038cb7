/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scope-exit helpers.
 *
 * A constructor keeps what it builds in a CLEANUP(...) local, and hands it over with TAKE_PTR or
 * TAKE_FD on its last line; whatever a failure leaves behind is released by leaving the scope.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines NAMEp(), which calls `function` on the pointer that goes out of scope, unless NULL. */
#define DEFINE_CLEANUP(type, function)                \
	static inline void function##p(type *pointer) \
	{                                             \
		if (*pointer)                         \
			function(*pointer);           \
	}

#define TAKE_PTR(pointer)                               \
	({                                              \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})

#define TAKE_FD(fd)                \
	({                         \
		int taken_ = (fd); \
		(fd) = -1;         \
		taken_;            \
	})

static inline void freep(void *pointer)
{
	free(*(void **)pointer);
}

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#define AUTO_FREE  CLEANUP(freep)
#define AUTO_CLOSE CLEANUP(close_fdp)

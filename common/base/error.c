/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where errors begin, in the log. */
#include "common/base/error.h"

#include "common/base/rate_limit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define LINES_AT_ONCE 100
#define LINE_NS       UINT64_C(100000000) /* after that, one in this time */

static struct rate_limit error_lines = { .most = LINES_AT_ONCE, .interval = LINE_NS };
static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;

static bool error_take_line(unsigned *ret_left_out)
{
	struct timespec now;
	bool taken;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&error_lock);
	taken = rate_limit_take(&error_lines,
				(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
				ret_left_out);
	pthread_mutex_unlock(&error_lock);
	return taken;
}

/* The build may name sources by their whole paths. */
static const char *error_short_path(const char *file)
{
	size_t root = sizeof(__FILE__) - sizeof("common/base/error.c");

	return strncmp(file, __FILE__, root) == 0 ? file + root : file;
}

void error_log(int error, const char *file, int line, const char *function)
{
	int saved_errno = errno;
	const char *name = strerrorname_np(-error);
	unsigned left_out;

	if (error_take_line(&left_out)) {
		if (left_out > 0)
			log_debug("more errors than are told of here; left out: %u", left_out);
		log_debug("%s:%d: %s(): -%s", error_short_path(file), line, function,
			  name ? name : "?");
	}
	errno = saved_errno;
}

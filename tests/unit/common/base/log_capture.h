/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard error goes to memory during a test. */
#pragma once

#include "common/base/log.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int capture, saved;

static inline void capture_begin(enum log_level level)
{
	saved = dup(STDERR_FILENO);
	capture = memfd_create("capture", 0);
	assert_true(saved >= 0 && capture >= 0);
	dup2(capture, STDERR_FILENO);
	log_set_level(level);
	unsetenv("JOURNAL_STREAM");
}

static inline int capture_end(void **state)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(capture);
	return 0;
}

/* What has been logged so far. */
static inline char *captured(void)
{
	static char text[1 << 16];
	ssize_t size = pread(capture, text, sizeof(text) - 1, 0);

	assert_true(size >= 0);
	text[size] = '\0';
	return text;
}

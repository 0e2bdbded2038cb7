/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker's standard error: a pipe, which is cut into lines of valid UTF-8.
 *
 * The owner gets WORKER_LINES_A_SECOND lines at most, and then how many were left out; the last ones
 * are kept, for when the worker has ended.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define WORKER_LINE_SIZE  512 /* with the NUL; what is longer is several lines */
#define WORKER_LAST_LINES 4

struct worker_output {
	int pipe; /* our end; -1: none */
	void (*said)(void *owner, const char *line);
	void *owner;
	struct watch *watch;
	char line[WORKER_LINE_SIZE]; /* the one that has not ended */
	size_t line_size;
	char last_lines[WORKER_LAST_LINES][WORKER_LINE_SIZE]; /* a ring */
	size_t line_count;
	time_t second; /* CLOCK_MONOTONIC */
	unsigned lines_in_second;
};

/* Makes the pipe. *ret_far: the worker's end, which the caller closes. Return: 0, -errno. */
int worker_output_open(struct worker_output *output, int *ret_far) MUST_CHECK;

/* Lines are told from now on. Return: 0, -errno. */
int worker_output_watch(struct worker_output *output, struct watches *watches) MUST_CHECK;

/* Takes what is still in the pipe, by so many reads at most; the last line ends. */
void worker_output_drain(struct worker_output *output, size_t reads);

/* The lines that are kept, "; " between them, cut at `size` bytes where a character is whole. */
void worker_output_last_words(const struct worker_output *output, char *words, size_t size);

void worker_output_close(struct worker_output *output);

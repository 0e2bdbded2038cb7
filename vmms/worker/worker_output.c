/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's standard error. */
#include "vmms/worker/worker_output.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "vmms/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READS_A_SECOND 100 /* of the pipe */

/* Tells how many lines were left out in the second that has ended. */
static void worker_output_begin_second(struct worker_output *output, time_t now)
{
	char text[64];

	output->second = now;
	if (output->lines_in_second > WORKER_LINES_A_SECOND) {
		snprintf(text, sizeof(text), "[%u lines left out]",
			 output->lines_in_second - WORKER_LINES_A_SECOND);
		output->said(output->owner, text);
	}
	output->lines_in_second = 0;
}

static void worker_output_tell(struct worker_output *output, const char *line)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != output->second)
		worker_output_begin_second(output, now.tv_sec);
	if (output->lines_in_second++ < WORKER_LINES_A_SECOND)
		output->said(output->owner, line);
}

static void worker_output_end_line(struct worker_output *output)
{
	char *kept = output->last_lines[output->line_count % WORKER_LAST_LINES];

	if (output->line_size == 0)
		return;
	text_repair(kept, WORKER_LINE_SIZE, output->line, output->line_size);
	output->line_count++;
	worker_output_tell(output, kept);
	output->line_size = 0;
}

/* Return: false when there is nothing left to read. */
static bool worker_output_read(struct worker_output *output)
{
	char buffer[1024];
	ssize_t size;

	size = read(output->pipe, buffer, sizeof(buffer));
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (size <= 0) {
		watch_set_events(output->watch, 0);
		return false;
	}
	for (ssize_t i = 0; i < size; i++) {
		if (buffer[i] != '\n')
			output->line[output->line_size++] = buffer[i];
		if (buffer[i] == '\n' || output->line_size == sizeof(output->line))
			worker_output_end_line(output);
	}
	return true;
}

static void worker_output_ready(void *data, uint32_t events)
{
	worker_output_read(data);
}

int worker_output_open(struct worker_output *output, int *ret_far)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return error_origin(-errno);
	output->pipe = pipes[0];
	*ret_far = pipes[1];
	return fcntl(output->pipe, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int worker_output_watch(struct worker_output *output, struct watches *watches)
{
	return watch_new(watches, output->pipe, EPOLLIN, READS_A_SECOND, worker_output_ready,
			 output, &output->watch);
}

void worker_output_drain(struct worker_output *output, size_t reads)
{
	for (size_t i = 0; i < reads && worker_output_read(output); i++)
		;
	worker_output_end_line(output);
}

void worker_output_last_words(const struct worker_output *output, char *words, size_t size)
{
	size_t count = MIN(output->line_count, (size_t)WORKER_LAST_LINES), used = 0;

	words[0] = '\0';
	for (size_t i = output->line_count - count; i < output->line_count; i++) {
		used += (size_t)snprintf(words + used, size - used, "%s%s", used > 0 ? "; " : "",
					 output->last_lines[i % WORKER_LAST_LINES]);
		if (used >= size)
			break;
	}
	words[text_utf8_prefix(words, strlen(words))] = '\0';
}

void worker_output_close(struct worker_output *output)
{
	watch_free(output->watch);
	close_fdp(&output->pipe);
}

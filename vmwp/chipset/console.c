/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The console.
 *
 * Output: idle until the chipset has some; then a short timer, so that a burst of bytes becomes
 * one write; then writes until there is no more. A second timer watches a write that takes long.
 *
 * Input: one read at a time, into a queue for the guest. While that has no room for a whole read,
 * none is made, and the other end waits. Except where there is a filter: a person's keys are always
 * read, since one of them may be for us, and those that find the queue full are lost.
 */
#include "vmwp/chipset/console.h"

#include "common/base/error.h"
#include "vmwp/chipset/chipset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MILLISECOND   1000000u
#define BATCH_DELAY   (4 * MILLISECOND)
#define STALL_DELAY   (500 * MILLISECOND)
#define OUTPUT_BUFFER 4096
#define INPUT_BUFFER  256
#define INPUT_QUEUE   4096

enum output_state { OUTPUT_IDLE, OUTPUT_BATCHING, OUTPUT_WRITING, OUTPUT_BROKEN };

struct console {
	struct console_config config;

	enum output_state output_state;
	struct loop_task output_task;
	struct loop_timer batch_timer;
	struct loop_operation write;
	size_t write_offset, write_size; /* of output[], what the write under way carries */
	uint8_t output[OUTPUT_BUFFER];

	struct loop_timer stall_timer;
	bool stall_timer_runs, stalled;
	uint64_t writes, writes_at_timer; /* begun; begun when the timer was started */

	struct loop_task input_task;
	struct loop_operation read;
	bool input_is_open, reading;
	uint8_t input[INPUT_BUFFER];
	size_t queued; /* bytes at the beginning of queue[] that the guest has not taken yet */
	uint8_t queue[INPUT_QUEUE];

	void (*drained)(void *data);
	void *drained_data;

	int own_fd, next_fd; /* of console_reconnect(), the one in use and the one to come; -1 */
};

/* ---- Output ---- */

static void console_set_stalled(struct console *console, bool stalled)
{
	if (console->stalled == stalled)
		return;
	console->stalled = stalled;
	chipset_console_set_stalled(console->config.chipset, stalled);
}

static void console_tell_drained(struct console *console)
{
	void (*drained)(void *data) = console->drained;

	console->drained = NULL;
	if (drained)
		drained(console->drained_data);
}

static void console_start_stall_timer(struct console *console)
{
	console->writes_at_timer = console->writes;
	if (console->stall_timer_runs)
		return;
	console->stall_timer_runs = true;
	loop_timer_start(console->config.loop, &console->stall_timer, STALL_DELAY);
}

static void console_stall_timer(struct loop_operation *operation, int result, bool more)
{
	struct console *console = container_of(operation, struct console, stall_timer.operation);

	console->stall_timer_runs = false;
	if (result == -ECANCELED || console->output_state != OUTPUT_WRITING)
		return;
	if (console->writes != console->writes_at_timer) {
		console_start_stall_timer(console);
		return;
	}
	console_set_stalled(console, true);
	console_tell_drained(console);
}

static void console_submit_write(struct console *console)
{
	console->output_state = OUTPUT_WRITING;
	console->writes++;
	loop_write(console->config.loop, &console->write, console->config.output_fd,
		   console->output + console->write_offset, console->write_size);
	if (!console->stall_timer_runs)
		console_start_stall_timer(console);
}

/* Nobody will ever take output: the guest must not wait for it. */
static void console_break_output(struct console *console)
{
	console->output_state = OUTPUT_BROKEN;
	console_set_stalled(console, true);
	console_tell_drained(console);
}

static void console_write_next(struct console *console)
{
	console->write_offset = 0;
	console->write_size = chipset_console_take(console->config.chipset, console->output,
						   sizeof(console->output));
	if (console->write_size) {
		console_submit_write(console);
		return;
	}
	console->output_state = OUTPUT_IDLE;
	console_tell_drained(console);
}

static void console_reconnect_now(struct console *console);

static void console_written(struct loop_operation *operation, int result, bool more)
{
	struct console *console = container_of(operation, struct console, write);

	if (result < 0 && result != -EINTR && result != -EAGAIN) {
		console_break_output(console);
		console_reconnect_now(console);
		return;
	}
	if (result > 0) {
		console_set_stalled(console, false);
		console->write_offset += (size_t)result;
		console->write_size -= (size_t)result;
	}
	if (console->write_size)
		console_submit_write(console);
	else
		console_write_next(console);
}

static void console_batch_timer(struct loop_operation *operation, int result, bool more)
{
	struct console *console = container_of(operation, struct console, batch_timer.operation);

	if (result != -ECANCELED)
		console_write_next(console);
}

static void console_output_task(struct loop_task *task)
{
	struct console *console = container_of(task, struct console, output_task);

	if (console->output_state != OUTPUT_IDLE)
		return;
	console->output_state = OUTPUT_BATCHING;
	loop_timer_start(console->config.loop, &console->batch_timer, BATCH_DELAY);
}

void console_output_ready(struct console *console)
{
	loop_post(console->config.loop, &console->output_task);
}

void console_drain(struct console *console, void (*done)(void *data), void *data)
{
	console->drained = done;
	console->drained_data = data;
	if (console->output_state == OUTPUT_BROKEN || console->stalled)
		console_tell_drained(console);
	else if (console->output_state == OUTPUT_IDLE)
		console_write_next(console);
}

/* ---- Input ---- */

static void console_read_more(struct console *console)
{
	if (!console->input_is_open || console->reading)
		return;
	if (!console->config.filter && sizeof(console->queue) - console->queued < INPUT_BUFFER)
		return;
	console->reading = true;
	loop_read(console->config.loop, &console->read, console->config.input_fd, console->input,
		  sizeof(console->input));
}

static void console_queue_input(struct console *console, size_t size)
{
	size_t n = MIN(size, sizeof(console->queue) - console->queued);

	memcpy(console->queue + console->queued, console->input, n);
	console->queued += n;
}

static void console_give_input(struct console *console)
{
	size_t n = chipset_console_put(console->config.chipset, console->queue, console->queued);

	console->queued -= n;
	memmove(console->queue, console->queue + n, console->queued);
}

static void console_have_read(struct loop_operation *operation, int result, bool more)
{
	struct console *console = container_of(operation, struct console, read);
	size_t size = result > 0 ? (size_t)result : 0;

	console->reading = false;
	/* The other end is closed: from now on there is output only. */
	if (result <= 0 && result != -EINTR && result != -EAGAIN) {
		console->input_is_open = false;
		console_reconnect_now(console);
		return;
	}
	if (size && console->config.filter)
		size = console->config.filter(console->config.data, console->input, size);
	console_queue_input(console, size);
	console_give_input(console);
	console_read_more(console);
}

static void console_input_task(struct loop_task *task)
{
	struct console *console = container_of(task, struct console, input_task);

	console_give_input(console);
	console_read_more(console);
}

void console_input_room(struct console *console)
{
	loop_post(console->config.loop, &console->input_task);
}

/* ---- Another descriptor ---- */

/*
 * Once nothing is under way on the old one, which has come to its end: a read of it ends, and so
 * does a write.
 */
static void console_reconnect_now(struct console *console)
{
	if (console->next_fd < 0 || console->reading || console->output_state == OUTPUT_WRITING)
		return;
	close_fdp(&console->own_fd);
	console->own_fd = console->next_fd;
	console->next_fd = -1;
	console->config.input_fd = console->config.output_fd = console->own_fd;
	console->input_is_open = true;
	console_read_more(console);
	if (console->output_state != OUTPUT_BROKEN)
		return;
	console_set_stalled(console, false);
	if (console->write_size)
		console_submit_write(console);
	else
		console_write_next(console);
}

/* ---- Making it ---- */

/* The ring waits for us; a non-blocking descriptor would make it fail instead. */
static int console_make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return error_origin(-errno);
	if ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return error_origin(-errno);
	return 0;
}

int console_new(const struct console_config *config, struct console **ret_console)
{
	CLEANUP(console_freep) struct console *console = calloc(1, sizeof(*console));
	int r = 0;

	if (!console)
		return -ENOMEM;
	console->config = *config;
	console->own_fd = console->next_fd = -1;
	console->output_task.run = console_output_task;
	console->batch_timer.operation.complete = console_batch_timer;
	console->stall_timer.operation.complete = console_stall_timer;
	console->write.complete = console_written;
	console->input_task.run = console_input_task;
	console->read.complete = console_have_read;
	if (config->output_fd >= 0)
		r = console_make_blocking(config->output_fd);
	else
		console_break_output(console);
	if (r >= 0 && config->input_fd >= 0)
		r = console_make_blocking(config->input_fd);
	if (r < 0)
		return r;
	console->input_is_open = config->input_fd >= 0;
	console_read_more(console);
	*ret_console = TAKE_PTR(console);
	return 0;
}

int console_reconnect(struct console *console, int fd)
{
	int r;

	r = console_make_blocking(fd);
	if (r < 0)
		return r;
	close_fdp(&console->next_fd);
	console->next_fd = fd;
	console_reconnect_now(console);
	return 0;
}

int console_descriptor(const struct console *console)
{
	return console->next_fd >= 0 ? console->next_fd : console->config.output_fd;
}

static bool console_is_at_rest(const struct console *console)
{
	return !console->reading && !console->stall_timer_runs &&
	       (console->output_state == OUTPUT_IDLE || console->output_state == OUTPUT_BROKEN) &&
	       !console->output_task.queued && !console->input_task.queued;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	assert(console_is_at_rest(console) || !loop_exists(console->config.loop));
	close_fdp(&console->own_fd);
	close_fdp(&console->next_fd);
	free(console);
}

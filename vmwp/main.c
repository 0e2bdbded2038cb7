/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmwp: the worker process of one VM.
 *
 * By hand: read the definition, open what it names, enter the sandbox, build the machine, run it.
 * Under the daemon the sandbox comes first, and definition and descriptors as messages over the
 * control socket, while the loop runs.
 */
#include "common/base/log.h"
#include "vmwp/base/timings.h"
#include "vmwp/control/control.h"
#include "vmwp/options.h"
#include "vmwp/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int main_refuse(const struct failure *failure, int error)
{
	log_error("%s", failure->message[0] ? failure->message : strerror(-error));
	return STATUS_ERROR;
}

/*
 * The loop has failed. What is under way on it is the kernel's and cannot be waited for: nothing is
 * freed, and the end of the process ends it.
 */
static _Noreturn void main_abandon(int error)
{
	log_error("The event loop has failed: %s.", strerror(-error));
	exit(STATUS_ERROR);
}

static int main_load(const struct options *options, struct definition **ret_definition)
{
	struct json_error error = { 0 };
	int r = definition_load(options->definition, ret_definition, &error);

	if (r == -EINVAL)
		log_error("%s, line %d: %s: %s", options->definition, error.line, error.key,
			  error.message);
	else if (r < 0)
		log_error("Cannot read %s: %s.", options->definition, strerror(-r));
	if (r >= 0 && options->engine_given)
		(*ret_definition)->engine = options->engine;
	return r;
}

/* A file that is not there is made: console output may go to it. */
static int main_open_serial(const struct options *options, struct worker *worker,
			    struct failure *failure)
{
	if (strcmp(options->serial, "null") == 0)
		return 0;
	if (strcmp(options->serial, "stdio") == 0) {
		worker->serial_input_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
		worker->serial_output_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
		worker->serial_is_terminal = isatty(STDIN_FILENO);
		terminal_make_raw();
		return 0;
	}
	worker->serial_output_fd =
		open(options->serial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (worker->serial_output_fd < 0)
		return failure_set(failure, -errno, "Cannot open %s: %s.", options->serial,
				   strerror(errno));
	if (isatty(worker->serial_output_fd))
		worker->serial_input_fd = fcntl(worker->serial_output_fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int main_confine(const struct options *options, struct failure *failure)
{
	if (options->no_sandbox)
		return 0;
	vid_look_at_host();
	return sandbox_enter(options->user, failure);
}

static int main_build(const struct options *options, struct worker *worker,
		      struct definition *definition, struct failure *failure)
{
	int r;

	r = resources_open(worker->resources, definition, failure);
	if (r < 0) {
		definition_free(definition);
		return r;
	}
	r = main_open_serial(options, worker, failure);
	if (r < 0) {
		definition_free(definition);
		return r;
	}
	r = main_confine(options, failure);
	if (r < 0) {
		definition_free(definition);
		return r;
	}
	r = worker_build(worker, definition, failure);
	if (r < 0)
		return r;
	return machine_start(worker->machine, failure);
}

static int main_finish(const struct options *options, const struct worker *worker,
		       struct timings *timings)
{
	if (options->print_timings)
		timings_print(timings, machine_first_run(worker->machine),
			      machine_memory(worker->machine));
	if (worker->failed)
		return STATUS_ERROR;
	if (worker->reason == MACHINE_CRASH || worker->reason == MACHINE_TRIPLE_FAULT)
		return STATUS_GUEST_FAILED;
	return STATUS_OK;
}

static int main_by_hand(const struct options *options, struct timings *timings)
{
	CLEANUP(worker_deinit) struct worker worker;
	struct definition *definition;
	struct failure failure = { 0 };
	int r;

	if (options->print_timings)
		timings_open(timings);
	r = worker_init(&worker);
	if (r < 0)
		return main_refuse(&failure, r);
	r = main_load(options, &definition);
	if (r < 0)
		return STATUS_ERROR;
	r = main_build(options, &worker, definition, &failure);
	if (r < 0)
		return main_refuse(&failure, r);
	r = worker_run(&worker);
	if (r < 0)
		main_abandon(r);
	return main_finish(options, &worker, timings);
}

static int main_controlled(const struct options *options)
{
	CLEANUP(worker_deinit) struct worker worker;
	struct failure failure = { 0 };
	int r;

	r = worker_init(&worker);
	if (r < 0)
		return main_refuse(&failure, r);
	r = control_server_new(&worker, options->control_fd, &worker.control);
	if (r < 0) {
		failure_set(&failure, r, "Descriptor %d is no control socket: %s.",
			    options->control_fd, strerror(-r));
		return main_refuse(&failure, r);
	}
	r = main_confine(options, &failure);
	if (r < 0)
		return main_refuse(&failure, r);
	r = worker_run(&worker);
	if (r < 0)
		main_abandon(r);
	return worker.failed ? STATUS_ERROR : STATUS_OK;
}

int main(int argc, char **argv)
{
	struct timings timings;
	struct options options;

	timings_start(&timings);
	options_parse(argc, argv, &options);
	log_set_level(options.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	switch (options.mode) {
	case OPTIONS_RUN:
		return main_by_hand(&options, &timings);
	case OPTIONS_CONTROL:
		return main_controlled(&options);
	case OPTIONS_PROBE:
		return probe_print();
	case OPTIONS_EXIT:
		break;
	}
	return options.exit_status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host's KVM can do: one `vmwp --probe` at a time, and who waits for it. */
#include "vmms/host/host_report.h"

#include "common/base/error.h"
#include "common/base/json.h"
#include "common/base/list.h"
#include "vmms/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define REPORT_MAX    65536 /* bytes */
#define PROBE_TIMEOUT 60    /* seconds */

struct asker {
	struct list link;
	host_report_fn done;
	void *data;
};

struct host_report {
	sd_event *loop;
	const char *program, *directory;
	struct list askers;
	pid_t pid; /* 0: no probe is running */
	int pidfd, output;
	sd_event_source *output_source, *pidfd_source, *timer;
	char text[REPORT_MAX];
	size_t size;
};

int host_report_new(sd_event *loop, const char *program, const char *directory,
		    struct host_report **ret_report)
{
	struct host_report *report = calloc(1, sizeof(*report));

	if (!report)
		return -ENOMEM;
	report->loop = sd_event_ref(loop);
	report->program = program;
	report->directory = directory;
	report->pidfd = report->output = -1;
	list_init(&report->askers);
	*ret_report = report;
	return 0;
}

static void report_probe_deinit(struct host_report *report)
{
	report->output_source = sd_event_source_disable_unref(report->output_source);
	report->pidfd_source = sd_event_source_disable_unref(report->pidfd_source);
	report->timer = sd_event_source_disable_unref(report->timer);
	close_fdp(&report->output);
	close_fdp(&report->pidfd);
	report->output = report->pidfd = -1;
	report->pid = 0;
	report->size = 0;
}

static void report_answer(struct host_report *report, const char *text,
			  const struct failure *failure)
{
	while (!list_empty(&report->askers)) {
		AUTO_FREE struct asker *asker =
			container_of(report->askers.next, struct asker, link);

		list_unlink(&asker->link);
		asker->done(asker->data, text, failure);
	}
}

/* Takes what is there. Bytes beyond REPORT_MAX are lost, and the report with them. */
static void report_take_output(struct host_report *report)
{
	char surplus[512];
	ssize_t size;

	do {
		size_t room = sizeof(report->text) - 1 - report->size;

		size = room > 0 ? read(report->output, report->text + report->size, room)
				: read(report->output, surplus, sizeof(surplus));
		if (size > 0 && room > 0)
			report->size += (size_t)size;
	} while (size > 0);
	if (size == 0 && report->output_source)
		sd_event_source_set_enabled(report->output_source, SD_EVENT_OFF);
}

static int report_output_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	report_take_output(data);
	return 0;
}

static int report_probe_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct host_report *report = data;

	(void)pidfd_send_signal(report->pidfd, SIGKILL, NULL, 0);
	return 0;
}

/* A probe that finds something missing still prints its report; only its output counts. */
static void report_conclude(struct host_report *report, const siginfo_t *info)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *text = strndup(report->text, report->size);
	struct failure failure;
	struct json_error error;

	if (!text) {
		failure_no_memory(&failure);
	} else if (json_parse(text, strlen(text), &tree, &error) == 0) {
		report_probe_deinit(report);
		report_answer(report, text, NULL);
		return;
	} else {
		failure_set(&failure, DBUS_ERROR_WORKER_FAILED,
			    "'%s --probe' gave no report (%s %d); run it by hand to see why",
			    report->program,
			    info->si_code == CLD_EXITED ? "exit status" : "killed by signal",
			    info->si_status);
	}
	report_probe_deinit(report);
	report_answer(report, NULL, &failure);
}

static int report_probe_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct host_report *report = data;
	siginfo_t info = { 0 };

	(void)waitid(P_PIDFD, (id_t)report->pidfd, &info, WEXITED | WNOHANG);
	report_take_output(report);
	report_conclude(report, &info);
	return 0;
}

static int report_watch(struct host_report *report)
{
	int r;

	r = sd_event_add_io(report->loop, &report->output_source, report->output, EPOLLIN,
			    report_output_ready, report);
	if (r < 0)
		return r;
	r = sd_event_add_io(report->loop, &report->pidfd_source, report->pidfd, EPOLLIN,
			    report_probe_ended, report);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(report->loop, &report->timer, CLOCK_MONOTONIC,
					  PROBE_TIMEOUT * UINT64_C(1000000), 0,
					  report_probe_overdue, report);
}

static int report_probe(struct host_report *report)
{
	const char *const arguments[] = { report->program, "--probe", NULL };
	struct spawn spawn = { .arguments = arguments,
			       .directory = report->directory,
			       .error = STDERR_FILENO,
			       .passed = -1 };
	int pipes[2], r;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return error_origin(-errno);
	report->output = pipes[0];
	AUTO_CLOSE int far = pipes[1];
	spawn.output = far;
	if (fcntl(report->output, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	else
		r = spawn_program(&spawn, &report->pid, &report->pidfd);
	if (r == 0)
		r = report_watch(report);
	if (r < 0) {
		if (report->pid > 0)
			(void)pidfd_send_signal(report->pidfd, SIGKILL, NULL, 0);
		report_probe_deinit(report);
	}
	return r;
}

void host_report_free(struct host_report *report)
{
	struct failure failure;

	if (!report)
		return;
	if (report->pid > 0)
		(void)pidfd_send_signal(report->pidfd, SIGKILL, NULL, 0);
	report_probe_deinit(report);
	failure_set(&failure, DBUS_ERROR_BUSY, "the service is ending");
	report_answer(report, NULL, &failure);
	sd_event_unref(report->loop);
	free(report);
}

int host_report_ask(struct host_report *report, host_report_fn done, void *data)
{
	AUTO_FREE struct asker *asker = calloc(1, sizeof(*asker));
	int r;

	if (!asker)
		return -ENOMEM;
	if (report->pid == 0) {
		r = report_probe(report);
		if (r < 0)
			return r;
	}
	asker->done = done;
	asker->data = data;
	list_append(&report->askers, &asker->link);
	TAKE_PTR(asker);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process, by number and start. */
#include "vmms/base/process.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIELDS_AFTER_NAME 19 /* from the state, the third field, up to the start time, the 22nd */

static int process_parse_start_time(const char *stat, uint64_t *ret_time)
{
	/* The name is in parentheses, and may have any of them inside. */
	const char *at = strrchr(stat, ')');

	/* Dead, and not yet taken note of by whoever inherited it. */
	if (at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0))
		return -ESRCH;
	for (int i = 0; at && i <= FIELDS_AFTER_NAME; i++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, " %" SCNu64, ret_time) == 1 ? 0 : -EIO;
}

int process_identify(pid_t pid, struct process *ret_process)
{
	struct process process = { .pid = pid };
	char path[32], stat[1024];
	ssize_t size;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	size = read(fd, stat, sizeof(stat) - 1);
	if (size < 0)
		return error_origin(-errno);
	stat[size] = '\0';
	r = process_parse_start_time(stat, &process.start_time);
	if (r < 0)
		return r;
	*ret_process = process;
	return 0;
}

int process_open(const struct process *process, int *ret_pidfd)
{
	struct process now;
	int r;

	if (process->pid <= 0)
		return -ESRCH;
	AUTO_CLOSE int pidfd = pidfd_open(process->pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Asked after the pidfd is there: the number cannot become another's in between. */
	r = process_identify(process->pid, &now);
	if (r < 0)
		return r;
	if (now.start_time != process->start_time)
		return -ESRCH;
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

static int reap(sd_event_source *source, int pidfd, uint32_t events, void *data)
{
	(void)waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED | WNOHANG);
	/* It was the loop's alone; now it goes, with its descriptor. */
	sd_event_source_ref(source);
	(void)sd_event_source_set_floating(source, false);
	sd_event_source_disable_unref(source);
	return 0;
}

void process_reap(sd_event *loop, int pidfd)
{
	AUTO_CLOSE int taken = pidfd;
	sd_event_source *source = NULL;

	if (taken < 0 || waitid(P_PIDFD, (id_t)taken, NULL, WEXITED | WNOHANG) < 0 ||
	    sd_event_add_io(loop, &source, taken, EPOLLIN, reap, NULL) < 0)
		return;
	(void)sd_event_source_set_floating(source, true);
	(void)sd_event_source_set_io_fd_own(source, true);
	sd_event_source_unref(source);
	TAKE_FD(taken);
}

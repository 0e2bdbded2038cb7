/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker uses of the host.
 *
 * The names of its threads are the worker's to choose, as is how many there are: what it says there
 * can make nothing wrong but its own steal time.
 */
#include "vmms/host/process_usage.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TASKS_MAX 4096 /* that are looked at */

/* Fields of /proc/PID/stat, counted from the state, which is the third. */
enum { FIELD_UTIME = 11, FIELD_STIME = 12, FIELD_GUEST_TIME = 40, FIELD_COUNT };

static inline void usage_close_folderp(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

/* Reads a small file of proc as text. Return: 0, -errno. */
static int usage_read_file(int folder, const char *name, char *text, size_t size)
{
	AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return error_origin(-errno);
	text[n] = '\0';
	return 0;
}

static uint64_t usage_ticks_to_us(uint64_t ticks)
{
	return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static int usage_read_cpu(int folder, struct process_usage *usage)
{
	uint64_t fields[FIELD_COUNT] = { 0 }, busy;
	char text[1024];
	char *at;
	int r;

	r = usage_read_file(folder, "stat", text, sizeof(text));
	if (r < 0)
		return r;
	/* The name is in parentheses, and may have any of them inside. */
	at = strrchr(text, ')');
	for (int i = 0; at && i < FIELD_COUNT; i++) {
		at = strchr(at + 1, ' ');
		if (at && i > 0)
			fields[i] = strtoull(at + 1, NULL, 10);
	}
	if (!at)
		return -EIO;
	busy = fields[FIELD_UTIME] + fields[FIELD_STIME];
	usage->guest_us = usage_ticks_to_us(fields[FIELD_GUEST_TIME]);
	usage->host_us = usage_ticks_to_us(busy - MIN(busy, fields[FIELD_GUEST_TIME]));
	return 0;
}

static int usage_read_resident(int folder, uint64_t *ret_resident)
{
	uint64_t resident;
	char text[256];
	int r;

	r = usage_read_file(folder, "statm", text, sizeof(text));
	if (r < 0)
		return r;
	if (sscanf(text, "%*u %" SCNu64, &resident) != 1)
		return -EIO;
	*ret_resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/*
 * How long a thread has waited for a CPU, if it is a vp's: Documentation/scheduler/sched-stats.rst.
 */
static uint64_t usage_task_steal_us(int tasks, const char *task)
{
	char name[64], text[128];
	uint64_t waited_ns = 0;

	snprintf(name, sizeof(name), "%.20s/comm", task);
	if (usage_read_file(tasks, name, text, sizeof(text)) < 0 || strncmp(text, "vp-", 3) != 0)
		return 0;
	snprintf(name, sizeof(name), "%.20s/schedstat", task);
	if (usage_read_file(tasks, name, text, sizeof(text)) < 0 ||
	    sscanf(text, "%*u %" SCNu64, &waited_ns) != 1)
		return 0;
	return waited_ns / 1000;
}

static int usage_read_steal(int folder, struct process_usage *usage)
{
	int fd = openat(folder, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(usage_close_folderp) DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!tasks) {
		int r = errno == ENOENT ? -ESRCH : -errno;

		close_fdp(&fd);
		return r;
	}
	for (int i = 0; i < TASKS_MAX && (entry = readdir(tasks)); i++) {
		if (entry->d_name[0] != '.')
			usage->steal_us += usage_task_steal_us(dirfd(tasks), entry->d_name);
	}
	return 0;
}

/* Return: its folder; -ESRCH: it has ended; -errno. */
static int usage_open_process(pid_t pid)
{
	char path[32];
	int folder;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return folder;
}

int process_resident_read(pid_t pid, uint64_t *ret_resident)
{
	AUTO_CLOSE int folder = usage_open_process(pid);

	return folder < 0 ? folder : usage_read_resident(folder, ret_resident);
}

int process_usage_read(pid_t pid, struct process_usage *ret_usage)
{
	struct process_usage usage = { 0 };
	AUTO_CLOSE int folder = usage_open_process(pid);
	int r;

	if (folder < 0)
		return folder;
	r = usage_read_cpu(folder, &usage);
	if (r == 0)
		r = usage_read_resident(folder, &usage.resident);
	if (r == 0)
		r = usage_read_steal(folder, &usage);
	if (r < 0)
		return r;
	*ret_usage = usage;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps at which a test has the daemon killed. */
#include "vmms/base/fault.h"

#ifdef VMMS_FAULT_POINTS

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULT_FILE_MAX 65536

static const char *const names[] = {
#define FAULT_STEP(name) [FAULT_##name] = #name,
	FAULT_STEPS(FAULT_STEP)
#undef FAULT_STEP
};

/* Of the file: its first line, and how many there are. */
static void fault_read_file(int fd, unsigned long *ret_number, unsigned long *ret_lines)
{
	AUTO_FREE char *text = calloc(1, FAULT_FILE_MAX);
	ssize_t size = text ? read(fd, text, FAULT_FILE_MAX - 1) : -1;

	*ret_number = size > 0 ? strtoul(text, NULL, 10) : 0;
	*ret_lines = 0;
	for (ssize_t i = 0; i < size; i++)
		*ret_lines += text[i] == '\n';
}

void fault_point(enum fault_step step)
{
	const char *path = getenv("VMMS_FAULT_FILE");
	AUTO_CLOSE int fd = path ? open(path, O_RDWR | O_APPEND | O_CLOEXEC) : -1;
	unsigned long number, lines;

	if (fd < 0)
		return;
	fault_read_file(fd, &number, &lines);
	dprintf(fd, "%s\n", names[step]);
	if (number > 0 && lines == number)
		kill(getpid(), SIGKILL);
}

#endif

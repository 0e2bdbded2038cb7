/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory the host has. */
#include "vmms/host/host_memory.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a line such as "MemAvailable:   12345 kB". */
static int memory_parse_line(const char *text, const char *name, uint64_t *ret_bytes)
{
	const char *line = strstr(text, name);
	uint64_t kilobytes;
	char *end;

	if (!line || (line != text && line[-1] != '\n'))
		return -EINVAL;
	line += strlen(name);
	kilobytes = strtoull(line, &end, 10);
	if (end == line || strncmp(end, " kB", 3) != 0 || kilobytes > UINT64_MAX >> 10)
		return -EINVAL;
	*ret_bytes = kilobytes << 10;
	return 0;
}

int host_memory_parse(const char *text, struct host_memory *ret_memory)
{
	struct host_memory memory;
	int r = memory_parse_line(text, "MemTotal:", &memory.total);

	if (r == 0)
		r = memory_parse_line(text, "MemAvailable:", &memory.available);
	if (r == 0)
		*ret_memory = memory;
	return r;
}

int host_memory_read(struct host_memory *ret_memory)
{
	AUTO_CLOSE int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	char text[4096]; /* what is looked for is at its beginning */
	ssize_t n;

	if (fd < 0)
		return error_origin(-errno);
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return error_origin(-errno);
	text[n] = '\0';
	return host_memory_parse(text, ret_memory);
}

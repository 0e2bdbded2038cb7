/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory the host has: proc_meminfo(5). */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

struct host_memory {
	uint64_t total;     /* bytes */
	uint64_t available; /* that programs can have without anything being swapped */
};

/* Return: 0; -EINVAL: the text is not that of /proc/meminfo. */
int host_memory_parse(const char *text, struct host_memory *ret_memory) MUST_CHECK;

/* Return: 0; -EINVAL; -errno. */
int host_memory_read(struct host_memory *ret_memory) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of what a console session has shown. */
#include "vmms/vmctl/console_tail.h"

#include "common/base/cc.h"

#include <string.h>

void console_tail_add(struct console_tail *tail, const char *bytes, size_t size)
{
	size_t added = MIN(size, (size_t)CONSOLE_TAIL_MAX);
	size_t kept = MIN(tail->size, CONSOLE_TAIL_MAX - added);

	memmove(tail->bytes, tail->bytes + tail->size - kept, kept);
	memcpy(tail->bytes + kept, bytes + size - added, added);
	tail->size = kept + added;
}

size_t console_tail_find(const struct console_tail *tail, const char *bytes, size_t size)
{
	if (tail->size == 0)
		return 0;
	for (size_t end = size; end >= tail->size; end--) {
		if (memcmp(bytes + end - tail->size, tail->bytes, tail->size) == 0)
			return end;
	}
	return 0;
}

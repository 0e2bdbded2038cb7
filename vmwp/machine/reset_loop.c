/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machines that do nothing but reset themselves. */
#include "vmwp/machine/reset_loop.h"

bool reset_loop_note(struct reset_loop *loop, uint64_t now)
{
	loop->times[loop->count % RESET_LOOP_MAX] = now;
	loop->count++;
	/* The oldest of them is the one that would be overwritten next. */
	return loop->count >= RESET_LOOP_MAX &&
	       now - loop->times[loop->count % RESET_LOOP_MAX] <= RESET_LOOP_NS;
}

void reset_loop_forget(struct reset_loop *loop)
{
	loop->count = 0;
}

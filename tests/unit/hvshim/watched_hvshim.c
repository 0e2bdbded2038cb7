/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stand-ins for what a test of hvshim/ calls, by the linker's --wrap: after each of them, whatever
 * hvshim has written to guest memory must be marked as written (tests/fake/watched_memory.h).
 */
#include "common/base/loop.h"
#include "hvshim/hvshim.h"
#include "tests/fake/watched_memory.h"

#include <stdio.h>
#include <stdlib.h>

int __real_hvshim_exit(struct hvshim *hvshim, struct vid_vp *vp, const struct vid_exit *exit);
int __wrap_hvshim_exit(struct hvshim *hvshim, struct vid_vp *vp, const struct vid_exit *exit);
void __real_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag);
void __wrap_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag);
int __real_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message);
int __wrap_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message);
int __real_hvshim_resume(struct hvshim *hvshim);
int __wrap_hvshim_resume(struct hvshim *hvshim);
int __real_hvshim_restore(struct hvshim *hvshim, const struct state_reader *reader,
			  struct state_refusal *refusal);
int __wrap_hvshim_restore(struct hvshim *hvshim, const struct state_reader *reader,
			  struct state_refusal *refusal);
void __real_hvshim_free(struct hvshim *hvshim);
void __wrap_hvshim_free(struct hvshim *hvshim);
int __real_loop_run_once(struct loop *loop, uint64_t timeout_ns);
int __wrap_loop_run_once(struct loop *loop, uint64_t timeout_ns);

static void check(const char *what)
{
	gpa_t gpa = GPA(0);
	const void *page;

	if (!watched_memory_find(NULL, &gpa, &page))
		return;
	fprintf(stderr, "%s wrote to guest page 0x%llx, and has not marked it since.\n", what,
		(unsigned long long)(gpa.value / HV_PAGE_SIZE));
	abort();
}

int __wrap_hvshim_exit(struct hvshim *hvshim, struct vid_vp *vp, const struct vid_exit *exit)
{
	int r = __real_hvshim_exit(hvshim, vp, exit);

	check("hvshim_exit()");
	return r;
}

void __wrap_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag)
{
	__real_hvshim_signal_event(hvshim, vp, sint, flag);
	check("hvshim_signal_event()");
}

int __wrap_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message)
{
	int r = __real_hvshim_post_message(hvshim, vp, sint, message);

	check("hvshim_post_message()");
	return r;
}

int __wrap_hvshim_resume(struct hvshim *hvshim)
{
	int r = __real_hvshim_resume(hvshim);

	check("hvshim_resume()");
	return r;
}

int __wrap_hvshim_restore(struct hvshim *hvshim, const struct state_reader *reader,
			  struct state_refusal *refusal)
{
	int r = __real_hvshim_restore(hvshim, reader, refusal);

	check("hvshim_restore()");
	return r;
}

void __wrap_hvshim_free(struct hvshim *hvshim)
{
	__real_hvshim_free(hvshim);
	check("hvshim_free()");
}

int __wrap_loop_run_once(struct loop *loop, uint64_t timeout_ns)
{
	int r = __real_loop_run_once(loop, timeout_ns);

	check("A turn of the loop");
	return r;
}

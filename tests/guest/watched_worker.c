/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker whose writes to guest memory are watched: each page that it has written must be marked
 * as written before the guest is interrupted, and before the loop waits. Where one is not, the
 * worker says which and aborts.
 *
 * It is the worker with some functions stood in for by the linker's --wrap. There is no sandbox,
 * which has no userfaultfd(2). vps handle their exits under a lock that is shared, so that nobody
 * is in the middle of a write when the loop's thread looks; it does not wait for that, but looks
 * again next time. How often it has looked it says when it ends.
 */
#include "hvshim/hvshim.h"
#include "tests/fake/bus_rings.h"
#include "tests/fake/watched_memory.h"
#include "vmwp/machine/vmbus_host.h"
#include "vmwp/machine/vp_exit.h"
#include "vmwp/machine/vps.h"
#include "vmwp/sandbox/sandbox.h"
#include "vsp/vmbus/vmbus.h"

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct vmbus *bus;
static const struct vmbus_host *host;
static pthread_rwlock_t exits = PTHREAD_RWLOCK_INITIALIZER;
static atomic_bool running; /* the vps are */

static void say_looks(void)
{
	fprintf(stderr, "Guest memory was watched: %llu looks, %llu marks.\n",
		(unsigned long long)watched_memory_looks, (unsigned long long)watched_memory_marks);
}

/* relid: of the channel whose guest is about to be interrupted; 0: of none; -1: nobody is. */
static void check(int relid, const char *when)
{
	gpa_t gpa = GPA(0);
	const void *page;

	if (!bus || !host->memory || !running || pthread_rwlock_trywrlock(&exits) != 0)
		return;
	for (; watched_memory_find(host->memory, &gpa, &page); gpa = gpa_add(gpa, HV_PAGE_SIZE)) {
		if (relid >= 0 && bus_has_ring_page(bus, page, (uint32_t)relid))
			continue;
		fprintf(stderr,
			"%s the host had written to guest page 0x%llx and not marked it since.\n",
			when, (unsigned long long)(gpa.value / HV_PAGE_SIZE));
		abort();
	}
	pthread_rwlock_unlock(&exits);
}

/* ---- Stand-ins ---- */

int __wrap_sandbox_enter(uid_t user, struct failure *failure);
int __real_vmbus_new(struct loop *loop, const struct vsp_host *vsp_host,
		     const struct vmbus_callbacks *callbacks, void *data, struct vmbus **ret_bus);
int __wrap_vmbus_new(struct loop *loop, const struct vsp_host *vsp_host,
		     const struct vmbus_callbacks *callbacks, void *data, struct vmbus **ret_bus);
void __real_vmbus_free(struct vmbus *bus);
void __wrap_vmbus_free(struct vmbus *bus);
void __real_vps_run(struct vps *vps);
void __wrap_vps_run(struct vps *vps);
void __real_vps_pause(struct vps *vps);
void __wrap_vps_pause(struct vps *vps);
enum incident __real_vp_exit_handle(struct hvshim *hvshim, struct chipset *chipset,
				    struct vid_vp *vp, const struct vid_exit *exit,
				    struct failure *failure);
enum incident __wrap_vp_exit_handle(struct hvshim *hvshim, struct chipset *chipset,
				    struct vid_vp *vp, const struct vid_exit *exit,
				    struct failure *failure);
void __real_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag);
void __wrap_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag);
int __real_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message);
int __wrap_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);

int __wrap_sandbox_enter(uid_t user, struct failure *failure)
{
	return 0;
}

int __wrap_vmbus_new(struct loop *loop, const struct vsp_host *vsp_host,
		     const struct vmbus_callbacks *callbacks, void *data, struct vmbus **ret_bus)
{
	int r = __real_vmbus_new(loop, vsp_host, callbacks, data, ret_bus);

	if (r == 0) {
		bus = *ret_bus;
		host = vsp_host->host;
		atexit(say_looks);
	}
	return r;
}

void __wrap_vmbus_free(struct vmbus *old)
{
	bus = NULL;
	__real_vmbus_free(old);
}

void __wrap_vps_run(struct vps *vps)
{
	running = true;
	check(-1, "When the vps began to run");
	__real_vps_run(vps);
}

void __wrap_vps_pause(struct vps *vps)
{
	__real_vps_pause(vps);
	running = false;
}

enum incident __wrap_vp_exit_handle(struct hvshim *hvshim, struct chipset *chipset,
				    struct vid_vp *vp, const struct vid_exit *exit,
				    struct failure *failure)
{
	enum incident incident;

	pthread_rwlock_rdlock(&exits);
	incident = __real_vp_exit_handle(hvshim, chipset, vp, exit, failure);
	pthread_rwlock_unlock(&exits);
	return incident;
}

void __wrap_hvshim_signal_event(struct hvshim *hvshim, uint32_t vp, uint32_t sint, uint32_t flag)
{
	check((int)flag, "When it interrupted the guest");
	__real_hvshim_signal_event(hvshim, vp, sint, flag);
}

int __wrap_hvshim_post_message(struct hvshim *hvshim, uint32_t vp, uint32_t sint,
			       const struct hvshim_message *message)
{
	check(0, "When it posted a message");
	return __real_hvshim_post_message(hvshim, vp, sint, message);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count)
{
	check(-1, "When the loop waited");
	return __real_io_uring_submit_and_wait(ring, count);
}

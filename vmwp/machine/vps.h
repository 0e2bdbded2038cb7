/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of the vps: one each, named "vp-N", held together by barriers.
 *
 * Threads: the functions belong to one thread, the loop's. The callback runs on the vps' threads.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vid/vid.h"

#include <stdbool.h>
#include <stdint.h>

struct vps;

struct vps_callbacks {
	/*
	 * vid_vp_run() came back with an exit, or with -errno (exit is NULL then). Return: whether
	 * the vp runs on; if not, it waits for the next vps_run().
	 */
	bool (*exit)(void *data, struct vid_vp *vp, const struct vid_exit *exit, int error);
};

/* The threads wait for vps_run(). vps and callbacks are borrowed. Return: 0, -errno. */
int vps_new(struct vid_vp *const *vps, uint32_t count, const struct vps_callbacks *callbacks,
	    void *data, struct vps **ret_vps) MUST_CHECK;

/* Stops them first. */
void vps_free(struct vps *vps);
DEFINE_CLEANUP(struct vps *, vps_free)

void vps_run(struct vps *vps);

/* Returns when no vp runs any more. */
void vps_pause(struct vps *vps);

/*
 * After vps_pause(): those run on that did before it. vps_run() would also run those that their
 * callback has stopped.
 */
void vps_continue(struct vps *vps);

/*
 * The thread of a vp runs on these CPUs of the host alone; NULL: on all that the worker may use. A
 * vp that runs comes out of the guest for a moment. Return: 0; -errno of sched_setaffinity(2).
 */
int vps_pin(struct vps *vps, uint32_t vp, const struct cpu_list *cpus) MUST_CHECK;

/* When a vp first entered the guest, by loop_now(); 0: not yet. Any thread. */
uint64_t vps_first_run(const struct vps *vps);

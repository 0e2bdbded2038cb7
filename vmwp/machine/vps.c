/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of the vps.
 *
 * What the threads are to do is one word, `order`, changed under the lock. A thread takes a look
 * at it whenever its vp comes out of the guest; to make that soon, every vp is kicked after a
 * change, and a kick is not lost on a vp that is about to enter. `running` counts the threads that
 * are in the guest or on their way, and is what the barrier waits for.
 *
 * A thread pins itself, since no process may be named to sched_setaffinity(2) in the sandbox.
 */
#include "vmwp/machine/vps.h"

#include "common/base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Exits are handled in little depth; the sanitizers' frames are the largest. */
#define STACK_SIZE (256u * 1024)

enum order { ORDER_PAUSE, ORDER_RUN, ORDER_QUIT };

struct vp {
	struct vps *set;
	struct vid_vp *vp;
	pthread_t thread;
	bool stopped; /* by its callback, since vps_run(); under the lock */

	/* Under the lock, but that it is wanted may be looked at without. */
	_Atomic(bool) pin_wanted;
	cpu_set_t cpus;
	int pin_result; /* -errno */
};

struct vps {
	const struct vps_callbacks *callbacks;
	void *data;
	_Atomic(uint64_t) first_run;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* `order` or `running` */
	_Atomic(enum order) order;
	uint32_t running;

	uint32_t count; /* threads made */
	struct vp vps[];
};

static void vp_note_first_run(struct vps *set)
{
	uint64_t never = 0;

	if (!atomic_load_explicit(&set->first_run, memory_order_relaxed))
		atomic_compare_exchange_strong(&set->first_run, &never, loop_now());
}

/* Under the lock. */
static void vp_pin(struct vp *vp)
{
	vp->pin_result = sched_setaffinity(0, sizeof(vp->cpus), &vp->cpus) < 0 ? -errno : 0;
	atomic_store(&vp->pin_wanted, false);
	pthread_cond_broadcast(&vp->set->changed);
}

/*
 * Runs the guest until there is something else to do or the callback stops it. KVM completes an
 * exit when the vp runs again: a vp that pauses has none under way, and its registers tell all. The
 * kick that comes with every order sees to it that it runs no further than to the end of what KVM
 * emulates at a stretch, which is a thousand parts of a string instruction at most.
 */
static void vp_run(struct vp *vp)
{
	struct vps *set = vp->set;
	bool on = true, complete = true;

	vp_note_first_run(set);
	while (on && (!complete ||
		      (atomic_load(&set->order) == ORDER_RUN && !atomic_load(&vp->pin_wanted)))) {
		struct vid_exit exit;
		int r = vid_vp_run(vp->vp, &exit);

		complete = r < 0 || exit.kind == VID_EXIT_KICK;
		on = set->callbacks->exit(set->data, vp->vp, r < 0 ? NULL : &exit, r);
	}
	if (!on) {
		pthread_mutex_lock(&set->lock);
		vp->stopped = true;
		pthread_mutex_unlock(&set->lock);
	}
}

static void *vp_thread(void *data)
{
	struct vp *vp = data;
	struct vps *set = vp->set;
	char name[16];

	/* Its own name, for to name another thread takes a file of /proc. */
	snprintf(name, sizeof(name), "vp-%u", (unsigned)(vp - set->vps));
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&set->lock);
	while (set->order != ORDER_QUIT) {
		if (atomic_load(&vp->pin_wanted)) {
			vp_pin(vp);
			continue;
		}
		if (set->order == ORDER_PAUSE || vp->stopped) {
			pthread_cond_wait(&set->changed, &set->lock);
			continue;
		}
		set->running++;
		pthread_mutex_unlock(&set->lock);
		vp_run(vp);
		pthread_mutex_lock(&set->lock);
		set->running--;
		pthread_cond_broadcast(&set->changed);
	}
	pthread_mutex_unlock(&set->lock);
	return NULL;
}

static int vp_start_thread(struct vp *vp)
{
	pthread_attr_t attributes;
	int r;

	r = pthread_attr_init(&attributes);
	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (!r)
		r = pthread_create(&vp->thread, &attributes, vp_thread, vp);
	pthread_attr_destroy(&attributes);
	return -r;
}

int vps_new(struct vid_vp *const *vps, uint32_t count, const struct vps_callbacks *callbacks,
	    void *data, struct vps **ret_vps)
{
	CLEANUP(vps_freep)
	struct vps *set = calloc(1, sizeof(*set) + count * sizeof(set->vps[0]));

	if (!set)
		return -ENOMEM;
	set->callbacks = callbacks;
	set->data = data;
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->changed, NULL);
	for (; set->count < count; set->count++) {
		struct vp *vp = &set->vps[set->count];
		int r;

		*vp = (struct vp){ .set = set, .vp = vps[set->count] };
		r = vp_start_thread(vp);
		if (r < 0)
			return r;
	}
	*ret_vps = TAKE_PTR(set);
	return 0;
}

static void vps_order(struct vps *set, enum order order)
{
	pthread_mutex_lock(&set->lock);
	set->order = order;
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
	for (uint32_t i = 0; order != ORDER_RUN && i < set->count; i++)
		vid_vp_kick(set->vps[i].vp);
}

void vps_run(struct vps *set)
{
	pthread_mutex_lock(&set->lock);
	for (uint32_t i = 0; i < set->count; i++)
		set->vps[i].stopped = false;
	pthread_mutex_unlock(&set->lock);
	vps_order(set, ORDER_RUN);
}

void vps_continue(struct vps *set)
{
	vps_order(set, ORDER_RUN);
}

void vps_pause(struct vps *set)
{
	vps_order(set, ORDER_PAUSE);
	pthread_mutex_lock(&set->lock);
	while (set->running)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

void vps_free(struct vps *set)
{
	if (!set)
		return;
	vps_order(set, ORDER_QUIT);
	for (uint32_t i = 0; i < set->count; i++)
		pthread_join(set->vps[i].thread, NULL);
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

int vps_pin(struct vps *set, uint32_t index, const struct cpu_list *cpus)
{
	struct vp *vp = &set->vps[index];
	int r;

	_Static_assert(sizeof(vp->cpus) == sizeof(*cpus), "a bit for each CPU, in the same order");
	pthread_mutex_lock(&set->lock);
	if (cpus)
		memcpy(&vp->cpus, cpus, sizeof(vp->cpus));
	else
		memset(&vp->cpus, 0xff,
		       sizeof(vp->cpus)); /* the kernel leaves out what there is not */
	atomic_store(&vp->pin_wanted, true);
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
	vid_vp_kick(vp->vp);
	pthread_mutex_lock(&set->lock);
	while (atomic_load(&vp->pin_wanted))
		pthread_cond_wait(&set->changed, &set->lock);
	r = vp->pin_result;
	pthread_mutex_unlock(&set->lock);
	return r;
}

uint64_t vps_first_run(const struct vps *set)
{
	return atomic_load(&set->first_run);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An epoll within that of the loop, level-triggered: the kernel puts what it has told of behind
 * what it has not, so nobody is left out.
 *
 * While what one iteration was told of is being served, any of it may be freed or asked for
 * something else: the list of the iteration is mended, or the events are looked at again.
 */
#include "vmms/base/watch.h"

#include "common/base/error.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000) /* microseconds */

struct watches {
	sd_event *loop;
	int epoll;
	sd_event_source *source;
	struct epoll_event
		told[WATCHES_PER_ITERATION]; /* not yet served; data.ptr NULL: need not be */
	int told_count;
};

struct watch {
	struct watches *watches;
	int fd;
	uint32_t events, armed; /* asked for; what the kernel knows of that, 0: not even the fd */
	watch_fn ready;
	void *data;
	unsigned iterations_a_second, iterations; /* turns: since `second` began */
	uint64_t second;                          /* CLOCK_MONOTONIC, microseconds */
	sd_event_source *timer;                   /* NULL: it has never rested */
	bool rests;
};

/* ---- What the kernel knows ---- */

static int watch_arm(struct watch *watch)
{
	uint32_t wanted = watch->rests ? 0 : watch->events;
	struct epoll_event event = { .events = wanted, .data.ptr = watch };
	int operation = watch->armed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (wanted == watch->armed)
		return 0;
	if (epoll_ctl(watch->watches->epoll, wanted == 0 ? EPOLL_CTL_DEL : operation, watch->fd,
		      &event) < 0)
		return error_origin(-errno);
	watch->armed = wanted;
	return 0;
}

static void watch_rearm(struct watch *watch)
{
	int r = watch_arm(watch);

	if (r < 0)
		log_error("cannot watch a descriptor: %s", strerror(-r));
}

void watch_set_events(struct watch *watch, uint32_t events)
{
	watch->events = events;
	watch_rearm(watch);
}

/* ---- Rest ---- */

static int watch_rested(sd_event_source *source, uint64_t usec, void *data)
{
	struct watch *watch = data;

	watch->rests = false;
	watch_rearm(watch);
	return 0;
}

static int watch_set_timer(struct watch *watch, uint64_t usec)
{
	int r;

	if (!watch->timer)
		return sd_event_add_time(watch->watches->loop, &watch->timer, CLOCK_MONOTONIC, usec,
					 0, watch_rested, watch);
	r = sd_event_source_set_time(watch->timer, usec);
	return r < 0 ? r : sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

void watch_rest(struct watch *watch, uint64_t duration)
{
	uint64_t now;

	if (sd_event_now(watch->watches->loop, CLOCK_MONOTONIC, &now) < 0 ||
	    watch_set_timer(watch, now + duration) < 0)
		return;
	watch->rests = true;
	watch_rearm(watch);
}

/* Return: whether there is one; else the watch rests. */
static bool watch_take_turn(struct watch *watch)
{
	uint64_t now;

	if (watch->iterations_a_second == 0 ||
	    sd_event_now(watch->watches->loop, CLOCK_MONOTONIC, &now) < 0)
		return true;
	if (now - watch->second >= SECOND) {
		watch->second = now;
		watch->iterations = 0;
	}
	if (watch->iterations++ < watch->iterations_a_second ||
	    watch_set_timer(watch, watch->second + SECOND) < 0)
		return true;
	watch->rests = true;
	watch_rearm(watch);
	return false;
}

/* ---- An iteration ---- */

static void watch_serve(struct watch *watch, uint32_t events)
{
	events &= watch->armed | EPOLLERR | EPOLLHUP;
	if (watch->armed != 0 && events != 0 && watch_take_turn(watch))
		watch->ready(watch->data, events);
}

static int watch_take_turns(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct watches *watches = data;

	watches->told_count = epoll_wait(watches->epoll, watches->told, WATCHES_PER_ITERATION, 0);
	for (int i = 0; i < watches->told_count; i++) {
		struct watch *watch = watches->told[i].data.ptr;

		if (watch)
			watch_serve(watch, watches->told[i].events);
	}
	watches->told_count = 0;
	return 0;
}

/* ---- Life ---- */

int watches_new(sd_event *loop, struct watches **ret_watches)
{
	CLEANUP(watches_freep) struct watches *watches = calloc(1, sizeof(*watches));
	int r;

	if (!watches)
		return -ENOMEM;
	watches->loop = sd_event_ref(loop);
	watches->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (watches->epoll < 0)
		return error_origin(-errno);
	r = sd_event_add_io(loop, &watches->source, watches->epoll, EPOLLIN, watch_take_turns,
			    watches);
	if (r < 0)
		return r;
	*ret_watches = TAKE_PTR(watches);
	return 0;
}

void watches_free(struct watches *watches)
{
	if (!watches)
		return;
	sd_event_source_disable_unref(watches->source);
	close_fdp(&watches->epoll);
	sd_event_unref(watches->loop);
	free(watches);
}

sd_event *watches_loop(const struct watches *watches)
{
	return watches->loop;
}

int watch_new(struct watches *watches, int fd, uint32_t events, unsigned iterations_a_second,
	      watch_fn ready, void *data, struct watch **ret_watch)
{
	AUTO_FREE struct watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){ .watches = watches,
				 .fd = fd,
				 .events = events,
				 .ready = ready,
				 .data = data,
				 .iterations_a_second = iterations_a_second };
	r = watch_arm(watch);
	if (r < 0)
		return r;
	*ret_watch = TAKE_PTR(watch);
	return 0;
}

static void watch_forget_told(struct watches *watches, const struct watch *watch)
{
	for (int i = 0; i < watches->told_count; i++) {
		if (watches->told[i].data.ptr == watch)
			watches->told[i].data.ptr = NULL;
	}
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	watch_set_events(watch, 0);
	watch_forget_told(watch->watches, watch);
	sd_event_source_disable_unref(watch->timer);
	free(watch);
}

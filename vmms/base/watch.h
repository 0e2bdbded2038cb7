/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of all VMs, behind one source of the event loop.
 *
 * A source of sd-event's own serves one descriptor in each iteration of the loop, and each
 * iteration asks the kernel about all that are ready: where a thousand workers speak at once, a
 * message of one costs as much as asking about a thousand. Here an iteration asks for
 * WATCHES_PER_ITERATION of them and serves those. They take turns with each other, and all of them
 * together with the loop's other sources.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdint.h>
#include <systemd/sd-event.h>

#define WATCHES_PER_ITERATION 16

struct watches;
struct watch;

/* Return: 0, -errno. */
int watches_new(sd_event *loop, struct watches **ret_watches) MUST_CHECK;

/* All of its watches have been freed. */
void watches_free(struct watches *watches);
DEFINE_CLEANUP(struct watches *, watches_free)

sd_event *watches_loop(const struct watches *watches);

/* events: as of epoll(7), of those asked for, EPOLLERR and EPOLLHUP. It may free any watch. */
typedef void (*watch_fn)(void *data, uint32_t events);

/*
 * fd: borrowed; it is closed after the watch has been freed. turns_a_second: after so many the
 * watch rests until the second is over, whatever there is to do; 0: it never rests. Return: 0,
 * -errno.
 */
int watch_new(struct watches *watches, int fd, uint32_t events, unsigned iterations_a_second,
	      watch_fn ready, void *data, struct watch **ret_watch) MUST_CHECK;
void watch_free(struct watch *watch);
DEFINE_CLEANUP(struct watch *, watch_free)

/* The watch rests for so many microseconds, whatever there is to do. */
void watch_rest(struct watch *watch, uint64_t duration);

/* What is asked for from now on. 0: nothing at all, not even the end. */
void watch_set_events(struct watch *watch, uint32_t events);

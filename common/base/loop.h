/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop: one thread, one io_uring.
 *
 * Everything a worker waits for is an operation on the ring: disk I/O, guest doorbells, timers,
 * the control socket. An operation is a struct loop_operation embedded in the caller's object; its
 * `complete` runs on the loop's thread when the kernel is done. Submissions are collected, and one
 * io_uring_enter(2) submits them all and waits for the next completions, so that a batch of guest
 * requests costs one system call.
 *
 * Ownership: the loop never allocates or frees operations; an operation, and the buffers and iovecs
 * it names, stay untouched until its `complete` has run. Operations under way are bounded by the
 * capacity given to loop_new(), which the callers keep by bounding their own queues.
 *
 * Thread: all functions belong to the loop's thread, the one that called loop_new(), except
 * loop_post() and loop_stop(). They assert it, and who has a loop may: loop_assert_thread().
 *
 * The kernel may take no more operations for a moment, when it is short of memory. That is waited
 * for, up to about a second; then the ring has failed, which loop_run() returns. What is prepared
 * from then on never completes.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct loop;
struct loop_operation;

/*
 * result: what the system call would have returned, or a negative errno. more: true for a
 * repeating operation (loop_poll) that stays armed; false for the last call, after which the
 * operation may be reused.
 */
typedef void (*loop_complete_fn)(struct loop_operation *operation, int result, bool more);

struct loop_operation {
	loop_complete_fn complete;
};

/*
 * capacity: how many operations may be under way at once, a power of two from 64 to 16384.
 * The ring does nothing but what follows here (common/base/loop_ring.h). Return: 0, or -errno of
 * io_uring_setup(2) (-ENOSYS, -EPERM: io_uring is not to be had here).
 */
int loop_new(unsigned capacity, struct loop **ret_loop) MUST_CHECK;
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free)

/*
 * Whether the loop has not been freed yet, for assertions of those who may be freed after it alone.
 * Its own thread.
 */
bool loop_exists(const struct loop *loop);

/* Whether the caller runs on the loop's thread. Any thread. */
bool loop_in_thread(const struct loop *loop);

/* Must be called on the loop's thread. */
#define loop_assert_thread(loop) assert(loop_in_thread(loop))

/* Dispatches completions until loop_stop(). Return: 0, or -errno when the ring itself fails. */
int loop_run(struct loop *loop) MUST_CHECK;

/*
 * Dispatches what is there, waiting at most timeout_ns (0: not at all) for the first completion.
 * For tests. Return: 0, or -errno.
 */
int loop_run_once(struct loop *loop, uint64_t timeout_ns) MUST_CHECK;

/*
 * Somebody who wants to be asked before the loop waits. look(): `busy` tells that it will not wait
 * anyway; else it may take its time. Return: whether there was something to do, now done or
 * deferred; then the loop asks again before it waits. One at a time, borrowed; NULL: nobody.
 */
struct loop_idle {
	bool (*look)(struct loop_idle *idle, bool busy);
};
void loop_set_idle(struct loop *loop, struct loop_idle *idle);

/* Whether the loop would not wait: something has completed. */
bool loop_has_completions(struct loop *loop);

/* Makes loop_run() return after this iteration, which still ends what was cancelled. Any thread. */
void loop_stop(struct loop *loop);

/* Monotonic time, nanoseconds. */
uint64_t loop_now(void);

/*
 * Disk I/O at `offset` bytes. The iovecs must live until completion.
 * flags: 0 or RWF_DSYNC.
 */
void loop_readv(struct loop *loop, struct loop_operation *operation, int fd,
		const struct iovec *iov, unsigned iov_count, uint64_t offset);
void loop_writev(struct loop *loop, struct loop_operation *operation, int fd,
		 const struct iovec *iov, unsigned iov_count, uint64_t offset, int flags);
void loop_fdatasync(struct loop *loop, struct loop_operation *operation, int fd);
void loop_fallocate(struct loop *loop, struct loop_operation *operation, int fd, int mode,
		    uint64_t offset, uint64_t length);

/* Completes with 0, for what turned out to need no I/O. */
void loop_nop(struct loop *loop, struct loop_operation *operation);

/* Stream I/O: sockets, pipes, terminals. */
void loop_read(struct loop *loop, struct loop_operation *operation, int fd, void *buffer,
	       size_t size);
void loop_write(struct loop *loop, struct loop_operation *operation, int fd, const void *buffer,
		size_t size);

/*
 * Completes whenever fd becomes ready for `events` (POLLIN, …), again and again, until an error or
 * loop_cancel(). An eventfd need not be read: every write to it completes the operation once more.
 */
void loop_poll(struct loop *loop, struct loop_operation *operation, int fd, uint32_t events);

/* The result is the descriptor of the next connection to a listening socket, close-on-exec. */
void loop_accept(struct loop *loop, struct loop_operation *operation, int fd);

/* Completes with -ETIME after delay_ns. */
struct loop_timer {
	struct loop_operation operation;
	int64_t time[2]; /* struct __kernel_timespec */
};
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns);

/*
 * Asks the kernel to end an operation early: it completes with -ECANCELED, or with its result if
 * that came first. Never waits.
 */
void loop_cancel(struct loop *loop, struct loop_operation *operation);

/*
 * Submits what was prepared, without waiting. Descriptors are looked up when an operation is
 * submitted, so this comes before closing one that an operation (loop_signal(), too) has named:
 * its number might be another file's by then.
 */
void loop_flush(struct loop *loop);

/*
 * Adds 1 to an eventfd (an irqfd, say) with the next submission: no system call of its own, and
 * nothing to complete.
 */
void loop_signal(struct loop *loop, int event_fd);

/*
 * Work handed to the loop's thread by another thread. A task that is still waiting to run is not
 * queued twice. Any thread.
 */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next; /* the loop's */
	atomic_bool queued;     /* the loop's */
};
void loop_post(struct loop *loop, struct loop_task *task);

/*
 * Runs once before the loop next waits, after all completions at hand: the place to publish what a
 * batch of completions produced, with one interrupt. Queued once however often it is asked for.
 */
struct loop_deferred {
	void (*run)(struct loop_deferred *deferred);
	struct list link; /* list_init() before the first use */
};
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_deferred_cancel(struct loop_deferred *deferred);

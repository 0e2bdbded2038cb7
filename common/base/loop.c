/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop on io_uring.
 *
 * An iteration of the loop: run the deferred work, then one io_uring_enter(2) that submits all that
 * was prepared and waits for a completion, then dispatch the completions that are there. An
 * iteration takes a few of many, and leaves the rest to the next, which does not wait: so the guest
 * has work, and the devices too, while we are still busy with what came after.
 *
 * Other threads reach the loop through a lock-free stack of tasks and an eventfd that the ring
 * polls. The thread that finds the stack empty rings the eventfd; the loop takes the whole stack at
 * once.
 */
#include "common/base/loop.h"

#include "common/base/loop_ring.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

_Static_assert(sizeof(((struct loop_timer *)0)->time) == sizeof(struct __kernel_timespec),
	       "loop_timer holds a kernel timespec");

#define COMPLETIONS_PER_TURN 8

/* How long the kernel may take nothing of a full submission queue: about a second. */
#define SUBMIT_TRIES    1000
#define SUBMIT_PAUSE_NS 1000000

struct loop {
	struct io_uring ring;
	pthread_t thread;
	struct loop *next;         /* in `loops` */
	int error;                 /* -errno of a ring that takes nothing any more, or 0 */
	struct io_uring_sqe spare; /* what is prepared then */
	struct list deferred;
	_Atomic(struct loop_task *) tasks; /* newest first; pushed by any thread */
	atomic_bool stopping;
	int wake_fd;
	struct loop_operation wake;
	struct loop_idle *idle;
};

/* Those of this thread that have not been freed. */
static _Thread_local struct loop *loops;

/* Shared by all threads' loops: the value that loop_signal() writes. */
static const uint64_t one = 1;

static void loop_run_tasks(struct loop_operation *operation, int result, bool more)
{
	struct loop *loop = container_of(operation, struct loop, wake);
	struct loop_task *newest = atomic_exchange(&loop->tasks, NULL), *oldest = NULL;

	while (newest) {
		struct loop_task *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct loop_task *task = oldest;

		oldest = task->next;
		/* From here on it may be posted anew, by itself or by another thread. */
		atomic_store(&task->queued, false);
		task->run(task);
	}
	if (!more && result != -ECANCELED)
		loop_poll(loop, &loop->wake, loop->wake_fd, POLLIN);
}

int loop_new(unsigned capacity, struct loop **ret_loop)
{
	struct loop *loop;
	int r;

	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	loop->thread = pthread_self();
	list_init(&loop->deferred);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		r = -errno;
		goto error_free;
	}
	r = loop_ring_init(&loop->ring, capacity);
	if (r < 0)
		goto error_close;
	loop->wake.complete = loop_run_tasks;
	loop_poll(loop, &loop->wake, loop->wake_fd, POLLIN);
	loop->next = loops;
	loops = loop;
	*ret_loop = loop;
	return 0;

error_close:
	close(loop->wake_fd);
error_free:
	free(loop);
	return r;
}

void loop_free(struct loop *loop)
{
	struct loop **link = &loops;

	if (!loop)
		return;
	loop_assert_thread(loop);
	io_uring_queue_exit(&loop->ring);
	close(loop->wake_fd);
	while (*link != loop)
		link = &(*link)->next;
	*link = loop->next;
	free(loop);
}

bool loop_exists(const struct loop *loop)
{
	const struct loop *other = loops;

	while (other && other != loop)
		other = other->next;
	return other;
}

bool loop_in_thread(const struct loop *loop)
{
	return pthread_equal(loop->thread, pthread_self());
}

static void loop_run_deferred(struct loop *loop)
{
	while (!list_empty(&loop->deferred)) {
		struct loop_deferred *deferred =
			container_of(loop->deferred.next, struct loop_deferred, link);

		list_unlink(&deferred->link);
		deferred->run(deferred);
	}
}

static void loop_dispatch(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < COMPLETIONS_PER_TURN && io_uring_peek_cqe(&loop->ring, &cqe) == 0;
	     i++) {
		struct loop_operation *operation = io_uring_cqe_get_data(cqe);
		bool more = cqe->flags & IORING_CQE_F_MORE;
		int result = cqe->res;

		/* Seen before the call: `complete` may prepare operations and needs the room. */
		io_uring_cqe_seen(&loop->ring, cqe);
		if (operation)
			operation->complete(operation, result, more);
	}
}

void loop_set_idle(struct loop *loop, struct loop_idle *idle)
{
	loop_assert_thread(loop);
	loop->idle = idle;
}

/* What has been done may still have to be turned into completions, which the kernel flags. */
bool loop_has_completions(struct loop *loop)
{
	struct io_uring *ring = &loop->ring;

	loop_assert_thread(loop);
	if (io_uring_cq_ready(ring))
		return true;
	if (!(__atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN))
		return false;
	io_uring_get_events(ring);
	return io_uring_cq_ready(ring) > 0;
}

/*
 * All that is to be done before the loop may wait. Return: whether it need not wait. *ret_found:
 * somebody had something to do.
 */
static bool loop_prepare(struct loop *loop, bool *ret_found)
{
	bool busy;

	for (*ret_found = false;; *ret_found = true) {
		loop_run_deferred(loop);
		busy = loop_has_completions(loop);
		if (!loop->idle || !loop->idle->look(loop->idle, busy))
			return busy;
		if (busy) {
			loop_run_deferred(loop);
			return true;
		}
	}
}

static bool loop_error_is_passing(int r)
{
	return r == -EINTR || r == -EAGAIN || r == -EBUSY || r == -ETIME;
}

int loop_run(struct loop *loop)
{
	loop_assert_thread(loop);
	while (!loop->stopping) {
		bool found;
		int r;

		if (loop_prepare(loop, &found))
			r = io_uring_submit(&loop->ring);
		else
			r = io_uring_submit_and_wait(&loop->ring, 1);
		if (r < 0 && !loop_error_is_passing(r))
			return r;
		loop_dispatch(loop);
		if (UNLIKELY(loop->error < 0))
			return loop->error;
	}
	return 0;
}

int loop_run_once(struct loop *loop, uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = {
		.tv_sec = (long long)(timeout_ns / 1000000000u),
		.tv_nsec = (long long)(timeout_ns % 1000000000u),
	};
	struct io_uring_cqe *cqe;
	bool found;
	int r;

	loop_assert_thread(loop);
	(void)loop_prepare(loop, &found);
	if (found)
		timeout = (struct __kernel_timespec){ 0 };
	r = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL);
	if (r < 0 && !loop_error_is_passing(r))
		return r;
	loop_dispatch(loop);
	loop_run_deferred(loop);
	if (loop->error < 0)
		return loop->error;
	r = io_uring_submit(&loop->ring);
	return r < 0 && !loop_error_is_passing(r) ? r : 0;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	eventfd_write(loop->wake_fd, 1);
}

uint64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * Submits what is prepared, and waits a little where the kernel takes nothing. tries: how often in a
 * row it did, 0 at first. Return: whether to go on; if not, the ring has failed.
 */
static bool loop_submit(struct loop *loop, unsigned *tries)
{
	static const struct timespec pause = { .tv_nsec = SUBMIT_PAUSE_NS };
	int r;

	if (loop->error < 0)
		return false;
	r = io_uring_submit(&loop->ring);
	if (r > 0)
		*tries = 0;
	else if (r < 0 && !loop_error_is_passing(r))
		loop->error = r;
	else if (++*tries == SUBMIT_TRIES)
		loop->error = r < 0 ? r : -EBUSY;
	else
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	return loop->error == 0;
}

/*
 * A free submission entry. The submission queue is emptied by submitting it, which seldom fails, and
 * not for long: the completion queue is twice the promised capacity, and the kernel keeps what
 * overflows. A kernel that goes on refusing is a fault of the host, which whoever runs the loop hears
 * of: until then, what is prepared goes nowhere.
 */
static struct io_uring_sqe *loop_entry(struct loop *loop)
{
	struct io_uring_sqe *sqe;
	unsigned tries = 0;

	loop_assert_thread(loop);
	sqe = io_uring_get_sqe(&loop->ring);
	while (UNLIKELY(!sqe)) {
		if (!loop_submit(loop, &tries))
			return &loop->spare;
		sqe = io_uring_get_sqe(&loop->ring);
	}
	return sqe;
}

void loop_readv(struct loop *loop, struct loop_operation *operation, int fd,
		const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	if (iov_count == 1)
		io_uring_prep_read(sqe, fd, iov->iov_base, (unsigned)iov->iov_len, offset);
	else
		io_uring_prep_readv(sqe, fd, iov, iov_count, offset);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_writev(struct loop *loop, struct loop_operation *operation, int fd,
		 const struct iovec *iov, unsigned iov_count, uint64_t offset, int flags)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	if (iov_count == 1)
		io_uring_prep_write(sqe, fd, iov->iov_base, (unsigned)iov->iov_len, offset);
	else
		io_uring_prep_writev(sqe, fd, iov, iov_count, offset);
	sqe->rw_flags = flags;
	io_uring_sqe_set_data(sqe, operation);
}

void loop_fdatasync(struct loop *loop, struct loop_operation *operation, int fd)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_fallocate(struct loop *loop, struct loop_operation *operation, int fd, int mode,
		    uint64_t offset, uint64_t length)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)length);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_nop(struct loop *loop, struct loop_operation *operation)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_read(struct loop *loop, struct loop_operation *operation, int fd, void *buffer,
	       size_t size)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_read(sqe, fd, buffer, (unsigned)size, (uint64_t)-1);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_write(struct loop *loop, struct loop_operation *operation, int fd, const void *buffer,
		size_t size)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_write(sqe, fd, buffer, (unsigned)size, (uint64_t)-1);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_poll(struct loop *loop, struct loop_operation *operation, int fd, uint32_t events)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_poll_multishot(sqe, fd, events);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_accept(struct loop *loop, struct loop_operation *operation, int fd)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, operation);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns)
{
	struct io_uring_sqe *sqe = loop_entry(loop);
	struct __kernel_timespec time = {
		.tv_sec = (long long)(delay_ns / 1000000000u),
		.tv_nsec = (long long)(delay_ns % 1000000000u),
	};

	memcpy(timer->time, &time, sizeof(time));
	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)timer->time, 0, 0);
	io_uring_sqe_set_data(sqe, &timer->operation);
}

void loop_cancel(struct loop *loop, struct loop_operation *operation)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_cancel(sqe, operation, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

void loop_flush(struct loop *loop)
{
	unsigned tries = 0;

	loop_assert_thread(loop);
	while (io_uring_sq_ready(&loop->ring) > 0 && loop_submit(loop, &tries))
		continue;
}

void loop_signal(struct loop *loop, int event_fd)
{
	struct io_uring_sqe *sqe = loop_entry(loop);

	io_uring_prep_write(sqe, event_fd, &one, sizeof(one), 0);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data(sqe, NULL);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	struct loop_task *newest;

	if (atomic_exchange(&task->queued, true))
		return;
	newest = atomic_load(&loop->tasks);
	do {
		task->next = newest;
	} while (!atomic_compare_exchange_weak(&loop->tasks, &newest, task));
	if (!newest)
		eventfd_write(loop->wake_fd, 1);
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	loop_assert_thread(loop);
	if (list_empty(&deferred->link))
		list_append(&loop->deferred, &deferred->link);
}

void loop_deferred_cancel(struct loop_deferred *deferred)
{
	list_unlink(&deferred->link);
}

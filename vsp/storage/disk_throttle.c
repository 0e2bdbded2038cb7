/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limits of a disk.
 *
 * For each limit there is a time until which all that was let through has used it up: every request
 * moves it on by what it costs. A request may pass while that time is no further ahead than a
 * burst; so one may come whole whatever its size, and the next ones wait for it.
 */
#include "vsp/storage/disk_throttle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS  (SECOND_NS / 10)

struct disk_throttle {
	struct disk *disk;
	struct loop *loop;
	struct disk_limits limits;
	uint64_t operations_until, bytes_until; /* by loop_now() */
	struct list waiting;                    /* requests, oldest first */
	struct loop_timer timer;
	bool runs; /* the timer */
};

static bool disk_throttle_may_pass(const struct disk_throttle *throttle, uint64_t now)
{
	return MAX(throttle->operations_until, throttle->bytes_until) <= now + BURST_NS;
}

static void disk_throttle_count(struct disk_throttle *throttle, const struct disk_request *request,
				uint64_t now)
{
	bool moves = request->operation == DISK_READ || request->operation == DISK_WRITE;

	if (throttle->limits.iops)
		throttle->operations_until =
			MAX(throttle->operations_until, now) + SECOND_NS / throttle->limits.iops;
	/* One command moves a few megabytes at most: the product fits. */
	if (throttle->limits.bandwidth && moves)
		throttle->bytes_until = MAX(throttle->bytes_until, now) +
					request->size * SECOND_NS / throttle->limits.bandwidth;
}

static void disk_throttle_wait(struct disk_throttle *throttle, uint64_t now)
{
	uint64_t until = MAX(throttle->operations_until, throttle->bytes_until);

	if (throttle->runs)
		return;
	throttle->runs = true;
	throttle->disk->in_flight++;
	loop_timer_start(throttle->loop, &throttle->timer, until - BURST_NS - now);
}

static void disk_throttle_expired(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);
	struct disk_throttle *throttle = container_of(timer, struct disk_throttle, timer);
	uint64_t now = loop_now();

	throttle->runs = false;
	while (!list_empty(&throttle->waiting) && disk_throttle_may_pass(throttle, now)) {
		struct disk_request *request =
			container_of(throttle->waiting.next, struct disk_request, link);

		list_unlink(&request->link);
		request->throttled = false;
		disk_throttle_count(throttle, request, now);
		disk_pass(throttle->disk, request);
	}
	if (!list_empty(&throttle->waiting))
		disk_throttle_wait(throttle, now);
	disk_put(throttle->disk);
}

bool disk_throttle_admit(struct disk_throttle *throttle, struct disk_request *request)
{
	uint64_t now = request->begun;

	if (list_empty(&throttle->waiting) && disk_throttle_may_pass(throttle, now)) {
		disk_throttle_count(throttle, request, now);
		return true;
	}
	request->throttled = true;
	list_init(&request->link);
	list_append(&throttle->waiting, &request->link);
	disk_throttle_wait(throttle, now);
	return false;
}

struct disk_request *disk_throttle_stop(struct disk_throttle *throttle)
{
	if (throttle->runs)
		loop_cancel(throttle->loop, &throttle->timer.operation);
	if (list_empty(&throttle->waiting))
		return NULL;
	return container_of(throttle->waiting.next, struct disk_request, link);
}

int disk_throttle_new(struct disk *disk, struct loop *loop, const struct disk_limits *limits,
		      struct disk_throttle **ret_throttle)
{
	struct disk_throttle *throttle = calloc(1, sizeof(*throttle));

	if (!throttle)
		return -ENOMEM;
	throttle->disk = disk;
	throttle->loop = loop;
	throttle->limits = *limits;
	throttle->timer.operation.complete = disk_throttle_expired;
	list_init(&throttle->waiting);
	*ret_throttle = throttle;
	return 0;
}

void disk_throttle_free(struct disk_throttle *throttle)
{
	assert(!throttle || (!throttle->runs && list_empty(&throttle->waiting)));
	free(throttle);
}

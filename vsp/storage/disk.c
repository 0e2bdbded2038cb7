/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all disks share: counting requests, holding those that the host could not carry out until
 * they are tried again, and ending with the last of them.
 */
#include "vsp/storage/disk.h"

#include "common/base/cleanup.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/disk_throttle.h"

#include <assert.h>
#include <errno.h>

void disk_init(struct disk *disk)
{
	list_init(&disk->held);
}

void disk_observe(struct disk *disk, const struct disk_observer *observer)
{
	disk->observer = observer;
}

int disk_limit(struct disk *disk, struct loop *loop, const struct disk_limits *limits)
{
	if (!limits->iops && !limits->bandwidth)
		return 0;
	return disk_throttle_new(disk, loop, limits, &disk->throttle);
}

void disk_pass(struct disk *disk, struct disk_request *request)
{
	if (UNLIKELY(disk->changes) && !disk_changes_admit(disk->changes, request))
		return;
	disk->ops->submit(disk, request);
}

static void disk_begin(struct disk *disk, struct disk_request *request)
{
	assert(!disk->retiring);
	assert(request->offset <= disk->size && request->size <= disk->size - request->offset);
	request->disk = disk;
	request->under_way = true;
	request->held = false;
	request->retried = false;
	request->throttled = false;
	request->aside = false;
	request->begun = loop_now();
	disk->in_flight++;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	disk_begin(disk, request);
	if (UNLIKELY(disk->throttle) && !disk_throttle_admit(disk->throttle, request))
		return;
	disk_pass(disk, request);
}

void disk_submit_aside(struct disk *disk, struct disk_request *request)
{
	assert(request->operation == DISK_READ);
	disk_begin(disk, request);
	request->aside = true;
	disk->ops->submit(disk, request);
}

int disk_descriptor(const struct disk *disk)
{
	return disk->ops->descriptor ? disk->ops->descriptor(disk) : -1;
}

static void disk_count_latency(struct disk_latency *latency, uint64_t ns)
{
	uint64_t us = (ns + 999) / 1000;
	unsigned bucket = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);

	latency->buckets[MIN(bucket, DISK_LATENCY_BUCKETS - 1u)]++;
	latency->sum += ns;
}

static void disk_count(struct disk_counters *counters, const struct disk_request *request,
		       int result)
{
	if (result)
		counters->errors++;
	switch (request->operation) {
	case DISK_READ:
		counters->reads++;
		counters->bytes_read += result ? 0 : request->size;
		disk_count_latency(&counters->read_latency, loop_now() - request->begun);
		break;
	case DISK_WRITE:
		counters->writes++;
		counters->bytes_written += result ? 0 : request->size;
		disk_count_latency(&counters->write_latency, loop_now() - request->begun);
		break;
	case DISK_FLUSH:
		counters->flushes++;
		break;
	case DISK_UNMAP:
	case DISK_ZERO:
		counters->unmaps++;
		break;
	}
}

static void disk_latency_add(struct disk_latency *sum, const struct disk_latency *latency)
{
	for (size_t i = 0; i < DISK_LATENCY_BUCKETS; i++)
		sum->buckets[i] += latency->buckets[i];
	sum->sum += latency->sum;
}

void disk_counters_add(struct disk_counters *sum, const struct disk_counters *counters)
{
	sum->reads += counters->reads;
	sum->writes += counters->writes;
	sum->flushes += counters->flushes;
	sum->unmaps += counters->unmaps;
	sum->bytes_read += counters->bytes_read;
	sum->bytes_written += counters->bytes_written;
	sum->errors += counters->errors;
	disk_latency_add(&sum->read_latency, &counters->read_latency);
	disk_latency_add(&sum->write_latency, &counters->write_latency);
}

/* ---- Requests that fail ---- */

/* Whether the request can be made again. What a flush has not written may be forgotten by then. */
static bool disk_can_hold(const struct disk *disk, const struct disk_request *request, int error)
{
	if (request->abandoned || disk->retiring || error == -ECANCELED)
		return false;
	return request->operation != DISK_FLUSH || (disk->flush_is_repeatable && error == -ENOSPC);
}

/* Return: whether the request is held. */
static bool disk_hold(struct disk *disk, struct disk_request *request, int error)
{
	bool can_hold = disk_can_hold(disk, request, error);

	if (!disk->observer || request->abandoned || request->aside)
		return false;
	if (!disk->observer->failed(disk->observer->data, request, error, can_hold) || !can_hold)
		return false;
	list_init(&request->link);
	list_append(&disk->held, &request->link);
	request->held = true;
	disk->held_count++;
	return true;
}

static void disk_tell_released(struct disk *disk)
{
	if (disk->observer && disk->held_count == 0 && disk->retried_count == 0)
		disk->observer->released(disk->observer->data);
}

int disk_measure(struct disk *disk)
{
	uint64_t size;
	int r = disk->ops->measure ? disk->ops->measure(disk, &size) : -ENOTSUP;

	if (r == 0) {
		uint64_t old_size = disk->size;

		disk->size = MAX(disk->size, size);
		if (disk->changes)
			disk_changes_grow(disk->changes, old_size);
	}
	return r;
}

void disk_replace(struct disk *old, struct disk *disk)
{
	assert(old->in_flight == 0 && disk->in_flight == 0);
	disk->counters = old->counters;
	disk->lost = old->lost;
	disk->observer = TAKE_PTR(old->observer);
	disk_throttle_free(TAKE_PTR(old->throttle));
	disk->changes = TAKE_PTR(old->changes);
	if (disk->changes)
		disk_changes_move(disk->changes, disk);
}

void disk_retry(struct disk *disk)
{
	struct list held;

	/* Those that fail again are appended anew. */
	list_init(&held);
	while (!list_empty(&disk->held)) {
		struct disk_request *request =
			container_of(disk->held.next, struct disk_request, link);

		list_unlink(&request->link);
		list_append(&held, &request->link);
	}
	while (!list_empty(&held)) {
		struct disk_request *request = container_of(held.next, struct disk_request, link);

		list_unlink(&request->link);
		request->held = false;
		request->retried = true;
		disk->held_count--;
		disk->retried_count++;
		disk->ops->submit(disk, request);
	}
}

/* ---- Their end ---- */

static void disk_end(struct disk *disk)
{
	void (*retired)(void *data) = disk->retired;
	void *data = disk->retired_data;

	assert(disk->held_count == 0);
	disk_throttle_free(disk->throttle);
	disk_changes_free(disk->changes);
	disk->ops->free(disk);
	if (retired)
		retired(data);
}

void disk_put(struct disk *disk)
{
	if (--disk->in_flight > 0 || !disk->retiring)
		return;
	if (!disk->changes || !disk_changes_close(disk->changes))
		disk_end(disk);
}

static void disk_finish(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;

	disk_count(&disk->counters, request, result);
	request->under_way = false;
	/* The owner may submit or retire in `complete`: what it started last counts, too. */
	request->complete(request, result);
	disk_put(disk);
}

void disk_complete(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;
	bool retried = request->retried;

	if (UNLIKELY(retried)) {
		request->retried = false;
		disk->retried_count--;
	}
	if (UNLIKELY(disk->lost) && request->operation == DISK_FLUSH && !result)
		result = DISK_E_LOST;
	if (UNLIKELY(result) && disk_hold(disk, request, result))
		return;
	if (UNLIKELY(retried))
		disk_tell_released(disk);
	disk_finish(request, result);
}

static void disk_release(struct disk_request *request)
{
	struct disk *disk = request->disk;

	list_unlink(&request->link);
	request->held = false;
	disk->held_count--;
	disk_tell_released(disk);
	disk_finish(request, -ECANCELED);
}

/* One that was to wait until the limits let it through. */
static void disk_cancel(struct disk_request *request)
{
	list_unlink(&request->link);
	request->throttled = false;
	disk_finish(request, -ECANCELED);
}

void disk_abandon(struct disk_request *request)
{
	request->abandoned = true;
	if (request->held)
		disk_release(request);
	else if (request->throttled)
		disk_cancel(request);
	else if (request->under_way && request->disk->ops->abandon)
		request->disk->ops->abandon(request->disk);
}

void disk_retire(struct disk *disk, void (*retired)(void *data), void *data)
{
	const struct disk_observer *observer = disk->observer;

	disk->retired = retired;
	disk->retired_data = data;
	disk->in_flight++; /* until all that are held have ended */
	disk->retiring = true;
	disk->observer = NULL;
	if (observer)
		observer->retired(observer->data);
	while (!list_empty(&disk->held))
		disk_release(container_of(disk->held.next, struct disk_request, link));
	for (struct disk_request *request;
	     disk->throttle && (request = disk_throttle_stop(disk->throttle));)
		disk_cancel(request);
	for (struct disk_request *request;
	     disk->changes && (request = disk_changes_stop(disk->changes));)
		disk_cancel(request);
	if (disk->ops->retire)
		disk->ops->retire(disk);
	disk_put(disk);
}

int disk_lock(struct disk *disk, enum disk_lock what)
{
	if (what == DISK_LOCK_DROP && disk->changes)
		disk_changes_abandon(disk->changes);
	return disk->ops->lock ? disk->ops->lock(disk, what) : -EOPNOTSUPP;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all disks share: counting requests, and ending with the last of them. */
#include "vsp/disk.h"

#include <assert.h>

void disk_submit(struct disk *disk, struct disk_request *request)
{
	assert(!disk->retiring);
	assert(request->offset <= disk->size && request->size <= disk->size - request->offset);
	request->disk = disk;
	request->begun = loop_now();
	disk->in_flight++;
	disk->ops->submit(disk, request);
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

static void disk_end(struct disk *disk)
{
	void (*retired)(void *data) = disk->retired;
	void *data = disk->retired_data;

	disk->ops->free(disk);
	if (retired)
		retired(data);
}

void disk_complete(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;

	disk_count(&disk->counters, request, result);
	/* The owner may submit or retire in `complete`: what it started last counts, too. */
	request->complete(request, result);
	if (--disk->in_flight == 0 && disk->retiring)
		disk_end(disk);
}

void disk_retire(struct disk *disk, void (*retired)(void *data), void *data)
{
	disk->retiring = true;
	disk->retired = retired;
	disk->retired_data = data;
	if (disk->in_flight == 0)
		disk_end(disk);
}

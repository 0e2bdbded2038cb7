/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk with faults. */
#include "tests/fake/disk_fault.h"

#include <assert.h>
#include <stdlib.h>

#define OPERATIONS (DISK_ZERO + 1)

struct disk_fault {
	struct disk disk;
	struct loop *loop;
	struct disk *next;
	bool hold;
	struct list held, failing; /* requests */
	unsigned held_count;
	struct loop_deferred deferred;
	struct {
		int result;
		unsigned count;
	} faults[OPERATIONS];
	struct disk_fault_seen seen[OPERATIONS];
};

/* A request on its way to the other disk. */
struct passed_on {
	struct disk_request request, *original;
};

static struct disk_fault *disk_fault(const struct disk *disk)
{
	return container_of(disk, struct disk_fault, disk);
}

static void passed_on_complete(struct disk_request *request, int result)
{
	struct passed_on *passed_on = container_of(request, struct passed_on, request);
	struct disk_request *original = passed_on->original;

	free(passed_on);
	disk_complete(original, result);
}

static void pass_on(struct disk_fault *fault, struct disk_request *request)
{
	struct passed_on *passed_on = calloc(1, sizeof(*passed_on));

	assert(passed_on);
	passed_on->original = request;
	passed_on->request = (struct disk_request){
		.operation = request->operation,
		.durable = request->durable,
		.unmap = request->unmap,
		.offset = request->offset,
		.size = request->size,
		.iov = request->iov,
		.iov_count = request->iov_count,
		.buffers = request->buffers,
		.complete = passed_on_complete,
	};
	disk_submit(fault->next, &passed_on->request);
}

static void fail_requests(struct loop_deferred *deferred)
{
	struct disk_fault *fault = container_of(deferred, struct disk_fault, deferred);
	struct disk_request *request = container_of(fault->failing.next, struct disk_request, link);

	list_unlink(&request->link);
	if (!list_empty(&fault->failing))
		loop_defer(fault->loop, &fault->deferred);
	disk_complete(request, fault->faults[request->operation].result);
}

static void fail_or_pass_on(struct disk_fault *fault, struct disk_request *request)
{
	if (fault->faults[request->operation].count) {
		fault->faults[request->operation].count--;
		list_append(&fault->failing, &request->link);
		loop_defer(fault->loop, &fault->deferred);
	} else {
		pass_on(fault, request);
	}
}

static void fault_submit(struct disk *disk, struct disk_request *request)
{
	struct disk_fault *fault = disk_fault(disk);
	struct disk_fault_seen *seen = &fault->seen[request->operation];

	seen->count++;
	seen->durable = request->durable;
	seen->unmap = request->unmap;
	seen->offset = request->offset;
	seen->size = request->size;
	if (fault->hold) {
		list_append(&fault->held, &request->link);
		fault->held_count++;
	} else {
		fail_or_pass_on(fault, request);
	}
}

static void fault_free(struct disk *disk)
{
	struct disk_fault *fault = disk_fault(disk);

	disk_retire(fault->next, NULL, NULL);
	free(fault);
}

static const struct disk_ops disk_fault_ops = {
	.submit = fault_submit,
	.free = fault_free,
};

struct disk *disk_fault_new(struct loop *loop, struct disk *next)
{
	struct disk_fault *fault = calloc(1, sizeof(*fault));

	assert(fault);
	fault->disk = (struct disk){
		.ops = &disk_fault_ops,
		.size = next->size,
		.sector_size = next->sector_size,
		.physical_block_size = next->physical_block_size,
		.read_only = next->read_only,
		.unmap = next->unmap,
		.unmap_zeroes = next->unmap_zeroes,
	};
	disk_init(&fault->disk);
	fault->loop = loop;
	fault->next = next;
	list_init(&fault->held);
	list_init(&fault->failing);
	list_init(&fault->deferred.link);
	fault->deferred.run = fail_requests;
	return &fault->disk;
}

void disk_fault_fail(struct disk *disk, enum disk_operation operation, int result, unsigned count)
{
	disk_fault(disk)->faults[operation].result = result;
	disk_fault(disk)->faults[operation].count = count;
}

void disk_fault_hold(struct disk *disk)
{
	disk_fault(disk)->hold = true;
}

void disk_fault_release(struct disk *disk)
{
	struct disk_fault *fault = disk_fault(disk);

	fault->hold = false;
	while (!list_empty(&fault->held)) {
		struct disk_request *request =
			container_of(fault->held.next, struct disk_request, link);

		list_unlink(&request->link);
		fault->held_count--;
		fail_or_pass_on(fault, request);
	}
}

unsigned disk_fault_held(const struct disk *disk)
{
	return disk_fault(disk)->held_count;
}

const struct disk_fault_seen *disk_fault_seen(const struct disk *disk,
					      enum disk_operation operation)
{
	return &disk_fault(disk)->seen[operation];
}

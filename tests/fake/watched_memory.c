/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stand-ins for vid_memory_add() and what follows from it, called by the linker's --wrap. */
#include "tests/fake/watched_memory.h"

#include "tests/fake/write_watch.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct watched_region {
	const struct vid_memory *memory;
	struct vid_memory_region range;
	struct write_watch *watch;
	struct watched_region *next;
};

_Atomic(uint64_t) watched_memory_looks, watched_memory_marks;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watched_region *regions;

int __real_vid_memory_add(struct vid_memory *memory, struct vid_memory_region range,
			  enum vid_memory_backing backing, bool shared);
int __wrap_vid_memory_add(struct vid_memory *memory, struct vid_memory_region range,
			  enum vid_memory_backing backing, bool shared);
void *__real_vid_memory_map(const struct vid_memory *memory, gpa_t gpa, uint64_t size);
void *__wrap_vid_memory_map(const struct vid_memory *memory, gpa_t gpa, uint64_t size);
void __real_vid_memory_mark_written(struct vid_memory *memory, gpa_t gpa, uint64_t size);
void __wrap_vid_memory_mark_written(struct vid_memory *memory, gpa_t gpa, uint64_t size);
void __real_vid_memory_free(struct vid_memory *memory);
void __wrap_vid_memory_free(struct vid_memory *memory);

int __wrap_vid_memory_add(struct vid_memory *memory, struct vid_memory_region range,
			  enum vid_memory_backing backing, bool shared)
{
	int r = __real_vid_memory_add(memory, range, backing, true);
	struct watched_region *region;
	struct write_watch *watch;
	uint64_t offset;
	int fd;

	/* Pages of 2 MiB have no protection of 4 KiB each. */
	if (r < 0 || backing == VID_MEMORY_HUGETLB)
		return r;
	fd = vid_memory_share(memory, vid_memory_region_count(memory) - 1, &offset);
	assert(fd >= 0 && offset == 0);
	watch = write_watch_new(fd, range.size);
	if (!watch)
		return r;
	region = malloc(sizeof(*region));
	assert(region);
	pthread_mutex_lock(&lock);
	*region = (struct watched_region){ memory, range, watch, regions };
	regions = region;
	pthread_mutex_unlock(&lock);
	return r;
}

/* Of a region that gpa lies in; caller holds the lock. */
static struct watched_region *region_find(const struct vid_memory *memory, gpa_t gpa)
{
	struct watched_region *region = regions;

	while (region && (region->memory != memory ||
			  gpa.value - region->range.gpa.value >= region->range.size))
		region = region->next;
	return region;
}

void *watched_memory_guest(const struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	return __real_vid_memory_map(memory, gpa, size);
}

void *__wrap_vid_memory_map(const struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	void *address = __real_vid_memory_map(memory, gpa, size);
	struct watched_region *region;

	pthread_mutex_lock(&lock);
	region = address ? region_find(memory, gpa) : NULL;
	if (region)
		address = write_watch_map(region->watch, gpa.value - region->range.gpa.value, size);
	pthread_mutex_unlock(&lock);
	return address;
}

void __wrap_vid_memory_mark_written(struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	__real_vid_memory_mark_written(memory, gpa, size);
	pthread_mutex_lock(&lock);
	for (struct watched_region *region = regions; region && size > 0; region = region->next) {
		uint64_t first = MAX(gpa.value, region->range.gpa.value);
		uint64_t end = MIN(gpa.value + size, region->range.gpa.value + region->range.size);

		if (region->memory != memory || first >= end)
			continue;
		write_watch_mark(region->watch, first - region->range.gpa.value, end - first);
		atomic_fetch_add(&watched_memory_marks, 1);
	}
	pthread_mutex_unlock(&lock);
}

void __wrap_vid_memory_free(struct vid_memory *memory)
{
	struct watched_region **at = &regions;

	pthread_mutex_lock(&lock);
	while (*at) {
		struct watched_region *region = *at;

		if (region->memory != memory) {
			at = &region->next;
			continue;
		}
		*at = region->next;
		write_watch_free(region->watch);
		free(region);
	}
	pthread_mutex_unlock(&lock);
	__real_vid_memory_free(memory);
}

bool watched_memory_find(const struct vid_memory *memory, gpa_t *gpa, const void **ret_host)
{
	uint64_t found = UINT64_MAX;

	pthread_mutex_lock(&lock);
	for (struct watched_region *region = regions; region; region = region->next) {
		uint64_t first = region->range.gpa.value, page;

		if ((memory && region->memory != memory) ||
		    gpa->value >= first + region->range.size)
			continue;
		atomic_fetch_add(&watched_memory_looks, 1);
		page = write_watch_find(region->watch,
					(MAX(gpa->value, first) - first) / HV_PAGE_SIZE);
		if (page == UINT64_MAX || first + page * HV_PAGE_SIZE >= found)
			continue;
		found = first + page * HV_PAGE_SIZE;
		*ret_host = write_watch_map(region->watch, page * HV_PAGE_SIZE, 1);
	}
	pthread_mutex_unlock(&lock);
	gpa->value = found;
	return found != UINT64_MAX;
}

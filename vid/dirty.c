/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty tracking: which pages of guest memory have changed.
 *
 * Two writers, two bitmaps: KVM's log has what vps wrote, ours what the host wrote (disk data,
 * rings, SynIC pages). Reading fetches and clears both.
 *
 * A writer stores to guest memory, then looks whether tracking is on. That load could be done
 * before the store is seen by other CPUs, and tracking be started and the page copied in between;
 * to pay for the order on the side that is rare, the start makes all threads of the process pass a
 * barrier (membarrier(2)) after it has set the flag.
 */
#include "vid/internal.h"

#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BITS_PER_WORD 64u

static size_t bitmap_words(const struct vid_region *region)
{
	return (vid_region_pages(region) + BITS_PER_WORD - 1) / BITS_PER_WORD;
}

int vid_region_track(struct vid_region *region)
{
	_Atomic(uint64_t) *bitmap = atomic_load(&region->written);
	size_t words = bitmap_words(region);

	if (!bitmap) {
		bitmap = calloc(words, sizeof(uint64_t));
		if (!bitmap)
			return -ENOMEM;
		atomic_store(&region->written, bitmap);
	}
	for (size_t i = 0; i < words; i++)
		atomic_store_explicit(&bitmap[i], 0, memory_order_relaxed);
	return 0;
}

static void region_mark(struct vid_region *region, uint64_t first_page, uint64_t last_page)
{
	_Atomic(uint64_t) *bitmap = atomic_load(&region->written);

	for (uint64_t page = first_page; page <= last_page; page++)
		atomic_fetch_or_explicit(&bitmap[page / BITS_PER_WORD],
					 UINT64_C(1) << page % BITS_PER_WORD, memory_order_release);
}

static int partition_get_log(const struct vid_partition *partition, size_t slot, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = (uint32_t)slot, .dirty_bitmap = bitmap };

	return ioctl(partition->fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;
}

/* Puts back what was fetched, to be found the next time. */
static void region_restore(struct vid_region *region, const uint64_t *bitmap)
{
	_Atomic(uint64_t) *written = atomic_load(&region->written);

	for (size_t i = 0; i < bitmap_words(region); i++)
		atomic_fetch_or(&written[i], bitmap[i]);
}

void vid_region_harvest(const struct vid_partition *partition, struct vid_region *region,
			size_t slot)
{
	AUTO_FREE uint64_t *bitmap = calloc(bitmap_words(region), sizeof(*bitmap));

	/* Without the log, every page counts as changed: slower, but nothing is lost. */
	if (!bitmap || partition_get_log(partition, slot, bitmap) < 0) {
		region_mark(region, 0, vid_region_pages(region) - 1);
		return;
	}
	region_restore(region, bitmap);
}

static void process_barrier(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static int memory_set_logging(struct vid_memory *memory, bool enable)
{
	int first_error = 0;

	list_for_each (link, &memory->partitions) {
		struct vid_partition *partition =
			container_of(link, struct vid_partition, memory_link);

		for (size_t i = 0; i < memory->count; i++) {
			int r = vid_memory_set_slot(partition, &memory->regions[i], i, enable);

			if (r < 0 && first_error == 0)
				first_error = r;
		}
	}
	return first_error;
}

int vid_memory_track_dirty(struct vid_memory *memory, bool enable)
{
	int r;

	if (enable == memory->tracking)
		return 0;
	if (!enable) {
		memory->tracking = false;
		return memory_set_logging(memory, false);
	}
	for (size_t i = 0; i < memory->count; i++) {
		r = vid_region_track(&memory->regions[i]);
		if (r < 0)
			return r;
	}
	r = memory_set_logging(memory, true);
	if (r < 0) {
		(void)memory_set_logging(memory, false);
		return r;
	}
	memory->tracking = true;
	process_barrier();
	return 0;
}

bool vid_memory_tracks_dirty(const struct vid_memory *memory)
{
	return memory->tracking;
}

/* What of [gpa, gpa + size) lies in the region. */
static void region_mark_part(struct vid_region *region, uint64_t gpa, uint64_t size)
{
	uint64_t first = region->range.gpa.value, last = first + region->range.size - 1;
	uint64_t gpa_last = size - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + size - 1;

	if (gpa_last < first || gpa > last)
		return;
	region_mark(region, (MAX(gpa, first) - first) / HV_PAGE_SIZE,
		    (MIN(gpa_last, last) - first) / HV_PAGE_SIZE);
}

void vid_memory_mark_written(struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	size_t count;

	if (!atomic_load_explicit(&memory->tracking, memory_order_acquire) || size == 0)
		return;
	count = vid_memory_region_count(memory);
	for (size_t i = 0; i < count; i++)
		region_mark_part(&memory->regions[i], gpa.value, size);
}

int vid_memory_read_dirty(struct vid_memory *memory, size_t i, uint64_t *bitmap, size_t words)
{
	AUTO_FREE uint64_t *log = NULL;
	struct vid_region *region;
	_Atomic(uint64_t) *written;
	size_t used;

	if (i >= memory->count || !memory->tracking)
		return -EINVAL;
	region = &memory->regions[i];
	used = bitmap_words(region);
	if (words < used)
		return -EINVAL;
	log = calloc(used, sizeof(*log));
	if (!log)
		return -ENOMEM;
	written = atomic_load(&region->written);
	memset(bitmap, 0, words * sizeof(*bitmap));
	list_for_each (link, &memory->partitions) {
		int r = partition_get_log(container_of(link, struct vid_partition, memory_link), i,
					  log);

		if (r < 0) {
			region_restore(region, bitmap);
			return r;
		}
		for (size_t w = 0; w < used; w++)
			bitmap[w] |= log[w];
	}
	for (size_t w = 0; w < used; w++)
		bitmap[w] |= atomic_exchange(&written[w], 0);
	return 0;
}

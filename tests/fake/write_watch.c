/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A write-protected second mapping of guest memory. */
#include "tests/fake/write_watch.h"

#include "common/base/gpa.h"
#include "common/base/list.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of Linux 6.7's <linux/fs.h> and <linux/userfaultfd.h>. */
#ifndef PAGEMAP_SCAN
#define PAGE_IS_WRITTEN       (1 << 1)
#define PM_SCAN_WP_MATCHING   (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define WATCH_BLOCK_SIZE  (UINT64_C(256) << 10) /* what is watched at once */
#define WATCH_BLOCK_PAGES (WATCH_BLOCK_SIZE / HV_PAGE_SIZE)
#define REGIONS_MAX       16
#define FEATURES \
	(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED)

struct page_state {
	uint16_t lent; /* so many are about to fill it */
	bool filled;   /* by the kernel, and not marked since */
};

struct write_watch {
	struct list link; /* in `watches` */
	int userfault_fd, pagemap_fd;
	uint8_t *host;
	uint64_t size, page_count;
	bool *blocks; /* watched */
	struct page_state *pages;
	uint64_t filled_count; /* pages with `filled` set */
};

static struct list watches = { &watches, &watches };
static pthread_mutex_t watches_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Making one ---- */

static int open_userfault(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		close(fd);
		return -EOPNOTSUPP;
	}
	return fd;
}

static int watch_open(struct write_watch *watch, int memfd)
{
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_WP };

	watch->host = mmap(NULL, watch->size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (watch->host == MAP_FAILED)
		return -errno;
	watch->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	watch->userfault_fd = open_userfault();
	if (watch->userfault_fd < 0)
		return watch->userfault_fd;
	area.range.start = (uintptr_t)watch->host;
	area.range.len = watch->size;
	if (watch->pagemap_fd < 0 || ioctl(watch->userfault_fd, UFFDIO_REGISTER, &area) < 0)
		return -errno;
	return 0;
}

static void watch_release(struct write_watch *watch)
{
	if (watch->host != MAP_FAILED)
		munmap(watch->host, watch->size);
	if (watch->userfault_fd >= 0)
		close(watch->userfault_fd);
	if (watch->pagemap_fd >= 0)
		close(watch->pagemap_fd);
	free(watch->blocks);
	free(watch->pages);
	free(watch);
}

static void say_impossible(int error)
{
	static bool said;

	if (!said)
		fprintf(stderr,
			"What the host writes to guest memory is not watched: %s "
			"(it takes userfaultfd(2) of Linux 6.7).\n",
			strerror(-error));
	said = true;
}

struct write_watch *write_watch_new(int memfd, uint64_t size)
{
	struct write_watch *watch = calloc(1, sizeof(*watch));
	int r;

	assert(watch && IS_ALIGNED(size, HV_PAGE_SIZE));
	watch->userfault_fd = watch->pagemap_fd = -1;
	watch->size = size;
	watch->page_count = size / HV_PAGE_SIZE;
	watch->blocks =
		calloc((size + WATCH_BLOCK_SIZE - 1) / WATCH_BLOCK_SIZE, sizeof(*watch->blocks));
	watch->pages = calloc(watch->page_count, sizeof(*watch->pages));
	assert(watch->blocks && watch->pages);
	r = watch_open(watch, memfd);
	if (r < 0) {
		say_impossible(r);
		watch_release(watch);
		return NULL;
	}
	pthread_mutex_lock(&watches_lock);
	list_append(&watches, &watch->link);
	pthread_mutex_unlock(&watches_lock);
	return watch;
}

void write_watch_free(struct write_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watches_lock);
	list_unlink(&watch->link);
	pthread_mutex_unlock(&watches_lock);
	write_watch_forget(watch);
	watch_release(watch);
}

/* ---- Protecting, and looking ---- */

static void block_watch(struct write_watch *watch, uint64_t block)
{
	uint64_t offset = block * WATCH_BLOCK_SIZE;
	struct uffdio_writeprotect protect = {
		.range = { (uintptr_t)watch->host + offset,
			   MIN(WATCH_BLOCK_SIZE, watch->size - offset) },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int r = ioctl(watch->userfault_fd, UFFDIO_WRITEPROTECT, &protect);

	assert(r == 0);
	watch->blocks[block] = true;
}

void *write_watch_map(struct write_watch *watch, uint64_t offset, uint64_t size)
{
	assert(offset <= watch->size && size <= watch->size - offset);
	for (uint64_t block = offset / WATCH_BLOCK_SIZE;
	     size > 0 && block <= (offset + size - 1) / WATCH_BLOCK_SIZE; block++)
		if (!watch->blocks[block])
			block_watch(watch, block);
	return watch->host + offset;
}

void write_watch_unmap(struct write_watch *watch)
{
	memset(watch->blocks, 0,
	       (watch->size + WATCH_BLOCK_SIZE - 1) / WATCH_BLOCK_SIZE * sizeof(*watch->blocks));
}

/* Pages of `count` from `page` on without protection, `vec` NULL: which get it back. */
static long pages_scan(const struct write_watch *watch, uint64_t page, uint64_t count,
		       struct page_region *vec, size_t vec_len)
{
	uint64_t start = (uintptr_t)watch->host + page * HV_PAGE_SIZE;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.flags = PM_SCAN_CHECK_WPASYNC | (vec ? 0 : PM_SCAN_WP_MATCHING),
		.start = start,
		.end = start + count * HV_PAGE_SIZE,
		.vec = (uintptr_t)vec,
		.vec_len = vec_len,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = vec ? PAGE_IS_WRITTEN : 0,
	};
	long r = ioctl(watch->pagemap_fd, PAGEMAP_SCAN, &scan);

	assert(r >= 0);
	return r;
}

void write_watch_mark(struct write_watch *watch, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / HV_PAGE_SIZE, last = (offset + size - 1) / HV_PAGE_SIZE;

	if (size == 0)
		return;
	assert(last < watch->page_count);
	for (uint64_t page = first; watch->filled_count > 0 && page <= last; page++) {
		watch->filled_count -= watch->pages[page].filled;
		watch->pages[page].filled = false;
	}
	pages_scan(watch, first, last - first + 1, NULL, 0);
}

static uint64_t find_filled(const struct write_watch *watch, uint64_t page)
{
	for (; watch->filled_count > 0 && page < watch->page_count; page++)
		if (watch->pages[page].filled && !watch->pages[page].lent)
			return page;
	return UINT64_MAX;
}

/* Of `count` pages from `page` on. */
static uint64_t find_written(const struct write_watch *watch, uint64_t page, uint64_t count)
{
	uint64_t end = page + count;
	struct page_region regions[REGIONS_MAX];
	long found;

	do {
		found = pages_scan(watch, page, end - page, regions, REGIONS_MAX);
		for (long i = 0; i < found; i++) {
			page = (regions[i].start - (uintptr_t)watch->host) / HV_PAGE_SIZE;
			for (; page < (regions[i].end - (uintptr_t)watch->host) / HV_PAGE_SIZE;
			     page++)
				if (!watch->pages[page].lent)
					return page;
		}
	} while (found == REGIONS_MAX && page < end);
	return UINT64_MAX;
}

uint64_t write_watch_find(struct write_watch *watch, uint64_t page)
{
	uint64_t block_count = (watch->page_count + WATCH_BLOCK_PAGES - 1) / WATCH_BLOCK_PAGES;
	uint64_t block = page / WATCH_BLOCK_PAGES, filled = find_filled(watch, page);

	while (block < block_count) {
		uint64_t first = MAX(block * WATCH_BLOCK_PAGES, page), end, found;

		if (!watch->blocks[block++])
			continue;
		while (block < block_count && watch->blocks[block])
			block++;
		end = MIN(block * WATCH_BLOCK_PAGES, watch->page_count);
		found = find_written(watch, first, end - first);
		if (found != UINT64_MAX)
			return MIN(found, filled);
	}
	return filled;
}

/* ---- Pages that are to be filled ---- */

struct write_watch *write_watch_of(const void *address, size_t size, uint64_t *ret_offset,
				   size_t *ret_size)
{
	struct write_watch *found = NULL;

	pthread_mutex_lock(&watches_lock);
	list_for_each (link, &watches) {
		struct write_watch *watch = container_of(link, struct write_watch, link);
		uint64_t offset = (uint64_t)((uintptr_t)address - (uintptr_t)watch->host);

		if (offset >= watch->size)
			continue;
		*ret_offset = offset;
		*ret_size = (size_t)MIN((uint64_t)size, watch->size - offset);
		found = watch;
	}
	pthread_mutex_unlock(&watches_lock);
	return found;
}

static uint64_t last_page(uint64_t offset, uint64_t size)
{
	return (offset + size - 1) / HV_PAGE_SIZE;
}

void write_watch_lend(struct write_watch *watch, uint64_t offset, uint64_t size)
{
	for (uint64_t page = offset / HV_PAGE_SIZE; size > 0 && page <= last_page(offset, size);
	     page++)
		watch->pages[page].lent++;
}

void write_watch_give_back(struct write_watch *watch, uint64_t offset, uint64_t size)
{
	for (uint64_t page = offset / HV_PAGE_SIZE; size > 0 && page <= last_page(offset, size);
	     page++) {
		assert(watch->pages[page].lent > 0);
		watch->pages[page].lent--;
	}
}

void write_watch_filled(struct write_watch *watch, uint64_t offset, uint64_t size)
{
	for (uint64_t page = offset / HV_PAGE_SIZE; size > 0 && page <= last_page(offset, size);
	     page++) {
		watch->filled_count += !watch->pages[page].filled;
		watch->pages[page].filled = true;
	}
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory: regions of RAM, and the way from a GPA to them.
 *
 * A region is one mapping of the host and one memory slot of KVM, numbered alike. The mapping is
 * placed so that host address and GPA agree modulo 2 MiB: only then can KVM map a huge page of the
 * host as a huge page of the guest, which was measured to double the speed of a guest.
 *
 * Regions are filled in first and counted afterwards (release), and never change or go before the
 * memory does; so a look-up from any thread takes no lock.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE_SHIFT 21
#define LONG_BITS       (8 * sizeof(unsigned long))
#define HUGE_PAGE_SIZE  (UINT64_C(1) << HUGE_PAGE_SHIFT)

int vid_memory_new(struct vid_memory **ret_memory)
{
	struct vid_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	list_init(&memory->partitions);
	*ret_memory = memory;
	return 0;
}

static void region_release(struct vid_region *region)
{
	if (region->host)
		munmap(region->host, region->range.size);
	if (region->fd >= 0)
		close(region->fd);
	free((void *)atomic_load(&region->written));
}

void vid_memory_free(struct vid_memory *memory)
{
	if (!memory)
		return;
	assert(list_empty(&memory->partitions));
	for (size_t i = 0; i < memory->count; i++)
		region_release(&memory->regions[i]);
	free(memory);
}

/*
 * Address space of region->range.size bytes, congruent with the GPA modulo 2 MiB: 2 MiB too much
 * is reserved, and what sticks out at either end given back.
 */
static int region_reserve(const struct vid_region *region, uint8_t **ret_host)
{
	uint64_t size = region->range.size, phase = region->range.gpa.value % HUGE_PAGE_SIZE;
	uint64_t whole = size + HUGE_PAGE_SIZE, before;
	uint8_t *start;

	start = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return error_origin(-errno);
	before = (phase - (uintptr_t)start) % HUGE_PAGE_SIZE;
	if (before > 0)
		munmap(start, before);
	munmap(start + before + size, HUGE_PAGE_SIZE - before);
	*ret_host = start + before;
	return 0;
}

/*
 * A descriptor that other processes can map. Its size is sealed: nobody can take pages away from
 * under us.
 */
static int memory_open_shared(uint64_t size, enum vid_memory_backing backing, int *ret_fd)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	AUTO_CLOSE int fd = -1;

	if (backing == VID_MEMORY_HUGETLB)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	fd = memfd_create("guest-memory", flags);
	if (fd < 0)
		return error_origin(-errno);
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_origin(-errno);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Advice is taken or not: a host without transparent huge pages runs the guest all the same. */
static void region_advise(const struct vid_region *region)
{
	if (region->backing == VID_MEMORY_TRANSPARENT_HUGE)
		madvise(region->host, region->range.size, MADV_HUGEPAGE);
	else if (region->backing == VID_MEMORY_SMALL)
		madvise(region->host, region->range.size, MADV_NOHUGEPAGE);
	madvise(region->host, region->range.size, MADV_DONTDUMP);
	madvise(region->host, region->range.size, MADV_DONTFORK);
}

static int region_map(struct vid_region *region, bool shared)
{
	int flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	uint8_t *host;
	int r;

	if (!shared && region->backing == VID_MEMORY_HUGETLB)
		flags |= MAP_HUGETLB | HUGE_PAGE_SHIFT << MAP_HUGE_SHIFT;
	if (region->backing != VID_MEMORY_HUGETLB)
		flags |= MAP_NORESERVE;
	r = region_reserve(region, &host);
	if (r < 0)
		return r;
	if (mmap(host, region->range.size, PROT_READ | PROT_WRITE, flags, region->fd, 0) ==
	    MAP_FAILED) {
		r = -errno;
		munmap(host, region->range.size);
		return r;
	}
	region->host = host;
	region_advise(region);
	return 0;
}

static int memory_check_range(const struct vid_memory *memory, struct vid_memory_region range,
			      enum vid_memory_backing backing)
{
	uint64_t unit = backing == VID_MEMORY_HUGETLB ? HUGE_PAGE_SIZE : HV_PAGE_SIZE;
	uint64_t end;

	if (range.size == 0 || ADD_OVERFLOWS(range.gpa.value, range.size, &end) ||
	    !IS_ALIGNED(range.gpa.value, unit) || !IS_ALIGNED(range.size, unit))
		return -EINVAL;
	if (memory->count == VID_REGION_MAX)
		return -ENOSPC;
	for (size_t i = 0; i < memory->count; i++) {
		const struct vid_memory_region *other = &memory->regions[i].range;

		if (range.gpa.value < other->gpa.value + other->size && other->gpa.value < end)
			return -EEXIST;
	}
	return 0;
}

int vid_memory_set_slot(const struct vid_partition *partition, const struct vid_region *region,
			size_t slot, bool log_dirty)
{
	struct kvm_userspace_memory_region argument = {
		.slot = (uint32_t)slot,
		.flags = log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = region->range.gpa.value,
		.memory_size = region->range.size,
		.userspace_addr = (uintptr_t)region->host,
	};

	return ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &argument) < 0 ? -errno : 0;
}

/* A size of 0 takes the slot out. */
static void memory_clear_slot(const struct vid_partition *partition, size_t slot)
{
	struct kvm_userspace_memory_region argument = { .slot = (uint32_t)slot };

	ioctl(partition->fd, KVM_SET_USER_MEMORY_REGION, &argument);
}

static int memory_publish(struct vid_memory *memory, struct vid_region *region)
{
	size_t slot = memory->count;
	struct list *link, *done;
	int r;

	if (memory->tracking) {
		r = vid_region_track(region);
		if (r < 0)
			return r;
	}
	for (link = memory->partitions.next; link != &memory->partitions; link = link->next) {
		r = vid_memory_set_slot(container_of(link, struct vid_partition, memory_link),
					region, slot, memory->tracking);
		if (r < 0)
			goto error;
	}
	atomic_store_explicit(&memory->count, slot + 1, memory_order_release);
	return 0;

error:
	for (done = memory->partitions.next; done != link; done = done->next)
		memory_clear_slot(container_of(done, struct vid_partition, memory_link), slot);
	return r;
}

/* fd: -1: anonymous; else the region's, once it is added. */
static int memory_add_region(struct vid_memory *memory, struct vid_memory_region range,
			     enum vid_memory_backing backing, int fd)
{
	struct vid_region *region = &memory->regions[memory->count];
	int r;

	*region = (struct vid_region){ .range = range, .backing = backing, .fd = fd };
	r = region_map(region, fd >= 0);
	if (r == 0)
		r = memory_publish(memory, region);
	if (r < 0) {
		region->fd = -1;
		region_release(region);
	}
	return r;
}

int vid_memory_add(struct vid_memory *memory, struct vid_memory_region range,
		   enum vid_memory_backing backing, bool shared)
{
	AUTO_CLOSE int fd = -1;
	int r;

	r = memory_check_range(memory, range, backing);
	if (r == 0 && shared)
		r = memory_open_shared(range.size, backing, &fd);
	if (r == 0)
		r = memory_add_region(memory, range, backing, fd);
	if (r == 0)
		(void)TAKE_FD(fd);
	return r;
}

/* Of another process, which may have been told to lie: what is mapped must not become smaller. */
static int memory_check_shared(int fd, uint64_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	if (seals < 0 || fstat(fd, &status) < 0)
		return error_origin(-errno);
	return (seals & F_SEAL_SHRINK) && (uint64_t)status.st_size == size ? 0 : -EINVAL;
}

int vid_memory_add_shared(struct vid_memory *memory, struct vid_memory_region range,
			  enum vid_memory_backing backing, int fd)
{
	int r;

	r = memory_check_range(memory, range, backing);
	if (r == 0)
		r = memory_check_shared(fd, range.size);
	return r < 0 ? r : memory_add_region(memory, range, backing, fd);
}

int vid_memory_attach(struct vid_memory *memory, struct vid_partition *partition)
{
	if (partition->memory)
		return -EINVAL;
	for (size_t i = 0; i < memory->count; i++) {
		int r = vid_memory_set_slot(partition, &memory->regions[i], i, memory->tracking);

		if (r < 0)
			return r;
	}
	partition->memory = memory;
	list_append(&memory->partitions, &partition->memory_link);
	return 0;
}

void vid_memory_detach(struct vid_memory *memory, struct vid_partition *partition)
{
	if (memory->tracking)
		for (size_t i = 0; i < memory->count; i++)
			vid_region_harvest(partition, &memory->regions[i], i);
	list_unlink(&partition->memory_link);
}

size_t vid_memory_region_count(const struct vid_memory *memory)
{
	return atomic_load_explicit(&memory->count, memory_order_acquire);
}

struct vid_memory_region vid_memory_region(const struct vid_memory *memory, size_t i)
{
	return memory->regions[i].range;
}

int vid_memory_share(const struct vid_memory *memory, size_t i, uint64_t *ret_offset)
{
	if (i >= vid_memory_region_count(memory) || memory->regions[i].fd < 0)
		return -EINVAL;
	*ret_offset = 0;
	return memory->regions[i].fd;
}

static const struct vid_region *memory_find(const struct vid_memory *memory, gpa_t gpa,
					    uint64_t size)
{
	size_t count = vid_memory_region_count(memory);

	for (size_t i = 0; i < count; i++) {
		const struct vid_region *region = &memory->regions[i];
		uint64_t offset = gpa.value - region->range.gpa.value;

		if (offset < region->range.size)
			return size <= region->range.size - offset ? region : NULL;
	}
	return NULL;
}

void *vid_memory_map(const struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	const struct vid_region *region = memory_find(memory, gpa, size);

	return region ? region->host + (gpa.value - region->range.gpa.value) : NULL;
}

uint64_t vid_memory_run(const struct vid_memory *memory, gpa_t gpa, uint64_t size, bool *ret_is_ram)
{
	size_t count = vid_memory_region_count(memory);
	uint64_t run = size;

	*ret_is_ram = false;
	for (size_t i = 0; i < count; i++) {
		const struct vid_memory_region *range = &memory->regions[i].range;
		uint64_t offset = gpa.value - range->gpa.value;

		if (offset < range->size) {
			*ret_is_ram = true;
			return MIN(size, range->size - offset);
		}
		if (range->gpa.value > gpa.value)
			run = MIN(run, range->gpa.value - gpa.value);
	}
	return run;
}

int vid_memory_prefer(struct vid_memory *memory, struct vid_memory_region range, uint32_t host_node)
{
	unsigned long nodes[(VID_HOST_NODE_MAX + 1) / LONG_BITS] = { 0 };
	uint8_t *host = vid_memory_map(memory, range.gpa, range.size);

	if (!host || host_node > VID_HOST_NODE_MAX ||
	    !IS_ALIGNED(range.gpa.value | range.size, HV_PAGE_SIZE))
		return -EINVAL;
	nodes[host_node / LONG_BITS] = 1ul << host_node % LONG_BITS;
	/* The kernel looks at one bit less than it is told of. */
	if (syscall(SYS_mbind, host, range.size, MPOL_PREFERRED, nodes, VID_HOST_NODE_MAX + 2, 0) <
	    0)
		return error_origin(-errno);
	return 0;
}

/* Return: 0, with the bytes that were resident and are zero now; -errno. */
static int region_zero_resident(const struct vid_region *region, uint64_t *ret_zeroed)
{
	uint64_t zeroed = 0;

	for (uint64_t offset = 0; offset < region->range.size; offset += HUGE_PAGE_SIZE) {
		unsigned char resident;

		if (mincore(region->host + offset, HV_PAGE_SIZE, &resident) < 0)
			return error_origin(-errno);
		if (!(resident & 1))
			continue;
		memset(region->host + offset, 0, HUGE_PAGE_SIZE);
		zeroed += HUGE_PAGE_SIZE;
	}
	*ret_zeroed = zeroed;
	return 0;
}

/*
 * Pages that were set aside for this guest are zeroed where they are. Given back they would be
 * anybody's, their reservation gone with them (of a file always, of private memory before Linux
 * 6.9), and a guest that then touches what is no longer there takes its process along.
 *
 * What is resident is known from our own page tables. Who shares the memory may have touched pages
 * of the file that are not in them; then nothing is left out.
 */
static int region_zero(const struct vid_region *region)
{
	struct stat status;
	uint64_t zeroed;
	int r;

	r = region_zero_resident(region, &zeroed);
	if (r < 0 || region->fd < 0)
		return r;
	if (fstat(region->fd, &status) < 0)
		return error_origin(-errno);
	if ((uint64_t)status.st_blocks * 512 > zeroed)
		memset(region->host, 0, region->range.size);
	return 0;
}

/* Pages of a region that are not set aside. */
static int region_give_back(const struct vid_region *region, uint64_t offset, uint64_t size)
{
	int r;

	if (region->fd >= 0)
		r = fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)size);
	else
		r = madvise(region->host + offset, size, MADV_DONTNEED);
	return r < 0 ? -errno : 0;
}

static int region_discard(const struct vid_region *region)
{
	if (region->backing == VID_MEMORY_HUGETLB)
		return region_zero(region);
	return region_give_back(region, 0, region->range.size);
}

int vid_memory_discard(struct vid_memory *memory)
{
	for (size_t i = 0; i < memory->count; i++) {
		struct vid_region *region = &memory->regions[i];
		int r = region_discard(region);

		/* Also if it failed half-way. */
		vid_memory_mark_written(memory, region->range.gpa, region->range.size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Return: the region that gpa lies in, and of the `size` bytes from there how many are its own. */
static const struct vid_region *memory_find_part(const struct vid_memory *memory, gpa_t gpa,
						 uint64_t size, uint64_t *ret_part)
{
	const struct vid_region *region = memory_find(memory, gpa, 1);

	if (region)
		*ret_part = MIN(size, region->range.gpa.value + region->range.size - gpa.value);
	return region;
}

/* Return: 0; -EINVAL: some of it is no RAM; -EOPNOTSUPP. */
static int memory_may_discard(const struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	const struct vid_region *region;
	uint64_t part;

	for (; size > 0; gpa = gpa_add(gpa, part), size -= part) {
		region = memory_find_part(memory, gpa, size, &part);
		if (!region)
			return -EINVAL;
		if (region->backing == VID_MEMORY_HUGETLB)
			return -EOPNOTSUPP;
	}
	return 0;
}

int vid_memory_discard_range(struct vid_memory *memory, gpa_t gpa, uint64_t size)
{
	const struct vid_region *region;
	uint64_t part;
	int r;

	if (size == 0 || !IS_ALIGNED(gpa.value | size, HV_PAGE_SIZE))
		return -EINVAL;
	r = memory_may_discard(memory, gpa, size);
	for (; r == 0 && size > 0; gpa = gpa_add(gpa, part), size -= part) {
		region = memory_find_part(memory, gpa, size, &part);
		r = region_give_back(region, gpa.value - region->range.gpa.value, part);
		vid_memory_mark_written(memory, gpa, part);
	}
	return r;
}

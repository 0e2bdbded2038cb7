/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of guest memory the host has written without marking them as written.
 *
 * Guest memory is a memfd. The guest's part of a test writes to it where the test has mapped it;
 * the host's writes go to a second mapping, which belongs to the host alone and is write-protected
 * by a userfaultfd. The kernel takes the protection off by itself at the first write to a page
 * (UFFD_FEATURE_WP_ASYNC), whoever writes: our code, or io_uring in the kernel. A mark protects its
 * pages anew. So a page of that mapping without its protection was written after it was last
 * marked: PAGEMAP_SCAN (ioctl on /proc/self/pagemap) finds it, and no contents are compared.
 *
 * A page that somebody is about to fill is excused for that time: the buffers of reads that are
 * under way, and of packets that have not been completed. That is known by standing in for
 * loop_read(), loop_readv(), vmbus_packet_map() and what completes a packet (write_watch_io.c; the
 * linker's --wrap). What a read has filled is to be marked even if the protection did not see it
 * being written: direct I/O writes to pages that it looked up before.
 *
 * What it needs came with Linux 6.7. It is a second look on every test that has guest memory, so
 * where the kernel does not have it, tests go on without, and say so once.
 *
 * Thread: one at a time per watch.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct write_watch;

/* Watches the first `size` bytes of a memfd, which is borrowed. Return: NULL: not possible here. */
struct write_watch *write_watch_new(int memfd, uint64_t size);
void write_watch_free(struct write_watch *watch);

/*
 * The address at which the host shall write. A piece of memory is watched from the first time that
 * the host asks for it, which keeps large memories cheap.
 */
void *write_watch_map(struct write_watch *watch, uint64_t offset, uint64_t size);

/* The host has none of it mapped any more, and asks again for what it needs. */
void write_watch_unmap(struct write_watch *watch);

/* The host says that it has written there. */
void write_watch_mark(struct write_watch *watch, uint64_t offset, uint64_t size);

/* The first page from `page` on that was written, is not marked and not excused; or UINT64_MAX. */
uint64_t write_watch_find(struct write_watch *watch, uint64_t page);

/* ---- For write_watch_io.c ---- */

/*
 * The watch whose mapping for the host an address lies in, with the offset there and how many of
 * `size` bytes lie in it; NULL: none.
 */
struct write_watch *write_watch_of(const void *address, size_t size, uint64_t *ret_offset,
				   size_t *ret_size);

/* Pages that somebody is about to fill, and has filled or will not. */
void write_watch_lend(struct write_watch *watch, uint64_t offset, uint64_t size);
void write_watch_give_back(struct write_watch *watch, uint64_t offset, uint64_t size);

/* Pages that the kernel has filled. */
void write_watch_filled(struct write_watch *watch, uint64_t offset, uint64_t size);

/* Forgets everything that names this watch, which goes. */
void write_watch_forget(const struct write_watch *watch);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of pages of the guest, by their frames: a bitmap, so that no guest can make it grow by
 * scattering what is in it. Memory that was never touched costs nothing.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct page_set;

/* For frames below `end`. Return: 0, -ENOMEM. */
int page_set_new(uint64_t end, struct page_set **ret_set) MUST_CHECK;
void page_set_free(struct page_set *set);
DEFINE_CLEANUP(struct page_set *, page_set_free)

/* How many are in it. */
uint64_t page_set_count(const struct page_set *set);

/* Adds the frames from `first` on. Return: whether all are below `end` and none was in it; else
 * nothing has changed. */
bool page_set_add(struct page_set *set, uint64_t first, uint64_t count);

/* Takes out frames that are all in it. */
void page_set_remove(struct page_set *set, uint64_t first, uint64_t count);

/*
 * The first run of frames from `from` on, of which at most `most` are told. Return: whether there
 * is one.
 */
bool page_set_next(const struct page_set *set, uint64_t from, uint64_t most, uint64_t *ret_first,
		   uint64_t *ret_count);

void page_set_clear(struct page_set *set);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a guest's RAM are still to be sent: in the beginning all, then those that have
 * changed since they were looked at last.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vid/vid.h"

#include <stdbool.h>
#include <stdint.h>

struct move_pages;

/* memory: borrowed. All of its pages are to be sent. Return: 0; -ENOMEM. */
int move_pages_new(struct vid_memory *memory, struct move_pages **ret_pages) MUST_CHECK;
void move_pages_free(struct move_pages *pages);
DEFINE_CLEANUP(struct move_pages *, move_pages_free)

/* Adds what has changed; the memory tracks that. Return: 0; as vid_memory_read_dirty(). */
int move_pages_fetch(struct move_pages *pages) MUST_CHECK;

/* Whether the memory has still the regions that it had. */
bool move_pages_fit(const struct move_pages *pages);

uint64_t move_pages_left(const struct move_pages *pages);

/*
 * The next that are to be sent, neighbours in one region, `most` at most. Return: how many; 0: none
 * are left. They stay until move_pages_take(), which takes the first `count` of them.
 */
uint32_t move_pages_next(struct move_pages *pages, uint32_t most, uint64_t *ret_gpa);
void move_pages_take(struct move_pages *pages, uint32_t count);

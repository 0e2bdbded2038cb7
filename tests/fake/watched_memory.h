/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory of vid/ whose pages the host writes under watch (write_watch.h).
 *
 * A program that this is linked into has vid_memory_add() and so on stood in for: all its guest
 * memory is shared, hypervisor and guest have it where vid/ maps it, and vid_memory_map() gives the
 * host a mapping of its own. Thread: any.
 */
#pragma once

#include "vid/vid.h"

/* How often it was looked, and marked: 0 where this machine's kernel cannot tell. */
extern _Atomic(uint64_t) watched_memory_looks, watched_memory_marks;

/* As vid_memory_map(), for what a test does in the guest's place. */
void *watched_memory_guest(const struct vid_memory *memory, gpa_t gpa, uint64_t size);

/*
 * The first page from gpa on that the host has written and not marked since, with its address for
 * the host. memory: NULL: of all there is. Nobody may be about to write. Return: whether there is
 * one.
 */
bool watched_memory_find(const struct vid_memory *memory, gpa_t *gpa, const void **ret_host);

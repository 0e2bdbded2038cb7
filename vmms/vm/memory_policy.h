/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much memory each guest is to have: by what it needs, its definition, and what the host has.
 *
 * A guest gets its demand and a buffer beyond it, between its minimum and its maximum. It is given
 * more at once, and loses what it does not need when that is worth the work. Where the host has not
 * enough for all, guests that want little get it, and the others the same each, so that a guest
 * that exaggerates cannot take what others are due; and buffers are taken back for the needs of
 * others.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct memory_policy_guest {
	uint64_t minimum, maximum; /* bytes, multiples of DEFINITION_MEMORY_UNIT */
	unsigned buffer;           /* percent of the demand */
	uint64_t demand;           /* bytes */
	uint64_t target;           /* that it is meant to have now */
	uint64_t next;             /* out: that it is meant to have from now on */
};

/* spare: bytes that the host can give beyond all targets; negative: it lacks them. */
void memory_policy_share(struct memory_policy_guest *guests, size_t count, int64_t spare);

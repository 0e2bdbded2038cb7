/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory each guest is to have. */
#include "vmms/vm/memory_policy.h"

#include "common/base/cc.h"
#include "common/definition/definition.h"

#define UNIT DEFINITION_MEMORY_UNIT

/* A target is lowered if that frees so much at least, and that part of it. */
#define WORTH_BYTES (UINT64_C(16) << 20)
#define WORTH_PART  16

#define DEMAND_MAX (UINT64_C(1) << 52) /* so that nothing overflows */

static uint64_t policy_within(const struct memory_policy_guest *guest, uint64_t bytes)
{
	return MIN(MAX(ALIGN_UP(bytes, UNIT), guest->minimum), guest->maximum);
}

static uint64_t policy_need(const struct memory_policy_guest *guest)
{
	return policy_within(guest, MIN(guest->demand, DEMAND_MAX));
}

static uint64_t policy_demand(const struct memory_policy_guest *guest)
{
	uint64_t demand = MIN(guest->demand, DEMAND_MAX);

	return policy_within(guest, demand + demand / 100 * guest->buffer);
}

/* What a guest lacks to have so many bytes. */
static uint64_t policy_lack(const struct memory_policy_guest *guest, uint64_t bytes)
{
	return bytes > guest->next ? bytes - guest->next : 0;
}

/* Guests lose what they do not need, and what is beyond their maximum. */
static void policy_lower(struct memory_policy_guest *guest)
{
	uint64_t wanted = policy_demand(guest),
		 worth = MAX(WORTH_BYTES, guest->target / WORTH_PART);

	guest->next = guest->target;
	if (wanted + worth <= guest->target || guest->target > guest->maximum)
		guest->next = wanted;
}

/* Takes from guests what they have beyond their needs, from each the same part of it. */
static void policy_reclaim(struct memory_policy_guest *guests, size_t count, uint64_t bytes)
{
	uint64_t excess = 0;

	for (size_t i = 0; i < count; i++)
		excess += guests[i].next - MIN(guests[i].next, policy_need(&guests[i]));
	for (size_t i = 0; i < count; i++) {
		uint64_t own = guests[i].next - MIN(guests[i].next, policy_need(&guests[i])), loss;

		if (own == 0)
			continue;
		loss = (uint64_t)((double)own * MIN((double)bytes / (double)excess, 1.0));
		loss = MIN(ALIGN_UP(loss, UNIT), own);

		guests[i].next -= loss;
	}
}

/*
 * Gives guests what they lack to have what `wanted` says: those that lack little get it, the others
 * the same each. Return: what is left.
 */
static uint64_t policy_distribute(struct memory_policy_guest *guests, size_t count, uint64_t bytes,
				  uint64_t (*wanted)(const struct memory_policy_guest *guest))
{
	size_t lacking = 1;

	while (lacking > 0 && bytes >= UNIT) {
		uint64_t share, before = bytes;

		lacking = 0;
		for (size_t i = 0; i < count; i++)
			lacking += policy_lack(&guests[i], wanted(&guests[i])) > 0;
		if (lacking == 0)
			break;
		share = MAX(ALIGN_DOWN(bytes / lacking, UNIT), UNIT);
		for (size_t i = 0; i < count; i++) {
			uint64_t given = MIN(policy_lack(&guests[i], wanted(&guests[i])), share);

			given = ALIGN_DOWN(MIN(given, bytes), UNIT);
			guests[i].next += given;
			bytes -= given;
		}
		if (bytes == before)
			break;
	}
	return bytes;
}

void memory_policy_share(struct memory_policy_guest *guests, size_t count, int64_t spare)
{
	uint64_t missing = spare < 0 ? (uint64_t)-spare : 0, left = spare > 0 ? (uint64_t)spare : 0;

	for (size_t i = 0; i < count; i++) {
		policy_lower(&guests[i]);
		missing += policy_lack(&guests[i], policy_need(&guests[i]));
	}
	/* What is taken back is there to be given when the host has it. */
	if (missing > left)
		policy_reclaim(guests, count, missing - left);
	left = policy_distribute(guests, count, left, policy_need);
	(void)policy_distribute(guests, count, left, policy_demand);
}

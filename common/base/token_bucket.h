/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A token bucket: of bytes, or of microseconds, or whatever else there is a rate of. It holds so
 * many at most, is full at first, and fills again at its rate.
 *
 * A cost that is known only afterwards may be charged then: the bucket is in debt until its rate
 * has made up for that, and holds nothing meanwhile. Times are microseconds of a clock that does not
 * go back. Thread: one.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_BUCKET_SECOND   UINT64_C(1000000)
#define TOKEN_BUCKET_RATE_MAX UINT64_C(1000000000)

struct token_bucket {
	int64_t most;
	uint64_t rate; /* a second, from 1 to TOKEN_BUCKET_RATE_MAX */

	/* All 0 at first. */
	bool begun;
	int64_t left;
	uint64_t since; /* when `left` was so many */
};

static inline void token_bucket_fill(struct token_bucket *bucket, uint64_t now)
{
	uint64_t elapsed = MIN(now - bucket->since, 3600 * TOKEN_BUCKET_SECOND);
	uint64_t more = elapsed * bucket->rate / TOKEN_BUCKET_SECOND;

	if (!bucket->begun || bucket->left + (int64_t)more >= bucket->most) {
		bucket->begun = true;
		bucket->left = bucket->most;
		bucket->since = now;
		return;
	}
	bucket->left += (int64_t)more;
	bucket->since += more * TOKEN_BUCKET_SECOND / bucket->rate;
}

/* Takes `wanted`, or what there is. Return: how many. */
static inline uint64_t token_bucket_take(struct token_bucket *bucket, uint64_t now, uint64_t wanted)
{
	uint64_t taken;

	token_bucket_fill(bucket, now);
	taken = bucket->left > 0 ? MIN((uint64_t)bucket->left, wanted) : 0;
	bucket->left -= (int64_t)taken;
	return taken;
}

static inline bool token_bucket_has(struct token_bucket *bucket, uint64_t now, int64_t wanted)
{
	token_bucket_fill(bucket, now);
	return bucket->left >= wanted;
}

/* Takes all of it, even if there is less. Return: microseconds until the bucket is out of debt. */
static inline uint64_t token_bucket_charge(struct token_bucket *bucket, uint64_t now, uint64_t cost)
{
	token_bucket_fill(bucket, now);
	bucket->left -= (int64_t)cost;
	if (bucket->left >= 0)
		return 0;
	return ((uint64_t)-bucket->left * TOKEN_BUCKET_SECOND + bucket->rate - 1) / bucket->rate;
}

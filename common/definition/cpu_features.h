/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Features of CPUs: the names that Linux has for them in /proc/cpuinfo, and where CPUID tells them.
 *
 * Some build on others: whoever loses one loses what builds on it, too. Sources: Intel SDM 2A,
 * CPUID; AMD APM 3, appendix E; SDM 1, 13 to 18, for what needs what.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_FEATURES_MAX     256
#define CPU_FEATURE_NAME_MAX 32 /* bytes, with the NUL */

enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };

/* A register that CPUID returns, all of it features. */
struct cpu_word {
	uint32_t function, index;
	bool indexed; /* CPUID looks at the index */
	enum cpu_register reg;
};

extern const struct cpu_word cpu_words[];
extern const size_t cpu_word_count;

enum cpu_feature_flags {
	CPU_NEEDED = 1,   /* no guest runs without */
	CPU_BASELINE = 2, /* hosts from about 2013 on have it: x86-64-v2, and some more */
	CPU_KEPT = 4,     /* the baseline has it where the host does: clocks, APICs, mitigations */
};

struct cpu_feature {
	const char *name;
	unsigned flags; /* enum cpu_feature_flags */
	struct {
		uint8_t word, bit; /* word: into cpu_words */
	} places[2];
	uint8_t place_count;
};

/* In the order of CPUID; at most CPU_FEATURES_MAX. */
extern const struct cpu_feature cpu_features[];
extern const size_t cpu_feature_count;

/* By index into cpu_features. */
struct cpu_feature_set {
	uint64_t bits[CPU_FEATURES_MAX / 64];
};

static inline bool cpu_feature_set_has(const struct cpu_feature_set *set, size_t feature)
{
	return set->bits[feature / 64] >> feature % 64 & 1;
}

static inline void cpu_feature_set_add(struct cpu_feature_set *set, size_t feature)
{
	set->bits[feature / 64] |= UINT64_C(1) << feature % 64;
}

static inline bool cpu_feature_set_is_empty(const struct cpu_feature_set *set)
{
	uint64_t any = 0;

	for (size_t i = 0; i < ARRAY_SIZE(set->bits); i++)
		any |= set->bits[i];
	return any == 0;
}

/* The index, or -1. */
int cpu_feature_find(const char *name);

/* Adds what builds on what is in it. */
void cpu_feature_set_close(struct cpu_feature_set *set);

/*
 * Names that are much like that one, with commas between them: "avx512f, avx512vl"; "" if there is
 * none. size: of buffer; it is cut where it does not fit.
 */
void cpu_feature_near(const char *name, char *buffer, size_t size);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model of the vps.
 *
 * Of the host's model, what was named is taken away, and what builds on it. Of the baseline's, all
 * is that is not listed: a bit without a name here may be anything.
 *
 * Sources: Intel SDM 2A, CPUID, and SDM 1, 13.1 to 13.5 (XSAVE); AMD APM 3, appendix E.
 */
#include "vmwp/cpu/cpu_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LEAF_MONITOR         0x5u
#define LEAF_POWER           0x6u
#define LEAF_PERFORMANCE     0xau
#define LEAF_XSAVE           0xdu
#define LEAF_SGX             0x12u
#define LEAF_TRACE           0x14u
#define LEAF_BRANCHES        0x1cu
#define LEAF_TILES           0x1du
#define LEAF_MATRICES        0x1eu
#define LEAF_AVX10           0x24u
#define LEAF_ENCRYPTION      0x8000001fu
#define LEAF_PERFORMANCE_AMD 0x80000022u

/* ---- Words ---- */

static uint32_t *leaf_register(struct vid_cpuid_leaf *leaf, enum cpu_register reg)
{
	switch (reg) {
	case CPU_EAX:
		return &leaf->eax;
	case CPU_EBX:
		return &leaf->ebx;
	case CPU_ECX:
		return &leaf->ecx;
	case CPU_EDX:
		break;
	}
	return &leaf->edx;
}

/* NULL: there is no such leaf, which is as good as no bit set. */
static uint32_t *word_of(struct vid_cpuid *cpuid, size_t word)
{
	const struct cpu_word *it = &cpu_words[word];
	struct vid_cpuid_leaf *leaf = vid_cpuid_find(cpuid, it->function, it->index);

	return leaf ? leaf_register(leaf, it->reg) : NULL;
}

static bool has_feature(struct vid_cpuid *cpuid, size_t feature)
{
	const struct cpu_feature *it = &cpu_features[feature];

	for (size_t i = 0; i < it->place_count; i++) {
		const uint32_t *word = word_of(cpuid, it->places[i].word);

		if (word && *word >> it->places[i].bit & 1)
			return true;
	}
	return false;
}

static bool has_named(struct vid_cpuid *cpuid, const char *name)
{
	return has_feature(cpuid, (size_t)cpu_feature_find(name));
}

void cpu_model_features(struct vid_cpuid *cpuid, struct cpu_feature_set *ret_features)
{
	*ret_features = (struct cpu_feature_set){ 0 };
	for (size_t i = 0; i < cpu_feature_count; i++)
		if (has_feature(cpuid, i))
			cpu_feature_set_add(ret_features, i);
}

static void take_away(struct vid_cpuid *cpuid, const struct cpu_feature *feature)
{
	for (size_t i = 0; i < feature->place_count; i++) {
		uint32_t *word = word_of(cpuid, feature->places[i].word);

		if (word)
			*word &= ~(1u << feature->places[i].bit);
	}
}

/* ---- Extended states ---- */

#define XSAVE_LEGACY     576u /* bytes of the legacy region and the header */
#define XSAVE_COMPONENTS 63u
#define XSAVE_ALWAYS     3u /* x87 and SSE */

/* The components of a feature, in XCR0 or in IA32_XSS. */
static const struct {
	const char *feature;
	uint64_t components;
} states[] = {
	{ "avx", 1u << 2 },      { "mpx", 3u << 3 },       { "avx512f", 7u << 5 },
	{ "intel_pt", 1u << 8 }, { "pku", 1u << 9 },       { "enqcmd", 1u << 10 },
	{ "shstk", 3u << 11 },   { "arch_lbr", 1u << 15 }, { "amx_tile", 3u << 17 },
};

/* Of all features that are gone. Shadow stacks and branch tracking share theirs. */
static uint64_t states_gone(struct vid_cpuid *cpuid)
{
	uint64_t gone = 0;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (!has_named(cpuid, states[i].feature) &&
		    !(strcmp(states[i].feature, "shstk") == 0 && has_named(cpuid, "ibt")))
			gone |= states[i].components;
	return gone;
}

static void mask_pair(uint32_t *low, uint32_t *high, uint64_t gone)
{
	*low &= ~(uint32_t)gone;
	*high &= ~(uint32_t)(gone >> 32);
}

/* The largest that XSAVE's area becomes, in its standard format. */
static uint32_t xsave_size(struct vid_cpuid *cpuid, uint64_t components)
{
	uint32_t size = XSAVE_LEGACY;

	for (uint32_t i = 2; i < XSAVE_COMPONENTS; i++) {
		const struct vid_cpuid_leaf *leaf = vid_cpuid_find(cpuid, LEAF_XSAVE, i);

		if (components >> i & 1 && leaf)
			size = MAX(size, leaf->ebx + leaf->eax);
	}
	return size;
}

/* Indices from 2 on, one for each component that is left in either register. */
static void xsave_keep_components(struct vid_cpuid *cpuid, uint64_t components)
{
	size_t kept = 0;

	for (size_t i = 0; i < cpuid->count; i++) {
		const struct vid_cpuid_leaf *leaf = &cpuid->leaves[i];

		if (leaf->function != LEAF_XSAVE || leaf->index < 2 ||
		    (leaf->index < XSAVE_COMPONENTS && components >> leaf->index & 1))
			cpuid->leaves[kept++] = *leaf;
	}
	cpuid->count = kept;
}

static void settle_xsave(struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf *user = vid_cpuid_find(cpuid, LEAF_XSAVE, 0);
	struct vid_cpuid_leaf *more = vid_cpuid_find(cpuid, LEAF_XSAVE, 1);
	uint64_t gone = states_gone(cpuid), components;

	if (!user)
		return;
	if (!has_named(cpuid, "xsave")) {
		vid_cpuid_remove(cpuid, LEAF_XSAVE);
		return;
	}
	mask_pair(&user->eax, &user->edx, gone);
	components = (uint64_t)user->edx << 32 | user->eax;
	user->ecx = xsave_size(cpuid, components);
	user->ebx = xsave_size(cpuid, components & XSAVE_ALWAYS); /* until the guest sets XCR0 */
	if (more) {
		mask_pair(&more->ecx, &more->edx, has_named(cpuid, "xsaves") ? gone : UINT64_MAX);
		components |= (uint64_t)more->edx << 32 | more->ecx;
	}
	xsave_keep_components(cpuid, components);
}

/* ---- Leaves that describe a feature ---- */

static const struct {
	const char *feature;
	uint32_t leaf;
} descriptions[] = {
	{ "monitor", LEAF_MONITOR },   { "sgx", LEAF_SGX },        { "intel_pt", LEAF_TRACE },
	{ "arch_lbr", LEAF_BRANCHES }, { "amx_tile", LEAF_TILES }, { "amx_tile", LEAF_MATRICES },
};

static void settle_descriptions(struct vid_cpuid *cpuid)
{
	for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++)
		if (!has_named(cpuid, descriptions[i].feature))
			vid_cpuid_remove(cpuid, descriptions[i].leaf);
}

/* ---- The baseline ---- */

static int refuse_baseline(struct vid_cpuid *cpuid, struct failure *failure)
{
	char missing[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < cpu_feature_count && used < sizeof(missing); i++)
		if (cpu_features[i].flags & CPU_BASELINE && !has_feature(cpuid, i))
			used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
						 used > 0 ? ", " : "", cpu_features[i].name);
	if (used == 0)
		return 0;
	return failure_set(failure, -ENOTSUP,
			   "This host cannot give the CPU model \"baseline\", for want of %s.",
			   missing);
}

/* Bits of features that the baseline has. */
static uint32_t baseline_mask(size_t word)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < cpu_feature_count; i++) {
		const struct cpu_feature *feature = &cpu_features[i];

		for (size_t p = 0; p < feature->place_count; p++)
			if (feature->places[p].word == word &&
			    feature->flags & (CPU_BASELINE | CPU_KEPT))
				mask |= 1u << feature->places[p].bit;
	}
	return mask;
}

static void cut_to_baseline(struct vid_cpuid *cpuid)
{
	static const uint32_t hosts_own[] = { LEAF_PERFORMANCE, LEAF_AVX10, LEAF_ENCRYPTION,
					      LEAF_PERFORMANCE_AMD };
	struct vid_cpuid_leaf *power = vid_cpuid_find(cpuid, LEAF_POWER, 0);

	for (size_t i = 0; i < cpu_word_count; i++) {
		uint32_t *word = word_of(cpuid, i);

		if (word)
			*word &= baseline_mask(i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(hosts_own); i++)
		vid_cpuid_remove(cpuid, hosts_own[i]);
	if (power)
		power->ebx = power->ecx = power->edx = 0;
}

/* ---- The model ---- */

int cpu_model_apply(const struct definition_processors *processors, struct vid_cpuid *cpuid,
		    struct failure *failure)
{
	struct cpu_feature_set without = processors->without;
	int r;

	if (processors->model == DEFINITION_MODEL_BASELINE) {
		r = refuse_baseline(cpuid, failure);
		if (r < 0)
			return r;
		cut_to_baseline(cpuid);
	}
	if (processors->model == DEFINITION_MODEL_HOST && cpu_feature_set_is_empty(&without))
		return 0;
	cpu_feature_set_close(&without);
	for (size_t i = 0; i < cpu_feature_count; i++)
		if (cpu_feature_set_has(&without, i))
			take_away(cpuid, &cpu_features[i]);
	settle_xsave(cpuid);
	settle_descriptions(cpuid);
	return 0;
}

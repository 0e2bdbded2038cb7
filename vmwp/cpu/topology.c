/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processor topology. */
#include "vmwp/cpu/topology.h"

#include <string.h>

#define LEAF_MAXIMUM      0x0u
#define LEAF_FEATURES     0x1u
#define LEAF_CACHES_INTEL 0x4u
#define LEAF_TOPOLOGY     0xbu
#define LEAF_TOPOLOGY_V2  0x1fu
#define LEAF_EXTENDED_MAX 0x80000000u
#define LEAF_EXTENDED     0x80000001u
#define LEAF_SIZES        0x80000008u
#define LEAF_SVM          0x8000000au
#define LEAF_CACHES_AMD   0x8000001du
#define LEAF_TOPOLOGY_AMD 0x8000001eu
#define LEAF_LEVELS_AMD   0x80000026u

#define FEATURE_ECX_VMX        (1u << 5)
#define FEATURE_ECX_X2APIC     (1u << 21)
#define FEATURE_ECX_HYPERVISOR (1u << 31)
#define FEATURE_EDX_HTT        (1u << 28) /* more than one logical processor in the package */

#define EXTENDED_ECX_CMP_LEGACY (1u << 1)
#define EXTENDED_ECX_SVM        (1u << 2)
#define EXTENDED_ECX_TOPOEXT    (1u << 22) /* there is LEAF_TOPOLOGY_AMD */

#define LEVEL_THREAD 1u
#define LEVEL_CORE   2u

#define ADDRESS_BITS_DEFAULT 36u

/* What fields of older leaves can say; beyond that, leaves 0xb and 0x1f count. */
#define SIBLINGS_MAX 0xffu /* leaf 1 */
#define CORES_MAX    0x40u /* leaf 4 */

/* Bits that numbers below n need. */
static unsigned topology_width(unsigned n)
{
	return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

static unsigned topology_thread_bits(const struct topology *topology)
{
	return topology_width(topology->threads);
}

static unsigned topology_socket_shift(const struct topology *topology)
{
	return topology_thread_bits(topology) + topology_width(topology->cores);
}

uint32_t topology_apic_id(const struct topology *topology, uint32_t vp)
{
	uint32_t thread = vp % topology->threads;
	uint32_t core = vp / topology->threads % topology->cores;
	uint32_t socket = vp / topology->threads / topology->cores;

	return socket << topology_socket_shift(topology) | core << topology_thread_bits(topology) |
	       thread;
}

/* Its number in the socket. */
static uint32_t topology_core(const struct topology *topology, uint32_t apic_id)
{
	return (apic_id & ((1u << topology_socket_shift(topology)) - 1)) >>
	       topology_thread_bits(topology);
}

uint32_t topology_vp_count(const struct topology *topology)
{
	return topology->sockets * topology->cores * topology->threads;
}

static void topology_set_features(const struct topology *topology, uint32_t apic_id,
				  struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf *leaf = vid_cpuid_find(cpuid, LEAF_FEATURES, 0);
	unsigned siblings = MIN(1u << topology_socket_shift(topology), SIBLINGS_MAX);

	if (!leaf)
		return;
	leaf->ebx = (leaf->ebx & 0xffff) | siblings << 16 | (apic_id & 0xff) << 24;
	leaf->ecx |= FEATURE_ECX_HYPERVISOR | FEATURE_ECX_X2APIC;
	leaf->ecx &= ~FEATURE_ECX_VMX;
	leaf->edx &= ~FEATURE_EDX_HTT;
	if (siblings > 1)
		leaf->edx |= FEATURE_EDX_HTT;
}

/* How many APIC ids share a cache: the first two levels are a core's, the third a socket's. */
static uint32_t topology_cache_sharing(const struct topology *topology, unsigned level)
{
	return 1u << (level < 3 ? topology_thread_bits(topology) : topology_socket_shift(topology));
}

static void topology_set_caches(const struct topology *topology, struct vid_cpuid *cpuid)
{
	uint32_t cores = MIN(1u << topology_width(topology->cores), CORES_MAX);

	for (size_t i = 0; i < cpuid->count; i++) {
		struct vid_cpuid_leaf *leaf = &cpuid->leaves[i];
		uint32_t sharing;

		if (leaf->function != LEAF_CACHES_INTEL && leaf->function != LEAF_CACHES_AMD)
			continue;
		if (!(leaf->eax & 0x1f)) /* no more caches */
			continue;
		sharing = topology_cache_sharing(topology, leaf->eax >> 5 & 0x7);
		leaf->eax = (leaf->eax & 0x3fff) | (sharing - 1) << 14;
		if (leaf->function == LEAF_CACHES_INTEL)
			leaf->eax |= (cores - 1) << 26;
	}
}

/* Leaves 0xb and 0x1f: one entry for threads, one for cores, and one that ends the list. */
static int topology_set_levels(const struct topology *topology, uint32_t apic_id, uint32_t function,
			       struct vid_cpuid *cpuid)
{
	const struct vid_cpuid_leaf levels[] = {
		{ .eax = topology_thread_bits(topology),
		  .ebx = topology->threads,
		  .ecx = LEVEL_THREAD << 8 },
		{ .eax = topology_socket_shift(topology),
		  .ebx = topology->threads * topology->cores,
		  .ecx = LEVEL_CORE << 8 },
		{ 0 },
	};

	vid_cpuid_remove(cpuid, function);
	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct vid_cpuid_leaf leaf = levels[i];
		int r;

		leaf.function = function;
		leaf.index = i;
		leaf.indexed = true;
		leaf.ecx |= i;
		leaf.edx = apic_id;
		r = vid_cpuid_set(cpuid, &leaf);
		if (r < 0)
			return r;
	}
	return 0;
}

static int topology_set_x2apic_levels(const struct topology *topology, uint32_t apic_id,
				      struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf *maximum = vid_cpuid_find(cpuid, LEAF_MAXIMUM, 0);
	int r;

	if (!maximum)
		return 0;
	if (maximum->eax < LEAF_TOPOLOGY)
		maximum->eax = LEAF_TOPOLOGY;
	if (maximum->eax >= LEAF_TOPOLOGY_V2) {
		r = topology_set_levels(topology, apic_id, LEAF_TOPOLOGY_V2, cpuid);
		if (r < 0)
			return r;
	}
	return topology_set_levels(topology, apic_id, LEAF_TOPOLOGY, cpuid);
}

static bool topology_is_amd(struct vid_cpuid *cpuid)
{
	const struct vid_cpuid_leaf *leaf = vid_cpuid_find(cpuid, LEAF_MAXIMUM, 0);

	return leaf && (memcmp(&leaf->ebx, "Auth", 4) == 0 || memcmp(&leaf->ebx, "Hygo", 4) == 0);
}

/* AMD's processors had no threads before they had that leaf, and Linux before 6.9 looks nowhere
 * else. A host that has none of its own can have guests with threads all the same. */
static int topology_add_amd(const struct topology *topology, struct vid_cpuid *cpuid)
{
	const struct vid_cpuid_leaf added = { .function = LEAF_TOPOLOGY_AMD };
	struct vid_cpuid_leaf *maximum = vid_cpuid_find(cpuid, LEAF_EXTENDED_MAX, 0);
	struct vid_cpuid_leaf *features = vid_cpuid_find(cpuid, LEAF_EXTENDED, 0);

	if (topology->threads == 1 || !maximum || !features || !topology_is_amd(cpuid) ||
	    features->ecx & EXTENDED_ECX_TOPOEXT)
		return 0;
	features->ecx |= EXTENDED_ECX_TOPOEXT;
	maximum->eax = MAX(maximum->eax, LEAF_TOPOLOGY_AMD);
	return vid_cpuid_set(cpuid, &added);
}

static void topology_set_extended(const struct topology *topology, uint32_t apic_id,
				  struct vid_cpuid *cpuid)
{
	unsigned package = topology->cores * topology->threads;
	struct vid_cpuid_leaf *leaf;

	leaf = vid_cpuid_find(cpuid, LEAF_EXTENDED, 0);
	if (leaf) {
		leaf->ecx &= ~(EXTENDED_ECX_SVM | EXTENDED_ECX_CMP_LEGACY);
		if (package > 1)
			leaf->ecx |= EXTENDED_ECX_CMP_LEGACY;
	}
	vid_cpuid_remove(cpuid, LEAF_SVM);
	leaf = vid_cpuid_find(cpuid, LEAF_SIZES, 0);
	if (leaf)
		leaf->ecx = (leaf->ecx & ~0xf0ffu) | (package - 1) |
			    topology_socket_shift(topology) << 12;
	leaf = vid_cpuid_find(cpuid, LEAF_TOPOLOGY_AMD, 0);
	if (leaf) {
		leaf->eax = apic_id;
		leaf->ebx = (topology->threads - 1) << 8 | topology_core(topology, apic_id);
		leaf->ecx = apic_id >> topology_socket_shift(topology); /* a node each */
	}
	/* What it says of the host's dies; without it, guests look at leaf 0xb. */
	vid_cpuid_remove(cpuid, LEAF_LEVELS_AMD);
}

int topology_apply(const struct topology *topology, uint32_t vp, struct vid_cpuid *cpuid)
{
	uint32_t apic_id = topology_apic_id(topology, vp);
	int r;

	r = topology_add_amd(topology, cpuid);
	if (r < 0)
		return r;
	topology_set_features(topology, apic_id, cpuid);
	topology_set_caches(topology, cpuid);
	topology_set_extended(topology, apic_id, cpuid);
	return topology_set_x2apic_levels(topology, apic_id, cpuid);
}

unsigned topology_address_bits(struct vid_cpuid *cpuid)
{
	const struct vid_cpuid_leaf *leaf = vid_cpuid_find(cpuid, LEAF_SIZES, 0);

	return leaf && (leaf->eax & 0xff) ? leaf->eax & 0xff : ADDRESS_BITS_DEFAULT;
}

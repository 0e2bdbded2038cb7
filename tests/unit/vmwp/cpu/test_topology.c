/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processor topology, read back the way a guest decodes it; and the guest's address space. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/base/memory_layout.h"
#include "vmwp/cpu/topology.h"

#include <string.h>

/* Leaves of an imaginary CPU that has all those which are changed. */
static void fill(struct vid_cpuid *cpuid)
{
	static const struct vid_cpuid_leaf leaves[] = {
		{ .function = 0, .eax = 0x1f },
		{ .function = 1, .ebx = 0xff0008aa, .ecx = 1 << 5 | 1 << 24, .edx = 1 << 28 },
		{ .function = 4, .index = 0, .indexed = true, .eax = 0xfc01c121 },
		{ .function = 4, .index = 1, .indexed = true, .eax = 0xfc01c163 },
		{ .function = 4, .index = 2, .indexed = true },
		{ .function = 0xb, .index = 7, .indexed = true, .eax = 99 },
		{ .function = 0x1f, .index = 0, .indexed = true, .eax = 99 },
		{ .function = 0x80000001, .ecx = 1 << 2 },
		{ .function = 0x80000008, .eax = 0x3028, .ecx = 0xff3f },
		{ .function = 0x8000000a, .eax = 1 },
		{ .function = 0x8000001d, .index = 3, .indexed = true, .eax = 0x163 },
		{ .function = 0x8000001e, .eax = 99 },
		{ .function = 0x80000026, .index = 0, .indexed = true, .eax = 99 },
	};

	memset(cpuid, 0, sizeof(*cpuid));
	memcpy(cpuid->leaves, leaves, sizeof(leaves));
	cpuid->count = ARRAY_SIZE(leaves);
}

/* What a guest makes of leaf 0xb or 0x1f: shifts of thread and core level, and the APIC id. */
struct levels {
	uint32_t thread_shift, core_shift, threads, logical, apic_id;
};

static struct levels decode(struct vid_cpuid *cpuid, uint32_t function)
{
	const struct vid_cpuid_leaf *threads = vid_cpuid_find(cpuid, function, 0);
	const struct vid_cpuid_leaf *cores = vid_cpuid_find(cpuid, function, 1);
	const struct vid_cpuid_leaf *end = vid_cpuid_find(cpuid, function, 2);

	assert_non_null(threads);
	assert_non_null(cores);
	assert_non_null(end);
	assert_int_equal(threads->ecx, 0x100);
	assert_int_equal(cores->ecx, 0x201);
	assert_int_equal(end->ecx, 2);
	assert_int_equal(end->ebx, 0);
	assert_int_equal(threads->edx, cores->edx);
	return (struct levels){ threads->eax, cores->eax, threads->ebx, cores->ebx, threads->edx };
}

/* Where the numbers of older leaves are too small they say the most they can. */
static void check_old_leaves(const struct topology *topology, uint32_t vp, struct vid_cpuid *cpuid)
{
	uint32_t apic_id = topology_apic_id(topology, vp), cores, siblings;
	const struct levels levels = decode(cpuid, 0xb);
	const struct vid_cpuid_leaf *leaf;

	leaf = vid_cpuid_find(cpuid, 1, 0);
	siblings = leaf->ebx >> 16 & 0xff;
	assert_int_equal(siblings, MIN(1u << levels.core_shift, 255u));
	assert_int_equal(leaf->ebx >> 24, apic_id & 0xff);
	assert_int_equal(!!(leaf->edx & 1u << 28), topology->cores * topology->threads > 1);
	cores = (vid_cpuid_find(cpuid, 4, 0)->eax >> 26) + 1;
	assert_int_equal(cores, MIN(1u << (levels.core_shift - levels.thread_shift), 64u));
	leaf = vid_cpuid_find(cpuid, 0x80000008, 0);
	assert_int_equal((leaf->ecx & 0xff) + 1, topology->cores * topology->threads);
	assert_int_equal(leaf->ecx >> 12, levels.core_shift);
	leaf = vid_cpuid_find(cpuid, 0x8000001e, 0);
	assert_int_equal(leaf->eax, apic_id);
	assert_int_equal(leaf->ebx & 0xff, vp / topology->threads % topology->cores);
	assert_int_equal((leaf->ebx >> 8) + 1, topology->threads);
	assert_int_equal(leaf->ecx, vp / topology->threads / topology->cores);
	assert_null(vid_cpuid_find(cpuid, 0x80000026, 0));
}

static void no_two_vps_share_an_id(void **state)
{
	for (unsigned cores = 1; cores <= 240; cores++) {
		for (unsigned threads = 1; cores * threads <= 240; threads++) {
			const struct topology topology = { 240 / (cores * threads), cores,
							   threads };
			uint32_t count = topology_vp_count(&topology);

			for (uint32_t vp = 1; vp < count; vp++)
				assert_true(topology_apic_id(&topology, vp) >
					    topology_apic_id(&topology, vp - 1));
		}
	}
}

static void each_vp_is_where_it_should_be(void **state)
{
	static const struct topology topologies[] = {
		{ 1, 1, 1 },   { 1, 4, 1 },  { 2, 2, 2 },  { 2, 3, 1 },   { 3, 3, 3 },
		{ 1, 1, 2 },   { 64, 1, 1 }, { 1, 33, 1 }, { 240, 1, 1 }, { 1, 240, 1 },
		{ 1, 120, 2 }, { 5, 3, 16 }, { 16, 5, 3 }, { 5, 9, 5 },
	};

	for (size_t t = 0; t < ARRAY_SIZE(topologies); t++) {
		const struct topology *topology = &topologies[t];
		unsigned count = topology->sockets * topology->cores * topology->threads;

		for (uint32_t vp = 0; vp < count; vp++) {
			uint32_t thread = vp % topology->threads;
			uint32_t core = vp / topology->threads % topology->cores;
			uint32_t socket = vp / topology->threads / topology->cores;
			struct vid_cpuid cpuid;
			struct levels levels;

			fill(&cpuid);
			assert_int_equal(topology_apply(topology, vp, &cpuid), 0);
			levels = decode(&cpuid, 0xb);
			assert_memory_equal(&levels, &(struct levels[]){ decode(&cpuid, 0x1f) }[0],
					    sizeof(levels));
			assert_int_equal(levels.apic_id, topology_apic_id(topology, vp));
			assert_int_equal(levels.apic_id & ((1u << levels.thread_shift) - 1),
					 thread);
			assert_int_equal((levels.apic_id & ((1u << levels.core_shift) - 1)) >>
						 levels.thread_shift,
					 core);
			assert_int_equal(levels.apic_id >> levels.core_shift, socket);
			assert_int_equal(levels.threads, topology->threads);
			assert_int_equal(levels.logical, topology->threads * topology->cores);
			check_old_leaves(topology, vp, &cpuid);
		}
	}
}

static void leaf_1_and_the_rest(void **state)
{
	const struct topology topology = { 2, 3, 2 };
	const struct vid_cpuid_leaf *leaf;
	struct vid_cpuid cpuid;

	fill(&cpuid);
	assert_int_equal(topology_apply(&topology, 7, &cpuid), 0);
	/* Vp 7: socket 1, core 0, thread 1. */
	leaf = vid_cpuid_find(&cpuid, 1, 0);
	assert_int_equal(leaf->ebx >> 24, 9);
	assert_int_equal(leaf->ebx >> 16 & 0xff, 8);
	assert_int_equal(leaf->ebx & 0xffff, 0x08aa);
	assert_int_equal(leaf->ecx, 1u << 31 | 1u << 21 | 1u << 24); /* and no VMX */
	assert_int_equal(leaf->edx, 1u << 28);

	leaf = vid_cpuid_find(&cpuid, 4, 0); /* first level: a core's two threads */
	assert_int_equal(leaf->eax, 3u << 26 | 1u << 14 | 0x121);
	leaf = vid_cpuid_find(&cpuid, 4, 1); /* third level: the socket's */
	assert_int_equal(leaf->eax, 3u << 26 | 7u << 14 | 0x163);
	assert_int_equal(vid_cpuid_find(&cpuid, 4, 2)->eax, 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 0x8000001d, 3)->eax, 7u << 14 | 0x163);

	leaf = vid_cpuid_find(&cpuid, 0x80000008, 0);
	assert_int_equal(leaf->ecx & 0xff, 5);
	assert_int_equal(leaf->ecx >> 12, 0xf & 3);
	leaf = vid_cpuid_find(&cpuid, 0x8000001e, 0);
	assert_int_equal(leaf->eax, 9);
	assert_int_equal(leaf->ebx, 1 << 8);
	assert_int_equal(leaf->ecx, 1);
	assert_int_equal(vid_cpuid_find(&cpuid, 0x80000001, 0)->ecx, 1 << 1); /* and no SVM */
	assert_null(vid_cpuid_find(&cpuid, 0x8000000a, 0));
	assert_int_equal(topology_address_bits(&cpuid), 40);
}

/* Linux up to 6.8 finds threads of AMD's processors in no other leaf. */
static void threads_on_an_old_cpu_of_amd(void **state)
{
	static const char *const vendors[] = { "AuthcAMDenti", "HygouinenGen", "GenuntelineI" };

	for (size_t i = 0; i < ARRAY_SIZE(vendors) * 2; i++) {
		const struct topology topology = { 1, 4, 1 + i % 2 };
		bool added = i / 2 < 2 && topology.threads > 1;
		struct vid_cpuid_leaf *leaf;
		struct vid_cpuid cpuid;

		fill(&cpuid);
		vid_cpuid_remove(&cpuid, 0x8000001e);
		memcpy(&cpuid.leaves[0].ebx, vendors[i / 2], 12); /* ebx, ecx, edx */
		assert_int_equal(
			vid_cpuid_set(&cpuid, &(struct vid_cpuid_leaf){ .function = 0x80000000,
									.eax = 0x8000000a }),
			0);
		assert_int_equal(topology_apply(&topology, 5, &cpuid), 0);
		leaf = vid_cpuid_find(&cpuid, 0x80000001, 0);
		assert_int_equal(!!(leaf->ecx & 1u << 22), added);
		leaf = vid_cpuid_find(&cpuid, 0x80000000, 0);
		assert_int_equal(leaf->eax, added ? 0x8000001e : 0x8000000a);
		leaf = vid_cpuid_find(&cpuid, 0x8000001e, 0);
		assert_int_equal(leaf != NULL, added);
		if (added)
			assert_int_equal(leaf->ebx, 1 << 8 | 2);
	}
}

static void one_vp_is_no_multiprocessor(void **state)
{
	const struct topology topology = { 1, 1, 1 };
	struct vid_cpuid cpuid;

	fill(&cpuid);
	cpuid.leaves[0].eax = 7; /* an old CPU: leaf 0xb is added, 0x1f is not */
	vid_cpuid_remove(&cpuid, 0x1f);
	assert_int_equal(topology_apply(&topology, 0, &cpuid), 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 1, 0)->edx, 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 0x80000001, 0)->ecx, 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 0, 0)->eax, 0xb);
	assert_null(vid_cpuid_find(&cpuid, 0x1f, 0));
	decode(&cpuid, 0xb);
}

static void a_cpu_that_says_nothing(void **state)
{
	const struct topology topology = { 1, 2, 1 };
	struct vid_cpuid cpuid = { .count = 0 };

	assert_int_equal(topology_apply(&topology, 1, &cpuid), 0);
	assert_int_equal(topology_address_bits(&cpuid), 36);
}

/* ---- The address space ---- */

#define GIB (1ull << 30)

static void memory_has_a_hole(void **state)
{
	struct memory_layout layout;
	struct memory_map_entry map[MEMORY_MAP_MAX];

	memory_layout_init(&layout, GIB, 0, 40);
	assert_int_equal(layout.ram_count, 1);
	assert_int_equal(memory_layout_map(&layout, map), 3);
	assert_int_equal(layout.mmio_high.gpa.value, 64 * GIB);

	memory_layout_init(&layout, 3 * GIB, 0, 40);
	assert_int_equal(layout.ram_count, 1);
	assert_int_equal(memory_layout_end(&layout), 3 * GIB);

	memory_layout_init(&layout, 100 * GIB, 0, 40);
	assert_int_equal(layout.ram_count, 2);
	assert_int_equal(layout.ram[0].size, 3 * GIB);
	assert_int_equal(layout.ram[1].gpa.value, 4 * GIB);
	assert_int_equal(layout.ram[1].size, 97 * GIB);
	assert_int_equal(memory_layout_end(&layout), 101 * GIB);
	assert_int_equal(layout.mmio_high.gpa.value, 128 * GIB);
	assert_int_equal(memory_layout_map(&layout, map), 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(map[i].base >= map[i - 1].base + map[i - 1].size);
	assert_int_equal(map[3].base, 4 * GIB);
}

/* The room for RAM that is added is nobody else's. */
static void there_is_room_to_grow(void **state)
{
	struct memory_layout layout;
	struct memory_map_entry map[MEMORY_MAP_MAX];

	memory_layout_init(&layout, GIB, 0, 40);
	assert_int_equal(layout.room.size, 0);
	memory_layout_init(&layout, GIB, 3 * GIB, 40);
	assert_int_equal(layout.room.gpa.value, 4 * GIB);
	assert_true(layout.room.size >= 3 * GIB + 2 * GIB);
	assert_int_equal(layout.mmio_high.gpa.value, 64 * GIB);
	assert_int_equal(memory_layout_map(&layout, map), 3);
	memory_layout_init(&layout, 3 * GIB + (2u << 20), 60 * GIB, 40);
	assert_int_equal(layout.room.gpa.value, 5 * GIB);
	assert_true(layout.room.gpa.value + layout.room.size <= layout.mmio_high.gpa.value);
	assert_int_equal(layout.mmio_high.gpa.value, 128 * GIB);
	/* Too few address lines: the guest has what it begins with. */
	memory_layout_init(&layout, GIB, 64 * GIB, 36);
	assert_int_equal(layout.room.size, 0);
	assert_int_equal(layout.mmio_high.size, 0);
}

static void the_high_window_needs_addresses(void **state)
{
	struct memory_layout layout;

	memory_layout_init(&layout, GIB, 0, 37);
	assert_int_equal(layout.mmio_high.gpa.value, 64 * GIB);
	memory_layout_init(&layout, GIB, 0, 36);
	assert_int_equal(layout.mmio_high.size, 0);
	memory_layout_init(&layout, 100 * GIB, 0, 37);
	assert_int_equal(layout.mmio_high.size, 0);
	assert_int_equal(layout.mmio_low.gpa.value + layout.mmio_low.size, LAYOUT_IOAPIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_vp_is_where_it_should_be),
		cmocka_unit_test(no_two_vps_share_an_id),
		cmocka_unit_test(leaf_1_and_the_rest),
		cmocka_unit_test(threads_on_an_old_cpu_of_amd),
		cmocka_unit_test(one_vp_is_no_multiprocessor),
		cmocka_unit_test(a_cpu_that_says_nothing),
		cmocka_unit_test(memory_has_a_hole),
		cmocka_unit_test(there_is_room_to_grow),
		cmocka_unit_test(the_high_window_needs_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPU models: what is taken from CPUID, and what goes with it. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/cpu/cpu_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALL UINT32_MAX

/* Components: AVX, MPX, AVX-512, PKRU and AMX; of IA32_XSS, PT and CET. */
#define XCR0 (0x3u | 1u << 2 | 3u << 3 | 7u << 5 | 1u << 9 | 3u << 17)
#define XSS  (1u << 8 | 3u << 11)

/* Of an imaginary CPU that has everything. */
static void fill(struct vid_cpuid *cpuid)
{
	static const struct vid_cpuid_leaf leaves[] = {
		{ .function = 0, .eax = 0x24 },
		{ .function = 1, .eax = 0x806f8, .ebx = 0x800, .ecx = ALL, .edx = ALL },
		{ .function = 5, .eax = 64 },
		{ .function = 6, .eax = ALL, .ebx = 2, .ecx = 1, .edx = 1 },
		{ .function = 7,
		  .index = 0,
		  .indexed = true,
		  .eax = 2,
		  .ebx = ALL,
		  .ecx = ALL,
		  .edx = ALL },
		{ .function = 7, .index = 1, .indexed = true, .eax = ALL, .edx = ALL },
		{ .function = 7, .index = 2, .indexed = true, .edx = ALL },
		{ .function = 0xa, .eax = 0x7300805 },
		{ .function = 0xd,
		  .index = 0,
		  .indexed = true,
		  .eax = XCR0,
		  .ebx = 2696,
		  .ecx = 11008 },
		{ .function = 0xd,
		  .index = 1,
		  .indexed = true,
		  .eax = 0x1f,
		  .ebx = 3000,
		  .ecx = XSS },
		{ .function = 0xd, .index = 2, .indexed = true, .eax = 256, .ebx = 576 },
		{ .function = 0xd, .index = 3, .indexed = true, .eax = 64, .ebx = 960 },
		{ .function = 0xd, .index = 4, .indexed = true, .eax = 64, .ebx = 1024 },
		{ .function = 0xd, .index = 5, .indexed = true, .eax = 64, .ebx = 1088 },
		{ .function = 0xd, .index = 6, .indexed = true, .eax = 512, .ebx = 1152 },
		{ .function = 0xd, .index = 7, .indexed = true, .eax = 1024, .ebx = 1664 },
		{ .function = 0xd, .index = 8, .indexed = true, .eax = 128, .ecx = 1 },
		{ .function = 0xd, .index = 9, .indexed = true, .eax = 8, .ebx = 2688 },
		{ .function = 0xd, .index = 11, .indexed = true, .eax = 16, .ecx = 1 },
		{ .function = 0xd, .index = 12, .indexed = true, .eax = 24, .ecx = 1 },
		{ .function = 0xd, .index = 17, .indexed = true, .eax = 64, .ebx = 2752 },
		{ .function = 0xd, .index = 18, .indexed = true, .eax = 8192, .ebx = 2816 },
		{ .function = 0x12, .index = 0, .indexed = true, .eax = 1 },
		{ .function = 0x14, .index = 0, .indexed = true, .eax = 1 },
		{ .function = 0x1d, .index = 0, .indexed = true, .eax = 1 },
		{ .function = 0x1e, .index = 0, .indexed = true, .ebx = 1 },
		{ .function = 0x24, .index = 0, .indexed = true, .ebx = 1 },
		{ .function = 0x80000001, .ecx = ALL, .edx = ALL },
		{ .function = 0x80000007, .edx = ALL },
		{ .function = 0x80000008, .eax = 0x3030, .ebx = ALL },
		{ .function = 0x8000001f, .eax = ALL },
		{ .function = 0x80000021, .eax = ALL },
	};

	memset(cpuid, 0, sizeof(*cpuid));
	memcpy(cpuid->leaves, leaves, sizeof(leaves));
	cpuid->count = ARRAY_SIZE(leaves);
}

static void apply(struct vid_cpuid *cpuid, enum definition_model model, const char *const *without)
{
	struct definition_processors processors;
	struct failure failure = { 0 };

	definition_processors_init(&processors);
	processors.model = model;
	for (size_t i = 0; without && without[i]; i++)
		cpu_feature_set_add(&processors.without, (size_t)cpu_feature_find(without[i]));
	fill(cpuid);
	assert_int_equal(cpu_model_apply(&processors, cpuid, &failure), 0);
}

#define WITHOUT(...) ((const char *const[]){ __VA_ARGS__, NULL })

static bool has(struct vid_cpuid *cpuid, const char *name)
{
	struct cpu_feature_set features;

	cpu_model_features(cpuid, &features);
	return cpu_feature_set_has(&features, (size_t)cpu_feature_find(name));
}

static void the_host_is_as_it_is(void **state)
{
	struct vid_cpuid cpuid, as_it_was;

	apply(&cpuid, DEFINITION_MODEL_HOST, NULL);
	fill(&as_it_was);
	assert_memory_equal(&cpuid, &as_it_was, sizeof(cpuid));
}

static void each_feature_can_go_alone(void **state)
{
	for (size_t i = 0; i < cpu_feature_count; i++) {
		struct cpu_feature_set gone = { 0 };
		struct vid_cpuid cpuid;

		if (cpu_features[i].flags & CPU_NEEDED)
			continue;
		apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT(cpu_features[i].name));
		cpu_feature_set_add(&gone, i);
		cpu_feature_set_close(&gone);
		for (size_t j = 0; j < cpu_feature_count; j++) {
			/* Without XSAVE its leaf is gone as a whole. */
			bool of_xsave = cpu_words[cpu_features[j].places[0].word].function == 0xd &&
					strcmp(cpu_features[i].name, "xsave") == 0;

			if (has(&cpuid, cpu_features[j].name) !=
			    (!cpu_feature_set_has(&gone, j) && !of_xsave))
				fail_msg("%s without %s", cpu_features[j].name,
					 cpu_features[i].name);
		}
	}
}

static uint32_t components(struct vid_cpuid *cpuid)
{
	uint32_t there = 0;

	for (uint32_t i = 2; i < 32; i++)
		if (vid_cpuid_find(cpuid, 0xd, i))
			there |= 1u << i;
	return there;
}

static void extended_states_go_with_features(void **state)
{
	static const struct {
		const char *without;
		uint32_t gone, size;
	} cases[] = {
		{ "avx512f", 7u << 5, 11008 },
		{ "amx_tile", 3u << 17, 2696 },
		{ "pku", 1u << 9, 11008 },
		{ "mpx", 3u << 3, 11008 },
		{ "intel_pt", 1u << 8, 11008 },
		{ "avx", 1u << 2 | 7u << 5, 11008 },
		{ "avx512vl", 0, 11008 },
		{ "shstk", 0, 11008 }, /* branch tracking has the same */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vid_cpuid cpuid;
		const struct vid_cpuid_leaf *leaf;

		apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT(cases[i].without));
		leaf = vid_cpuid_find(&cpuid, 0xd, 0);
		assert_int_equal(leaf->eax, XCR0 & ~cases[i].gone);
		assert_int_equal(leaf->ecx, cases[i].size);
		assert_int_equal(leaf->ebx, 576);
		assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 1)->ecx, XSS & ~cases[i].gone);
		assert_int_equal(components(&cpuid), ((XCR0 | XSS) & ~3u) & ~cases[i].gone);
	}
}

static void states_of_several_features(void **state)
{
	struct vid_cpuid cpuid;

	apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("shstk", "ibt"));
	assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 1)->ecx, 1u << 8);
	apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("amx_tile", "pku", "avx512f"));
	assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 0)->ecx, 1088);
	apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("avx", "mpx", "amx_tile", "pku"));
	assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 0)->eax, 3);
	assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 0)->ecx, 576);
	apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("xsaves"));
	assert_int_equal(vid_cpuid_find(&cpuid, 0xd, 1)->ecx, 0);
	assert_int_equal(components(&cpuid), (XCR0 & ~3u) & ~(3u << 17));
	apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("xsave"));
	assert_null(vid_cpuid_find(&cpuid, 0xd, 0));
	assert_null(vid_cpuid_find(&cpuid, 0xd, 1));
	assert_int_equal(components(&cpuid), 0);
}

static void leaves_go_with_features(void **state)
{
	static const struct {
		const char *without;
		uint32_t leaf;
	} cases[] = {
		{ "monitor", 5 },     { "sgx", 0x12 },      { "intel_pt", 0x14 },
		{ "amx_tile", 0x1d }, { "amx_tile", 0x1e },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vid_cpuid cpuid;

		apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT("movbe"));
		assert_non_null(vid_cpuid_find(&cpuid, cases[i].leaf, 0));
		apply(&cpuid, DEFINITION_MODEL_HOST, WITHOUT(cases[i].without));
		assert_null(vid_cpuid_find(&cpuid, cases[i].leaf, 0));
	}
}

static void the_baseline_has_what_is_listed(void **state)
{
	static const uint32_t gone[] = { 5, 0xa, 0xd, 0x12, 0x14, 0x1d, 0x1e, 0x24, 0x8000001f };
	struct vid_cpuid cpuid;

	apply(&cpuid, DEFINITION_MODEL_BASELINE, NULL);
	for (size_t i = 0; i < cpu_feature_count; i++)
		if (has(&cpuid, cpu_features[i].name) !=
		    !!(cpu_features[i].flags & (CPU_BASELINE | CPU_KEPT)))
			fail_msg("%s", cpu_features[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		assert_null(vid_cpuid_find(&cpuid, gone[i], 0));
	/* No bit without a name: OSXSAVE, those that Intel and AMD reserve. */
	assert_int_equal(vid_cpuid_find(&cpuid, 1, 0)->ecx & (1u << 27 | 1u << 16), 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 7, 1)->eax, 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 7, 0)->ebx, 1u << 1);
	assert_int_equal(vid_cpuid_find(&cpuid, 6, 0)->eax, 1u << 2);
	assert_int_equal(vid_cpuid_find(&cpuid, 6, 0)->ecx, 0);
	assert_int_equal(vid_cpuid_find(&cpuid, 0x80000007, 0)->edx, 1u << 8);
	/* The CPU is the host's. */
	assert_int_equal(vid_cpuid_find(&cpuid, 1, 0)->eax, 0x806f8);
	assert_int_equal(vid_cpuid_find(&cpuid, 0x80000008, 0)->eax, 0x3030);
}

static void the_baseline_without(void **state)
{
	struct vid_cpuid cpuid;

	apply(&cpuid, DEFINITION_MODEL_BASELINE, WITHOUT("aes", "ibrs"));
	assert_false(has(&cpuid, "aes"));
	assert_false(has(&cpuid, "ibrs"));
	assert_true(has(&cpuid, "stibp"));
	assert_true(has(&cpuid, "sse4_2"));
}

static void a_host_without_the_baseline(void **state)
{
	struct definition_processors processors;
	struct failure failure = { 0 };
	struct vid_cpuid cpuid;

	definition_processors_init(&processors);
	processors.model = DEFINITION_MODEL_BASELINE;
	fill(&cpuid);
	vid_cpuid_find(&cpuid, 1, 0)->ecx &= ~(1u << 20 | 1u << 25);
	assert_int_equal(cpu_model_apply(&processors, &cpuid, &failure), -ENOTSUP);
	assert_non_null(strstr(failure.message, "for want of sse4_2, aes."));
	memset(&cpuid, 0, sizeof(cpuid));
	failure = (struct failure){ 0 };
	assert_int_equal(cpu_model_apply(&processors, &cpuid, &failure), -ENOTSUP);
	assert_non_null(strstr(failure.message, "for want of fpu, de, "));
	processors.model = DEFINITION_MODEL_HOST;
	cpu_feature_set_add(&processors.without, (size_t)cpu_feature_find("avx"));
	assert_int_equal(cpu_model_apply(&processors, &cpuid, &failure), 0);
	assert_int_equal(cpuid.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_is_as_it_is),
		cmocka_unit_test(each_feature_can_go_alone),
		cmocka_unit_test(extended_states_go_with_features),
		cmocka_unit_test(states_of_several_features),
		cmocka_unit_test(leaves_go_with_features),
		cmocka_unit_test(the_baseline_has_what_is_listed),
		cmocka_unit_test(the_baseline_without),
		cmocka_unit_test(a_host_without_the_baseline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

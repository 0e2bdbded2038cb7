/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Features of CPUs: the table is sound, sets, what builds on what, names that are alike. */
#include "common/definition/cpu_features.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static size_t feature(const char *name)
{
	int i = cpu_feature_find(name);

	if (i < 0)
		fail_msg("no %s", name);
	return (size_t)i;
}

static void the_table_is_sound(void **state)
{
	assert_true(cpu_feature_count <= CPU_FEATURES_MAX);
	for (size_t i = 0; i < cpu_feature_count; i++) {
		const struct cpu_feature *it = &cpu_features[i];

		assert_true(strlen(it->name) < CPU_FEATURE_NAME_MAX);
		assert_int_equal(feature(it->name), i); /* no name twice */
		assert_in_range(it->place_count, 1, 2);
		for (size_t p = 0; p < it->place_count; p++) {
			assert_true(it->places[p].word < cpu_word_count);
			assert_true(it->places[p].bit < 32);
		}
		/* What guests need, the baseline has. */
		assert_true(!(it->flags & CPU_NEEDED) || it->flags & (CPU_BASELINE | CPU_KEPT));
		assert_true((it->flags & (CPU_BASELINE | CPU_KEPT)) != (CPU_BASELINE | CPU_KEPT));
	}
}

static void no_bit_has_two_names(void **state)
{
	uint32_t seen[32] = { 0 };

	assert_true(cpu_word_count <= 32);
	for (size_t i = 0; i < cpu_feature_count; i++)
		for (size_t p = 0; p < cpu_features[i].place_count; p++) {
			uint32_t bit = 1u << cpu_features[i].places[p].bit;

			if (seen[cpu_features[i].places[p].word] & bit)
				fail_msg("%s", cpu_features[i].name);
			seen[cpu_features[i].places[p].word] |= bit;
		}
}

/* Where the kernel of this machine tells the same names, they are at the same bits for it. */
static void some_places(void **state)
{
	static const struct {
		const char *name;
		uint32_t function, index, reg, bit;
	} cases[] = {
		{ "pni", 1, 0, CPU_ECX, 0 },
		{ "aes", 1, 0, CPU_ECX, 25 },
		{ "sse2", 1, 0, CPU_EDX, 26 },
		{ "avx2", 7, 0, CPU_EBX, 5 },
		{ "avx512vl", 7, 0, CPU_EBX, 31 },
		{ "pku", 7, 0, CPU_ECX, 3 },
		{ "amx_tile", 7, 0, CPU_EDX, 24 },
		{ "avx512_bf16", 7, 1, CPU_EAX, 5 },
		{ "xsaves", 0xd, 1, CPU_EAX, 3 },
		{ "lm", 0x80000001, 0, CPU_EDX, 29 },
		{ "topoext", 0x80000001, 0, CPU_ECX, 22 },
		{ "nonstop_tsc", 0x80000007, 0, CPU_EDX, 8 },
		{ "clzero", 0x80000008, 0, CPU_EBX, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cpu_feature *it = &cpu_features[feature(cases[i].name)];
		const struct cpu_word *word = &cpu_words[it->places[0].word];

		assert_int_equal(word->function, cases[i].function);
		assert_int_equal(word->index, cases[i].index);
		assert_int_equal(word->reg, cases[i].reg);
		assert_int_equal(it->places[0].bit, cases[i].bit);
	}
}

static bool follows(const char *basis, const char *name)
{
	struct cpu_feature_set set = { 0 };

	cpu_feature_set_add(&set, feature(basis));
	cpu_feature_set_close(&set);
	return cpu_feature_set_has(&set, feature(name));
}

static void what_builds_on_it_goes_too(void **state)
{
	struct cpu_feature_set none = { 0 };

	cpu_feature_set_close(&none);
	assert_true(cpu_feature_set_is_empty(&none));
	assert_true(follows("avx", "avx2"));
	assert_true(follows("avx", "fma"));
	assert_true(follows("avx", "avx512_fp16")); /* by way of two others */
	assert_true(follows("avx512f", "avx512vl"));
	assert_false(follows("avx512f", "avx2"));
	assert_true(follows("xsave", "avx"));
	assert_true(follows("xsave", "amx_int8"));
	assert_true(follows("pni", "avx2"));
	assert_false(follows("aes", "avx"));
}

static void near(const char *name, const char *expected)
{
	char text[64];

	cpu_feature_near(name, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void names_that_are_alike(void **state)
{
	char small[8];

	near("avx512g", "avx512f");
	near("sse4.2", "sse4_2");
	near("pclmul", "pclmulqdq");
	near("zzzzzz", "");
	near("", "");
	near("a", "");
	near("an_endless_name_of_a_feature_that_nobody_has_ever_heard_of", "");
	cpu_feature_near("avx512", small, sizeof(small)); /* many, cut */
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(no_bit_has_two_names),
		cmocka_unit_test(some_places),
		cmocka_unit_test(what_builds_on_it_goes_too),
		cmocka_unit_test(names_that_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

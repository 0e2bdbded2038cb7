/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Features of CPUs: the tables, and what is found out by them. */
#include "common/definition/cpu_features.h"

#include <stdio.h>
#include <string.h>

/* 1_EDX: of leaf 1; 71_EDX: of leaf 7, index 1; X1_EDX: of leaf 0x80000001. */
enum {
	W_1_EDX,
	W_1_ECX,
	W_6_EAX,
	W_7_EBX,
	W_7_ECX,
	W_7_EDX,
	W_71_EAX,
	W_71_EDX,
	W_72_EDX,
	W_D1_EAX,
	W_X1_ECX,
	W_X1_EDX,
	W_X7_EDX,
	W_X8_EBX,
	W_X21_EAX,
};

const struct cpu_word cpu_words[] = {
	[W_1_EDX] = { .function = 0x1, .index = 0, .indexed = false, .reg = CPU_EDX },
	[W_1_ECX] = { .function = 0x1, .index = 0, .indexed = false, .reg = CPU_ECX },
	[W_6_EAX] = { .function = 0x6, .index = 0, .indexed = false, .reg = CPU_EAX },
	[W_7_EBX] = { .function = 0x7, .index = 0, .indexed = true, .reg = CPU_EBX },
	[W_7_ECX] = { .function = 0x7, .index = 0, .indexed = true, .reg = CPU_ECX },
	[W_7_EDX] = { .function = 0x7, .index = 0, .indexed = true, .reg = CPU_EDX },
	[W_71_EAX] = { .function = 0x7, .index = 1, .indexed = true, .reg = CPU_EAX },
	[W_71_EDX] = { .function = 0x7, .index = 1, .indexed = true, .reg = CPU_EDX },
	[W_72_EDX] = { .function = 0x7, .index = 2, .indexed = true, .reg = CPU_EDX },
	[W_D1_EAX] = { .function = 0xd, .index = 1, .indexed = true, .reg = CPU_EAX },
	[W_X1_ECX] = { .function = 0x80000001, .index = 0, .indexed = false, .reg = CPU_ECX },
	[W_X1_EDX] = { .function = 0x80000001, .index = 0, .indexed = false, .reg = CPU_EDX },
	[W_X7_EDX] = { .function = 0x80000007, .index = 0, .indexed = false, .reg = CPU_EDX },
	[W_X8_EBX] = { .function = 0x80000008, .index = 0, .indexed = false, .reg = CPU_EBX },
	[W_X21_EAX] = { .function = 0x80000021, .index = 0, .indexed = false, .reg = CPU_EAX },
};

const size_t cpu_word_count = ARRAY_SIZE(cpu_words);

#define IN(word_, bit_, name_, flags_)                                                   \
	{                                                                                \
		.name = (name_), .flags = (flags_), .places = { { W_##word_, (bit_) } }, \
		.place_count = 1                                                         \
	}
#define IN_BOTH(word_, bit_, word2_, bit2_, name_, flags_)                                     \
	{                                                                                      \
		.name = (name_), .flags = (flags_),                                            \
		.places = { { W_##word_, (bit_) }, { W_##word2_, (bit2_) } }, .place_count = 2 \
	}

const struct cpu_feature cpu_features[] = {
	IN_BOTH(1_EDX, 0, X1_EDX, 0, "fpu", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 1, X1_EDX, 1, "vme", 0),
	IN_BOTH(1_EDX, 2, X1_EDX, 2, "de", CPU_BASELINE),
	IN_BOTH(1_EDX, 3, X1_EDX, 3, "pse", CPU_BASELINE),
	IN_BOTH(1_EDX, 4, X1_EDX, 4, "tsc", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 5, X1_EDX, 5, "msr", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 6, X1_EDX, 6, "pae", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 7, X1_EDX, 7, "mce", CPU_BASELINE),
	IN_BOTH(1_EDX, 8, X1_EDX, 8, "cx8", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 9, X1_EDX, 9, "apic", CPU_NEEDED | CPU_BASELINE),
	IN(1_EDX, 11, "sep", CPU_BASELINE),
	IN_BOTH(1_EDX, 12, X1_EDX, 12, "mtrr", CPU_BASELINE),
	IN_BOTH(1_EDX, 13, X1_EDX, 13, "pge", CPU_BASELINE),
	IN_BOTH(1_EDX, 14, X1_EDX, 14, "mca", CPU_BASELINE),
	IN_BOTH(1_EDX, 15, X1_EDX, 15, "cmov", CPU_NEEDED | CPU_BASELINE),
	IN_BOTH(1_EDX, 16, X1_EDX, 16, "pat", CPU_BASELINE),
	IN_BOTH(1_EDX, 17, X1_EDX, 17, "pse36", CPU_BASELINE),
	IN(1_EDX, 19, "clflush", CPU_BASELINE),
	IN(1_EDX, 21, "dts", 0),
	IN(1_EDX, 22, "acpi", 0),
	IN_BOTH(1_EDX, 23, X1_EDX, 23, "mmx", CPU_BASELINE),
	IN_BOTH(1_EDX, 24, X1_EDX, 24, "fxsr", CPU_NEEDED | CPU_BASELINE),
	IN(1_EDX, 25, "sse", CPU_NEEDED | CPU_BASELINE),
	IN(1_EDX, 26, "sse2", CPU_NEEDED | CPU_BASELINE),
	IN(1_EDX, 27, "ss", 0),
	IN(1_EDX, 29, "tm", 0),
	IN(1_EDX, 31, "pbe", 0),
	IN(1_ECX, 0, "pni", CPU_BASELINE),
	IN(1_ECX, 1, "pclmulqdq", CPU_BASELINE),
	IN(1_ECX, 2, "dtes64", 0),
	IN(1_ECX, 3, "monitor", 0),
	IN(1_ECX, 4, "ds_cpl", 0),
	IN(1_ECX, 5, "vmx", 0),
	IN(1_ECX, 7, "est", 0),
	IN(1_ECX, 8, "tm2", 0),
	IN(1_ECX, 9, "ssse3", CPU_BASELINE),
	IN(1_ECX, 12, "fma", 0),
	IN(1_ECX, 13, "cx16", CPU_BASELINE),
	IN(1_ECX, 15, "pdcm", 0),
	IN(1_ECX, 17, "pcid", 0),
	IN(1_ECX, 19, "sse4_1", CPU_BASELINE),
	IN(1_ECX, 20, "sse4_2", CPU_BASELINE),
	IN(1_ECX, 21, "x2apic", CPU_NEEDED | CPU_KEPT),
	IN(1_ECX, 22, "movbe", 0),
	IN(1_ECX, 23, "popcnt", CPU_BASELINE),
	IN(1_ECX, 24, "tsc_deadline_timer", CPU_KEPT),
	IN(1_ECX, 25, "aes", CPU_BASELINE),
	IN(1_ECX, 26, "xsave", 0),
	IN(1_ECX, 28, "avx", 0),
	IN(1_ECX, 29, "f16c", 0),
	IN(1_ECX, 30, "rdrand", 0),
	IN(6_EAX, 2, "arat", CPU_KEPT),
	IN(7_EBX, 0, "fsgsbase", 0),
	IN(7_EBX, 1, "tsc_adjust", CPU_KEPT),
	IN(7_EBX, 2, "sgx", 0),
	IN(7_EBX, 3, "bmi1", 0),
	IN(7_EBX, 4, "hle", 0),
	IN(7_EBX, 5, "avx2", 0),
	IN(7_EBX, 7, "smep", 0),
	IN(7_EBX, 8, "bmi2", 0),
	IN(7_EBX, 9, "erms", 0),
	IN(7_EBX, 10, "invpcid", 0),
	IN(7_EBX, 11, "rtm", 0),
	IN(7_EBX, 14, "mpx", 0),
	IN(7_EBX, 16, "avx512f", 0),
	IN(7_EBX, 17, "avx512dq", 0),
	IN(7_EBX, 18, "rdseed", 0),
	IN(7_EBX, 19, "adx", 0),
	IN(7_EBX, 20, "smap", 0),
	IN(7_EBX, 21, "avx512ifma", 0),
	IN(7_EBX, 23, "clflushopt", 0),
	IN(7_EBX, 24, "clwb", 0),
	IN(7_EBX, 25, "intel_pt", 0),
	IN(7_EBX, 26, "avx512pf", 0),
	IN(7_EBX, 27, "avx512er", 0),
	IN(7_EBX, 28, "avx512cd", 0),
	IN(7_EBX, 29, "sha_ni", 0),
	IN(7_EBX, 30, "avx512bw", 0),
	IN(7_EBX, 31, "avx512vl", 0),
	IN(7_ECX, 1, "avx512vbmi", 0),
	IN(7_ECX, 2, "umip", 0),
	IN(7_ECX, 3, "pku", 0),
	IN(7_ECX, 5, "waitpkg", 0),
	IN(7_ECX, 6, "avx512_vbmi2", 0),
	IN(7_ECX, 7, "shstk", 0),
	IN(7_ECX, 8, "gfni", 0),
	IN(7_ECX, 9, "vaes", 0),
	IN(7_ECX, 10, "vpclmulqdq", 0),
	IN(7_ECX, 11, "avx512_vnni", 0),
	IN(7_ECX, 12, "avx512_bitalg", 0),
	IN(7_ECX, 14, "avx512_vpopcntdq", 0),
	IN(7_ECX, 16, "la57", 0),
	IN(7_ECX, 22, "rdpid", 0),
	IN(7_ECX, 24, "bus_lock_detect", 0),
	IN(7_ECX, 25, "cldemote", 0),
	IN(7_ECX, 27, "movdiri", 0),
	IN(7_ECX, 28, "movdir64b", 0),
	IN(7_ECX, 29, "enqcmd", 0),
	IN(7_ECX, 30, "sgx_lc", 0),
	IN(7_EDX, 2, "avx512_4vnniw", 0),
	IN(7_EDX, 3, "avx512_4fmaps", 0),
	IN(7_EDX, 4, "fsrm", 0),
	IN(7_EDX, 8, "avx512_vp2intersect", 0),
	IN(7_EDX, 10, "md_clear", CPU_KEPT),
	IN(7_EDX, 11, "rtm_always_abort", 0),
	IN(7_EDX, 14, "serialize", 0),
	IN(7_EDX, 16, "tsxldtrk", 0),
	IN(7_EDX, 19, "arch_lbr", 0),
	IN(7_EDX, 20, "ibt", 0),
	IN(7_EDX, 22, "amx_bf16", 0),
	IN(7_EDX, 23, "avx512_fp16", 0),
	IN(7_EDX, 24, "amx_tile", 0),
	IN(7_EDX, 25, "amx_int8", 0),
	IN_BOTH(7_EDX, 26, X8_EBX, 14, "ibrs", CPU_KEPT),
	IN_BOTH(7_EDX, 27, X8_EBX, 15, "stibp", CPU_KEPT),
	IN(7_EDX, 28, "flush_l1d", 0),
	IN(7_EDX, 29, "arch_capabilities", 0),
	IN(7_EDX, 30, "core_capabilities", 0),
	IN_BOTH(7_EDX, 31, X8_EBX, 24, "ssbd", CPU_KEPT),
	IN(71_EAX, 0, "sha512", 0),
	IN(71_EAX, 1, "sm3", 0),
	IN(71_EAX, 2, "sm4", 0),
	IN(71_EAX, 4, "avx_vnni", 0),
	IN(71_EAX, 5, "avx512_bf16", 0),
	IN(71_EAX, 7, "cmpccxadd", 0),
	IN(71_EAX, 10, "fzrm", 0),
	IN(71_EAX, 11, "fsrs", 0),
	IN(71_EAX, 12, "fsrc", 0),
	IN(71_EAX, 17, "fred", 0),
	IN(71_EAX, 18, "lkgs", 0),
	IN(71_EAX, 19, "wrmsrns", 0),
	IN(71_EAX, 21, "amx_fp16", 0),
	IN(71_EAX, 23, "avx_ifma", 0),
	IN(71_EAX, 26, "lam", 0),
	IN(71_EDX, 4, "avx_vnni_int8", 0),
	IN(71_EDX, 5, "avx_ne_convert", 0),
	IN(71_EDX, 8, "amx_complex", 0),
	IN(71_EDX, 10, "avx_vnni_int16", 0),
	IN(71_EDX, 14, "prefetchiti", 0),
	IN(72_EDX, 0, "intel_psfd", 0),
	IN(72_EDX, 1, "ipred_ctrl", 0),
	IN(72_EDX, 2, "rrsba_ctrl", 0),
	IN(72_EDX, 3, "ddpd_u", 0),
	IN(72_EDX, 4, "bhi_ctrl", 0),
	IN(72_EDX, 5, "mcdt_no", 0),
	IN(D1_EAX, 0, "xsaveopt", 0),
	IN(D1_EAX, 1, "xsavec", 0),
	IN(D1_EAX, 2, "xgetbv1", 0),
	IN(D1_EAX, 3, "xsaves", 0),
	IN(D1_EAX, 4, "xfd", 0),
	IN(X1_ECX, 0, "lahf_lm", CPU_BASELINE),
	IN(X1_ECX, 2, "svm", 0),
	IN(X1_ECX, 3, "extapic", 0),
	IN(X1_ECX, 4, "cr8_legacy", 0),
	IN(X1_ECX, 5, "abm", 0),
	IN(X1_ECX, 6, "sse4a", 0),
	IN(X1_ECX, 7, "misalignsse", 0),
	IN(X1_ECX, 8, "3dnowprefetch", 0),
	IN(X1_ECX, 9, "osvw", 0),
	IN(X1_ECX, 11, "xop", 0),
	IN(X1_ECX, 16, "fma4", 0),
	IN(X1_ECX, 17, "tce", 0),
	IN(X1_ECX, 21, "tbm", 0),
	IN(X1_ECX, 22, "topoext", CPU_KEPT),
	IN(X1_ECX, 23, "perfctr_core", 0),
	IN(X1_ECX, 24, "perfctr_nb", 0),
	IN(X1_ECX, 26, "bpext", 0),
	IN(X1_ECX, 28, "perfctr_llc", 0),
	IN(X1_ECX, 29, "mwaitx", 0),
	IN(X1_EDX, 11, "syscall", CPU_NEEDED | CPU_BASELINE),
	IN(X1_EDX, 20, "nx", CPU_BASELINE),
	IN(X1_EDX, 22, "mmxext", 0),
	IN(X1_EDX, 25, "fxsr_opt", 0),
	IN(X1_EDX, 26, "pdpe1gb", 0),
	IN(X1_EDX, 27, "rdtscp", CPU_BASELINE),
	IN(X1_EDX, 29, "lm", CPU_NEEDED | CPU_BASELINE),
	IN(X1_EDX, 30, "3dnowext", 0),
	IN(X1_EDX, 31, "3dnow", 0),
	IN(X7_EDX, 8, "nonstop_tsc", CPU_KEPT),
	IN(X8_EBX, 0, "clzero", 0),
	IN(X8_EBX, 1, "irperf", 0),
	IN(X8_EBX, 2, "xsaveerptr", 0),
	IN(X8_EBX, 4, "rdpru", 0),
	IN(X8_EBX, 9, "wbnoinvd", 0),
	IN(X8_EBX, 12, "ibpb", CPU_KEPT),
	IN(X8_EBX, 25, "virt_ssbd", CPU_KEPT),
	IN(X8_EBX, 26, "amd_ssb_no", 0),
	IN(X8_EBX, 27, "cppc", 0),
	IN(X8_EBX, 28, "amd_psfd", CPU_KEPT),
	IN(X8_EBX, 29, "btc_no", 0),
	IN(X21_EAX, 6, "null_sel_clr_base", 0),
	IN(X21_EAX, 8, "autoibrs", CPU_KEPT),
};

const size_t cpu_feature_count = ARRAY_SIZE(cpu_features);
_Static_assert(ARRAY_SIZE(cpu_features) <= CPU_FEATURES_MAX, "a set has room for all");

/* What builds on what. */
static const struct {
	const char *basis, *feature;
} dependencies[] = {
	{ "xsave", "avx" },
	{ "xsave", "xsaveopt" },
	{ "xsave", "xsavec" },
	{ "xsave", "xgetbv1" },
	{ "xsave", "pku" },
	{ "xsave", "mpx" },
	{ "xsave", "amx_tile" },
	{ "xsave", "xsaveerptr" },
	{ "xsavec", "xsaves" },
	{ "xsaves", "shstk" },
	{ "xsaves", "ibt" },
	{ "xsaves", "enqcmd" },
	{ "xsaves", "xfd" },
	{ "xsaves", "arch_lbr" },
	{ "xfd", "amx_tile" },
	{ "avx", "avx2" },
	{ "avx", "fma" },
	{ "avx", "f16c" },
	{ "avx", "xop" },
	{ "avx", "fma4" },
	{ "avx", "vaes" },
	{ "avx", "vpclmulqdq" },
	{ "avx2", "avx512f" },
	{ "avx2", "avx_vnni" },
	{ "avx2", "avx_ifma" },
	{ "avx2", "avx_vnni_int8" },
	{ "avx2", "avx_vnni_int16" },
	{ "avx2", "avx_ne_convert" },
	{ "avx2", "sha512" },
	{ "avx2", "sm3" },
	{ "avx2", "sm4" },
	{ "f16c", "avx512f" },
	{ "fma", "avx512f" },
	{ "avx512f", "avx512dq" },
	{ "avx512f", "avx512cd" },
	{ "avx512f", "avx512bw" },
	{ "avx512f", "avx512vl" },
	{ "avx512f", "avx512ifma" },
	{ "avx512f", "avx512pf" },
	{ "avx512f", "avx512er" },
	{ "avx512f", "avx512_4vnniw" },
	{ "avx512f", "avx512_4fmaps" },
	{ "avx512f", "avx512_vpopcntdq" },
	{ "avx512f", "avx512_vp2intersect" },
	{ "avx512bw", "avx512vbmi" },
	{ "avx512bw", "avx512_vbmi2" },
	{ "avx512bw", "avx512_bitalg" },
	{ "avx512bw", "avx512_fp16" },
	{ "avx512bw", "avx512_bf16" },
	{ "avx512vl", "avx512_vnni" },
	{ "avx512vl", "avx512_fp16" },
	{ "avx512vl", "avx512_bf16" },
	{ "amx_tile", "amx_int8" },
	{ "amx_tile", "amx_bf16" },
	{ "amx_tile", "amx_fp16" },
	{ "amx_tile", "amx_complex" },
	{ "pni", "ssse3" },
	{ "pni", "sse4a" },
	{ "ssse3", "sse4_1" },
	{ "sse4_1", "sse4_2" },
	{ "sse4_2", "avx" },
	{ "aes", "vaes" },
	{ "pclmulqdq", "vpclmulqdq" },
	{ "mmx", "3dnow" },
	{ "mmx", "mmxext" },
	{ "3dnow", "3dnowext" },
	{ "pcid", "invpcid" },
	{ "sgx", "sgx_lc" },
	{ "rtm", "tsxldtrk" },
};

#define NEAR_MAX 3

int cpu_feature_find(const char *name)
{
	for (size_t i = 0; i < cpu_feature_count; i++)
		if (strcmp(cpu_features[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Adds the feature if its basis is in the set and it is not. Return: whether it did. */
static bool set_follow(struct cpu_feature_set *set, const char *basis, const char *feature)
{
	size_t from = (size_t)cpu_feature_find(basis), to = (size_t)cpu_feature_find(feature);

	if (!cpu_feature_set_has(set, from) || cpu_feature_set_has(set, to))
		return false;
	cpu_feature_set_add(set, to);
	return true;
}

void cpu_feature_set_close(struct cpu_feature_set *set)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++)
			more |= set_follow(set, dependencies[i].basis, dependencies[i].feature);
	}
}

/*
 * How many characters have to be added, dropped or changed to make one name of another
 * (Levenshtein's distance). Names that are no longer than CPU_FEATURE_NAME_MAX.
 */
static unsigned name_distance(const char *a, const char *b)
{
	unsigned row[CPU_FEATURE_NAME_MAX + 1];
	size_t columns = strlen(b);

	for (unsigned j = 0; j <= columns; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < columns; j++) {
			unsigned change = diagonal + (a[i] != b[j]);
			unsigned add_or_drop = MIN(row[j], row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = MIN(change, add_or_drop);
		}
	}
	return row[columns];
}

void cpu_feature_near(const char *name, char *buffer, size_t size)
{
	unsigned least = NEAR_MAX + 1;
	size_t used = 0;

	buffer[0] = '\0';
	if (strlen(name) >= CPU_FEATURE_NAME_MAX)
		return;
	for (size_t i = 0; i < cpu_feature_count; i++)
		least = MIN(least, name_distance(name, cpu_features[i].name));
	/* Nothing is like a name of which hardly a letter is left. */
	if (least > NEAR_MAX || least >= strlen(name))
		return;
	for (size_t i = 0; i < cpu_feature_count && used < size; i++)
		if (name_distance(name, cpu_features[i].name) == least)
			used += (size_t)snprintf(buffer + used, size - used, "%s%s",
						 used > 0 ? ", " : "", cpu_features[i].name);
}

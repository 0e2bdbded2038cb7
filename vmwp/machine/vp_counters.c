/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is counted of virtual processors. */
#include "vmwp/machine/vp_counters.h"

static const char *const exit_names[] = {
	[VID_EXIT_IO_PORT] = "io-port",     [VID_EXIT_MMIO] = "mmio",
	[VID_EXIT_MSR_READ] = "msr-read",   [VID_EXIT_MSR_WRITE] = "msr-write",
	[VID_EXIT_HYPERCALL] = "hypercall", [VID_EXIT_SYNIC] = "synic",
	[VID_EXIT_HALT] = "halt",           [VID_EXIT_SHUTDOWN] = "shutdown",
	[VID_EXIT_KICK] = "kick",           [VID_EXIT_ERROR] = "error",
};

_Static_assert(ARRAY_SIZE(exit_names) == VID_EXIT_KINDS, "every kind has a name");

static const char *const kernel_exit_names[] = {
	[VID_KERNEL_EXIT_ALL] = "all",
	[VID_KERNEL_EXIT_HALT] = "halt",
	[VID_KERNEL_EXIT_INTERRUPT] = "interrupt",
	[VID_KERNEL_EXIT_INTERRUPT_WINDOW] = "interrupt-window",
	[VID_KERNEL_EXIT_IO] = "io-port",
	[VID_KERNEL_EXIT_MMIO] = "mmio",
	[VID_KERNEL_EXIT_HYPERCALL] = "hypercall",
	[VID_KERNEL_EXIT_SIGNAL] = "signal",
};

_Static_assert(ARRAY_SIZE(kernel_exit_names) == VID_KERNEL_EXITS, "every kind has a name");

static struct json_object *report_counts(const uint64_t *counts, const char *const *names,
					 size_t count)
{
	struct json_object *report = json_object_new_object();

	for (size_t i = 0; i < count; i++)
		json_add(&report, names[i], json_object_new_uint64(counts[i]));
	return report;
}

static void add_counts(const uint64_t *exits, const uint64_t *kernel_exits,
		       struct json_object **tree)
{
	json_add(tree, "exits", report_counts(exits, exit_names, VID_EXIT_KINDS));
	json_add(tree, "kernel_exits",
		 report_counts(kernel_exits, kernel_exit_names, VID_KERNEL_EXITS));
}

void vp_counters_add(const struct vid_vp *vp, struct json_object **tree)
{
	uint64_t exits[VID_EXIT_KINDS], kernel_exits[VID_KERNEL_EXITS];

	for (unsigned kind = 0; kind < VID_EXIT_KINDS; kind++)
		exits[kind] = vid_vp_exits(vp, kind);
	vid_vp_kernel_exits(vp, kernel_exits);
	add_counts(exits, kernel_exits, tree);
}

void vp_counters_add_sum(const struct power_cycle_counters *sum, struct json_object **tree)
{
	add_counts(sum->exits, sum->kernel_exits, tree);
}

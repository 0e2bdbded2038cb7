/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers of a vp, as they are shown: by tables of their names. */
#include "vmwp/machine/vp_registers.h"

#include <stddef.h>

/* ---- Numbers of 64 bits ---- */

struct number {
	const char *name;
	size_t offset; /* in struct vp_registers */
};

#define GENERAL(name)                                              \
	{                                                          \
#name, offsetof(struct vp_registers, general.name) \
	}
#define CONTROL(name)                                             \
	{                                                         \
#name, offsetof(struct vp_registers, system.name) \
	}

static const struct number general[] = {
	GENERAL(rip), GENERAL(rflags), GENERAL(rax), GENERAL(rbx), GENERAL(rcx), GENERAL(rdx),
	GENERAL(rsi), GENERAL(rdi),    GENERAL(rsp), GENERAL(rbp), GENERAL(r8),  GENERAL(r9),
	GENERAL(r10), GENERAL(r11),    GENERAL(r12), GENERAL(r13), GENERAL(r14), GENERAL(r15),
};

static const struct number control[] = {
	CONTROL(cr0), CONTROL(cr2),  CONTROL(cr3),       CONTROL(cr4),
	CONTROL(cr8), CONTROL(efer), CONTROL(apic_base),
};

static struct json_object *make_numbers(const struct vp_registers *registers,
					const struct number *rows, size_t count)
{
	struct json_object *tree = json_object_new_object();

	for (size_t i = 0; i < count; i++) {
		const char *value = (const char *)registers + rows[i].offset;

		json_add(&tree, rows[i].name, json_make_hex(*(const uint64_t *)value));
	}
	return tree;
}

/* ---- Segments and tables ---- */

static const struct {
	const char *name;
	size_t offset; /* in struct vid_system_registers */
} segments[] = {
	{ "cs", offsetof(struct vid_system_registers, cs) },
	{ "ds", offsetof(struct vid_system_registers, ds) },
	{ "es", offsetof(struct vid_system_registers, es) },
	{ "fs", offsetof(struct vid_system_registers, fs) },
	{ "gs", offsetof(struct vid_system_registers, gs) },
	{ "ss", offsetof(struct vid_system_registers, ss) },
	{ "tr", offsetof(struct vid_system_registers, tr) },
	{ "ldt", offsetof(struct vid_system_registers, ldt) },
};

static struct json_object *make_segments(const struct vid_system_registers *system)
{
	struct json_object *tree = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		const struct vid_segment *segment =
			(const void *)((const char *)system + segments[i].offset);

		json_add(&tree, segments[i].name,
			 json_make("selector", json_make_hex(segment->selector), "base",
				   json_make_hex(segment->base), "limit",
				   json_make_hex(segment->limit), "attributes",
				   json_make_hex(segment->attributes), NULL));
	}
	return tree;
}

static struct json_object *make_table(uint64_t base, uint16_t limit)
{
	return json_make("base", json_make_hex(base), "limit", json_make_hex(limit), NULL);
}

void vp_registers_add(const struct vp_registers *registers, struct json_object **tree)
{
	const struct vid_system_registers *system = &registers->system;

	json_add(tree, "registers", make_numbers(registers, general, ARRAY_SIZE(general)));
	json_add(tree, "segments", make_segments(system));
	json_add(tree, "tables",
		 json_make("gdt", make_table(system->gdt_base, system->gdt_limit), "idt",
			   make_table(system->idt_base, system->idt_limit), NULL));
	json_add(tree, "control", make_numbers(registers, control, ARRAY_SIZE(control)));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state in which a boot protocol wants the first vp: flat segments, interrupts off, and either
 * long mode on identity page tables for the first 4 GiB (64-bit Linux), or protected mode without
 * paging (32-bit Linux, PVH). Sources: Linux Documentation/arch/x86/boot.rst ("64-bit boot
 * protocol": CS 0x10, DS 0x18); Xen docs/misc/pvh.
 */
#include "vmwp/boot/boot.h"

#include <errno.h>
#include <string.h>

#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define TASK_SELECTOR 0x20

/* Attributes as in struct vid_segment. */
#define CODE_64     0xa9b
#define CODE_32     0xc9b
#define DATA        0xc93
#define TASK        0x08b
#define GRANULARITY 0x800 /* the limit counts pages */

#define CR0_PE   0x1u
#define CR0_ET   0x10u
#define CR0_PG   0x80000000u
#define CR4_PAE  0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

#define PAGE_PRESENT  0x1u
#define PAGE_WRITABLE 0x2u
#define PAGE_HUGE     0x80u

#define TABLE_ENTRIES 512u
#define MAPPED_GIB    4u

/* PML4, PDPT, and a page directory for each GiB. */
static int boot_write_page_tables(struct vid_memory *memory)
{
	size_t size = (2 + MAPPED_GIB) * HV_PAGE_SIZE;
	uint64_t *tables = vid_memory_map(memory, GPA(LAYOUT_PAGE_TABLES), size);
	uint64_t *directories = tables + 2 * TABLE_ENTRIES;

	if (!tables)
		return -EINVAL;
	memset(tables, 0, 2 * HV_PAGE_SIZE);
	tables[0] = (LAYOUT_PAGE_TABLES + HV_PAGE_SIZE) | PAGE_PRESENT | PAGE_WRITABLE;
	for (unsigned i = 0; i < MAPPED_GIB; i++)
		tables[TABLE_ENTRIES + i] = (LAYOUT_PAGE_TABLES + (2 + i) * HV_PAGE_SIZE) |
					    PAGE_PRESENT | PAGE_WRITABLE;
	for (uint64_t i = 0; i < MAPPED_GIB * TABLE_ENTRIES; i++)
		directories[i] = i << 21 | PAGE_PRESENT | PAGE_WRITABLE | PAGE_HUGE;
	vid_memory_mark_written(memory, GPA(LAYOUT_PAGE_TABLES), size);
	return 0;
}

/* An 8-byte descriptor. SDM 3.4.5. */
static uint64_t boot_descriptor(const struct vid_segment *segment)
{
	uint64_t limit = segment->attributes & GRANULARITY ? segment->limit >> 12 : segment->limit;

	return (limit & 0xffff) | (segment->base & 0xffffff) << 16 |
	       (uint64_t)(segment->attributes & 0xff) << 40 | (limit >> 16 & 0xf) << 48 |
	       (uint64_t)(segment->attributes >> 8) << 52 | (segment->base >> 24 & 0xff) << 56;
}

static int boot_write_gdt(struct vid_memory *memory, const struct vid_system_registers *system)
{
	const uint64_t gdt[] = {
		0,
		0,
		boot_descriptor(&system->cs),
		boot_descriptor(&system->ds),
		boot_descriptor(&system->tr),
		0, /* upper half of the task segment in long mode */
	};
	void *target = vid_memory_map(memory, GPA(LAYOUT_GDT), sizeof(gdt));

	if (!target)
		return -EINVAL;
	memcpy(target, gdt, sizeof(gdt));
	vid_memory_mark_written(memory, GPA(LAYOUT_GDT), sizeof(gdt));
	return 0;
}

static void boot_fill_system(const struct boot_entry *entry, struct vid_system_registers *system)
{
	struct vid_segment data = { .limit = UINT32_MAX,
				    .selector = DATA_SELECTOR,
				    .attributes = DATA };

	system->cs = (struct vid_segment){ .limit = UINT32_MAX,
					   .selector = CODE_SELECTOR,
					   .attributes = entry->long_mode ? CODE_64 : CODE_32 };
	system->ds = system->es = system->fs = system->gs = system->ss = data;
	system->tr = (struct vid_segment){ .limit = 0x67,
					   .selector = TASK_SELECTOR,
					   .attributes = TASK };
	system->gdt_base = LAYOUT_GDT;
	system->gdt_limit = 6 * 8 - 1;
	system->idt_base = 0;
	system->idt_limit = 0;
	system->cr0 = CR0_PE | CR0_ET;
	system->cr4 = 0;
	system->efer = 0;
	if (!entry->long_mode)
		return;
	system->cr0 |= CR0_PG;
	system->cr3 = LAYOUT_PAGE_TABLES;
	system->cr4 = CR4_PAE;
	system->efer = EFER_LME | EFER_LMA;
}

int boot_start_vp(const struct boot_entry *entry, struct vid_memory *memory, struct vid_vp *vp)
{
	const struct vid_registers registers = {
		.rip = entry->rip,
		.rsi = entry->rsi,
		.rbx = entry->rbx,
		.rflags = 0x2, /* always set */
	};
	struct vid_system_registers system;
	int r;

	r = vid_vp_get_system(vp, &system);
	if (r < 0)
		return r;
	boot_fill_system(entry, &system);
	r = boot_write_gdt(memory, &system);
	if (r < 0)
		return r;
	if (entry->long_mode) {
		r = boot_write_page_tables(memory);
		if (r < 0)
			return r;
	}
	r = vid_vp_set_system(vp, &system);
	if (r < 0)
		return r;
	return vid_vp_set_registers(vp, &registers);
}

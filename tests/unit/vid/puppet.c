/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The puppet guest, seen from the host. */
#include "tests/unit/vid/puppet.h"
#include "tests/fake/watched_memory.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In programs that watch what the host writes, the guest has a mapping of its own. */
#pragma weak watched_memory_guest

#define CODE        0x1000u
#define GDT         0x2000u
#define IDT         0x3000u
#define TSS         0x4000u /* and an I/O permission bitmap of 8193 bytes */
#define STACK       0x9000u /* grows down; the counter is above */
#define FAULT_STACK 0xf000u
#define PML4        0x10000u
#define PDPT        0x11000u
#define PD          0x12000u /* four of them */
#define USER_STACK  0xe000u

#define CODE_SELECTOR      0x08u
#define DATA_SELECTOR      0x10u
#define TSS_SELECTOR       0x18u
#define USER_DATA_SELECTOR 0x2bu
#define USER_CODE_SELECTOR 0x33u

#define PORT_DONE  0x10u
#define PORT_FAULT 0x11u

#define PAGE_PRESENT_WRITE_USER 7u
#define PAGE_HUGE               0x80u

/* Access byte and flags, as in struct vid_segment. */
#define ATTRIBUTES_CODE      0xa9bu
#define ATTRIBUTES_CODE_32   0xc9bu
#define ATTRIBUTES_DATA      0xc93u
#define ATTRIBUTES_TSS       0x08bu
#define ATTRIBUTES_USER_CODE 0xafbu
#define ATTRIBUTES_USER_DATA 0xcf3u

#define CR0_PE   (UINT64_C(1) << 0)
#define CR0_NE   (UINT64_C(1) << 5)
#define CR0_PG   (UINT64_C(1) << 31)
#define CR4_PAE  (UINT64_C(1) << 5)
#define EFER_LME (UINT64_C(1) << 8)
#define EFER_LMA (UINT64_C(1) << 10)

bool puppet_open(struct puppet *puppet)
{
	*puppet = (struct puppet){ 0 };
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		print_message("no KVM here: %s\n", strerror(errno));
		return false;
	}
	assert_int_equal(vid_open(-1, &puppet->vid), 0);
	return true;
}

void puppet_make(struct puppet *puppet, struct vid_partition_config *config)
{
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = PUPPET_RAM };

	assert_int_equal(vid_memory_new(&puppet->memory), 0);
	assert_int_equal(vid_memory_add(puppet->memory, ram, VID_MEMORY_TRANSPARENT_HUGE, false),
			 0);
	config->memory = puppet->memory;
	assert_int_equal(vid_partition_new(puppet->vid, config, &puppet->partition), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 0, 0, &puppet->vp), 0);
}

void puppet_set_cpuid(struct puppet *puppet)
{
	struct vid_cpuid cpuid;

	assert_int_equal(vid_cpuid_supported(puppet->vid, &cpuid), 0);
	assert_int_equal(vid_vp_set_cpuid(puppet->vp, &cpuid), 0);
}

void *puppet_memory(struct puppet *puppet, uint64_t address)
{
	void *memory = watched_memory_guest ? watched_memory_guest(puppet->memory, GPA(address), 1)
					    : vid_memory_map(puppet->memory, GPA(address), 1);

	assert_non_null(memory);
	return memory;
}

uint32_t puppet_counter(struct puppet *puppet)
{
	return *(volatile uint32_t *)puppet_memory(puppet, PUPPET_COUNTER);
}

static void put_page_tables(struct puppet *puppet)
{
	uint64_t *pml4 = puppet_memory(puppet, PML4), *pdpt = puppet_memory(puppet, PDPT);
	uint64_t *pd = puppet_memory(puppet, PD);

	pml4[0] = PDPT | PAGE_PRESENT_WRITE_USER;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (PD + i * HV_PAGE_SIZE) | PAGE_PRESENT_WRITE_USER;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PAGE_PRESENT_WRITE_USER | PAGE_HUGE;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint16_t attributes)
{
	return (uint64_t)(base & 0xff000000) << 32 | (uint64_t)(attributes >> 8) << 52 |
	       (uint64_t)(limit & 0xf0000) << 32 | (uint64_t)(attributes & 0xff) << 40 |
	       (uint64_t)(base & 0xffffff) << 16 | (limit & 0xffff);
}

static void put_gdt(struct puppet *puppet)
{
	uint64_t *gdt = puppet_memory(puppet, GDT);

	gdt[CODE_SELECTOR / 8] = descriptor(0, 0xfffff, ATTRIBUTES_CODE);
	gdt[DATA_SELECTOR / 8] = descriptor(0, 0xfffff, ATTRIBUTES_DATA);
	gdt[TSS_SELECTOR / 8] = descriptor(TSS, 0x67 + 8193, ATTRIBUTES_TSS);
	gdt[USER_DATA_SELECTOR / 8] = descriptor(0, 0xfffff, ATTRIBUTES_USER_DATA);
	gdt[USER_CODE_SELECTOR / 8] = descriptor(0, 0xfffff, ATTRIBUTES_USER_CODE);
}

/* RSP0, and an I/O permission bitmap that permits everything. */
static void put_tss(struct puppet *puppet)
{
	uint8_t *tss = puppet_memory(puppet, TSS);
	uint64_t stack = FAULT_STACK;

	memset(tss, 0, 0x68 + 8193);
	memcpy(tss + 4, &stack, sizeof(stack));
	tss[0x66] = 0x68;
	tss[0x68 + 8192] = 0xff;
}

static uint64_t routine_address(const uint8_t *routine)
{
	return CODE + (uint64_t)(routine - puppet_code);
}

static void put_gate(struct puppet *puppet, unsigned vector, const uint8_t *handler)
{
	uint64_t *gate = (uint64_t *)puppet_memory(puppet, IDT) + 2 * vector;
	uint64_t address = routine_address(handler);

	gate[0] = (address & 0xffff) | CODE_SELECTOR << 16 | UINT64_C(0x8e00) << 32 |
		  (address & 0xffff0000) << 32;
	gate[1] = address >> 32;
}

static void put_idt(struct puppet *puppet)
{
	put_gate(puppet, 2, puppet_interrupt);
	put_gate(puppet, 6, puppet_fault_ud);
	put_gate(puppet, 13, puppet_fault_gp);
	put_gate(puppet, 14, puppet_fault_pf);
	for (unsigned vector = 32; vector < 256; vector++)
		put_gate(puppet, vector, puppet_interrupt);
	for (unsigned vector = PUPPET_UNENDED; vector < PUPPET_UNENDED_END; vector++)
		put_gate(puppet, vector, puppet_interrupt_unended);
}

static struct vid_segment segment(uint16_t selector, uint16_t attributes)
{
	return (struct vid_segment){
		.limit = UINT32_MAX,
		.selector = selector,
		.attributes = attributes,
	};
}

void puppet_start(struct puppet *puppet)
{
	struct vid_system_registers system;

	memcpy(puppet_memory(puppet, CODE), puppet_code, (size_t)(puppet_code_end - puppet_code));
	memcpy(puppet_memory(puppet, PUPPET_AP_PAGE), puppet_ap,
	       (size_t)(puppet_code_end - puppet_ap));
	put_page_tables(puppet);
	put_gdt(puppet);
	put_tss(puppet);
	put_idt(puppet);
	assert_int_equal(vid_vp_get_system(puppet->vp, &system), 0);
	system.cs = segment(CODE_SELECTOR, ATTRIBUTES_CODE);
	system.ds = system.es = system.fs = system.gs = system.ss =
		segment(DATA_SELECTOR, ATTRIBUTES_DATA);
	system.tr = (struct vid_segment){ .base = TSS,
					  .limit = 0x67 + 8193,
					  .selector = TSS_SELECTOR,
					  .attributes = ATTRIBUTES_TSS };
	system.gdt_base = GDT;
	system.gdt_limit = USER_CODE_SELECTOR | 7;
	system.idt_base = IDT;
	system.idt_limit = 256 * 16 - 1;
	system.cr3 = PML4;
	system.cr4 = CR4_PAE;
	system.cr0 = CR0_PE | CR0_NE | CR0_PG;
	system.efer = EFER_LME | EFER_LMA;
	assert_int_equal(vid_vp_set_system(puppet->vp, &system), 0);
}

void puppet_enter_user(struct puppet *puppet)
{
	struct vid_system_registers system;

	assert_int_equal(vid_vp_get_system(puppet->vp, &system), 0);
	system.cs = segment(USER_CODE_SELECTOR, ATTRIBUTES_USER_CODE);
	system.ds = system.es = system.fs = system.gs = system.ss =
		segment(USER_DATA_SELECTOR, ATTRIBUTES_USER_DATA);
	assert_int_equal(vid_vp_set_system(puppet->vp, &system), 0);
}

void puppet_enter_32(struct puppet *puppet)
{
	struct vid_system_registers system;

	assert_int_equal(vid_vp_get_system(puppet->vp, &system), 0);
	system.cs.attributes = ATTRIBUTES_CODE_32;
	assert_int_equal(vid_vp_set_system(puppet->vp, &system), 0);
}

void puppet_close(struct puppet *puppet)
{
	vid_vp_free(puppet->vp);
	vid_partition_free(puppet->partition);
	vid_memory_free(puppet->memory);
	vid_close(puppet->vid);
}

/* An exit's work is finished when the vp runs again: let it, for no time at all. */
static void complete_exit(struct puppet *puppet)
{
	struct vid_exit exit;

	vid_vp_kick(puppet->vp);
	assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
	assert_int_equal(exit.kind, VID_EXIT_KICK);
}

static bool is_port(const struct vid_exit *exit, uint16_t port)
{
	return exit->kind == VID_EXIT_IO_PORT && exit->io.write && exit->io.port == port;
}

void puppet_point(struct puppet *puppet, const uint8_t *routine,
		  const struct vid_registers *registers)
{
	struct vid_registers start = registers ? *registers : (struct vid_registers){ 0 };

	start.rip = routine_address(routine);
	start.rsp = STACK;
	start.rflags = 2;
	assert_int_equal(vid_vp_set_registers(puppet->vp, &start), 0);
}

bool puppet_do(struct puppet *puppet, const uint8_t *routine, const struct vid_registers *registers)
{
	bool done = false;

	puppet_point(puppet, routine, registers);
	puppet->fault = 0;
	for (;;) {
		assert_int_equal(vid_vp_run(puppet->vp, &puppet->last), 0);
		done = is_port(&puppet->last, PORT_DONE);
		if (done || is_port(&puppet->last, PORT_FAULT))
			break;
		if (!puppet->exit || !puppet->exit(puppet, &puppet->last))
			break;
	}
	assert_int_equal(vid_vp_get_registers(puppet->vp, &puppet->registers), 0);
	if (is_port(&puppet->last, PORT_FAULT))
		puppet->fault = (unsigned)puppet->registers.r15;
	if (puppet->last.kind != VID_EXIT_SHUTDOWN && puppet->last.kind != VID_EXIT_ERROR)
		complete_exit(puppet);
	return done;
}

/* ---- Kicked meanwhile ---- */

struct kicker {
	struct vid_vp *vp;
	atomic_bool done;
};

static void *kicker_run(void *data)
{
	const struct timespec delay = { .tv_nsec = 1000000 };
	struct kicker *kicker = data;

	for (;;) {
		nanosleep(&delay, NULL);
		if (atomic_load(&kicker->done))
			return NULL;
		vid_vp_kick(kicker->vp);
	}
}

/* A kick that came too late would end the next run, and so that one is had here. */
bool puppet_do_kicked(struct puppet *puppet, const uint8_t *routine,
		      const struct vid_registers *registers)
{
	struct kicker kicker = { .vp = puppet->vp };
	pthread_t thread;
	bool done;

	assert_int_equal(pthread_create(&thread, NULL, kicker_run, &kicker), 0);
	done = puppet_do(puppet, routine, registers);
	atomic_store(&kicker.done, true);
	pthread_join(thread, NULL);
	complete_exit(puppet);
	return done;
}

void puppet_enable_apic(struct puppet *puppet)
{
	/*
	 * The spurious interrupt register; and LINT0, where the PICs come in, who were not set up.
	 */
	const struct vid_registers writes[] = {
		{ .rdi = 0xfee000f0, .rax = 0x1ff },
		{ .rdi = 0xfee00350, .rax = 0x10000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
		assert_true(puppet_do(puppet, puppet_store, &writes[i]));
}

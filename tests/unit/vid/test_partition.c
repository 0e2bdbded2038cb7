/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partitions and vps on this machine's KVM, with a guest that does as it is told: exits, kicks,
 * interrupts, doorbells, a second vp, dirty tracking, the speed of kernel mode.
 */
#include "tests/unit/vid/puppet_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MSR_FIRST 0x40000000u

static int setup(void **state)
{
	struct vid_partition_config config = {
		.msr_exits = { { .first = MSR_FIRST, .count = 0x1000 } },
	};

	return puppet_setup(state, &config);
}

/* ---- Exits ---- */

struct seen {
	unsigned count;
	struct vid_exit exit;
	uint8_t data[16];
	uint64_t answer;
	bool fault;
};

static bool see_exit(struct puppet *puppet, const struct vid_exit *exit)
{
	struct seen *seen = puppet->data;

	seen->count++;
	seen->exit = *exit;
	switch (exit->kind) {
	case VID_EXIT_IO_PORT:
		memcpy(seen->data, exit->io.data, exit->io.size);
		return true;
	case VID_EXIT_MMIO:
		if (exit->mmio.write)
			memcpy(seen->data, exit->mmio.data, exit->mmio.size);
		else
			memcpy(exit->mmio.data, &seen->answer, exit->mmio.size);
		return true;
	case VID_EXIT_MSR_READ:
	case VID_EXIT_MSR_WRITE:
		if (seen->fault)
			vid_vp_answer_msr_fault(puppet->vp);
		else
			vid_vp_answer_msr(puppet->vp, seen->answer);
		return true;
	default:
		return false;
	}
}

static void test_port_exit(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rax = 0x12345678, .rdx = 0x777 };
	struct seen seen = { 0 };

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_true(puppet_do(puppet, puppet_out, &registers));
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.exit.kind, VID_EXIT_IO_PORT);
	assert_int_equal(seen.exit.io.port, 0x777);
	assert_int_equal(seen.exit.io.size, 4);
	assert_int_equal(seen.exit.io.count, 1);
	assert_true(seen.exit.io.write);
	assert_memory_equal(seen.data, "\x78\x56\x34\x12", 4);
}

static void test_mmio_exit(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rax = 0xcafe0001, .rdi = 0xd0000040 };
	struct seen seen = { .answer = 0x600df00d };

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_true(puppet_do(puppet, puppet_store, &registers));
	assert_int_equal(seen.exit.kind, VID_EXIT_MMIO);
	assert_int_equal(seen.exit.mmio.gpa.value, 0xd0000040);
	assert_int_equal(seen.exit.mmio.size, 4);
	assert_true(seen.exit.mmio.write);
	assert_memory_equal(seen.data, "\x01\x00\xfe\xca", 4);
	assert_true(puppet_do(puppet, puppet_load, &registers));
	assert_false(seen.exit.mmio.write);
	assert_int_equal(puppet->registers.rax, 0x600df00d);
}

static void test_msr_exits(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rcx = MSR_FIRST + 0x83,
					   .rax = 0x55667788,
					   .rdx = 0x11223344 };
	struct seen seen = { .answer = 0xfeedfacecafebeef };

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_true(puppet_do(puppet, puppet_rdmsr, &registers));
	assert_int_equal(seen.exit.kind, VID_EXIT_MSR_READ);
	assert_int_equal(seen.exit.msr.index, MSR_FIRST + 0x83);
	assert_int_equal(puppet->registers.rax, 0xcafebeef);
	assert_int_equal(puppet->registers.rdx, 0xfeedface);
	assert_true(puppet_do(puppet, puppet_wrmsr, &registers));
	assert_int_equal(seen.exit.kind, VID_EXIT_MSR_WRITE);
	assert_int_equal(seen.exit.msr.value, 0x1122334455667788);
	assert_int_equal(seen.count, 2);

	seen.fault = true;
	assert_false(puppet_do(puppet, puppet_rdmsr, &registers));
	assert_int_equal(puppet->fault, 13);
	assert_false(puppet_do(puppet, puppet_wrmsr, &registers));
	assert_int_equal(puppet->fault, 13);
}

static bool ignore_exit(struct puppet *puppet, const struct vid_exit *exit)
{
	return true;
}

static void test_msr_left_unanswered_faults(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rcx = MSR_FIRST };

	puppet->exit = ignore_exit;
	assert_false(puppet_do(puppet, puppet_rdmsr, &registers));
	assert_int_equal(puppet->fault, 13);
}

static void test_triple_fault(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rdi = PUPPET_FREE };

	assert_false(puppet_do(puppet, puppet_shutdown, &registers));
	assert_int_equal(puppet->last.kind, VID_EXIT_SHUTDOWN);
}

static void test_exception_injection(void **state)
{
	struct puppet *puppet = PUPPET(state);

	assert_int_equal(vid_vp_inject_exception(puppet->vp, 6), 0);
	assert_false(puppet_do(puppet, puppet_spin, NULL));
	assert_int_equal(puppet->fault, 6);
}

static void test_cpuid(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rax = 0x40000001 };
	struct vid_cpuid_leaf leaf = {
		.function = 0x40000001, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4
	};
	struct vid_cpuid cpuid;

	assert_int_equal(vid_cpuid_supported(puppet->vid, &cpuid), 0);
	assert_null(vid_cpuid_find(&cpuid, 0x40000000, 0));
	assert_non_null(vid_cpuid_find(&cpuid, 1, 0));
	assert_int_equal(vid_cpuid_set(&cpuid, &leaf), 0);
	assert_int_equal(vid_vp_set_cpuid(puppet->vp, &cpuid), 0);
	assert_true(puppet_do(puppet, puppet_cpuid, &registers));
	assert_int_equal(puppet->registers.rax, 1);
	assert_int_equal(puppet->registers.rbx, 2);
	assert_int_equal(puppet->registers.rcx, 3);
	assert_int_equal(puppet->registers.rdx, 4);
}

static void test_cpuid_table(void **state)
{
	struct vid_cpuid cpuid = { .count = 0 };
	struct vid_cpuid_leaf leaf = { .function = 7, .index = 1, .indexed = true, .eax = 9 };

	assert_null(vid_cpuid_find(&cpuid, 7, 1));
	assert_int_equal(vid_cpuid_set(&cpuid, &leaf), 0);
	leaf.index = 2;
	assert_int_equal(vid_cpuid_set(&cpuid, &leaf), 0);
	leaf.eax = 10;
	assert_int_equal(vid_cpuid_set(&cpuid, &leaf), 0);
	assert_int_equal(cpuid.count, 2);
	assert_int_equal(vid_cpuid_find(&cpuid, 7, 1)->eax, 9);
	assert_int_equal(vid_cpuid_find(&cpuid, 7, 2)->eax, 10);
	assert_null(vid_cpuid_find(&cpuid, 7, 3));
	vid_cpuid_remove(&cpuid, 7);
	assert_int_equal(cpuid.count, 0);
	for (leaf.index = 0; leaf.index < VID_CPUID_MAX; leaf.index++)
		assert_int_equal(vid_cpuid_set(&cpuid, &leaf), 0);
	assert_int_equal(vid_cpuid_set(&cpuid, &leaf), -E2BIG);
}

static void test_registers_round_trip(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_system_registers before, after;
	uint64_t value;

	assert_int_equal(vid_vp_get_system(puppet->vp, &before), 0);
	assert_int_equal(vid_vp_set_system(puppet->vp, &before), 0);
	assert_int_equal(vid_vp_get_system(puppet->vp, &after), 0);
	assert_memory_equal(&before.cs, &after.cs, sizeof(before.cs));
	assert_int_equal(before.cr3, after.cr3);
	assert_int_equal(before.efer, after.efer);
	assert_int_equal(vid_vp_set_msr(puppet->vp, 0x277, 0x0007040600070406), 0);
	assert_int_equal(vid_vp_get_msr(puppet->vp, 0x277, &value), 0);
	assert_int_equal(value, 0x0007040600070406);
	assert_int_equal(vid_vp_get_msr(puppet->vp, 0x12345678, &value), -ENOENT);
	assert_int_equal(vid_vp_set_msr(puppet->vp, 0x12345678, 1), -ENOENT);
}

/* ---- Kicks ---- */

static void test_kick_ends_a_run(void **state)
{
	struct puppet *puppet = PUPPET(state);

	assert_false(puppet_do_kicked(puppet, puppet_spin, NULL));
	assert_int_equal(puppet->last.kind, VID_EXIT_KICK);
}

static void test_kick_before_a_run(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_exit exit;

	vid_vp_kick(puppet->vp);
	vid_vp_kick(puppet->vp);
	assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
	assert_int_equal(exit.kind, VID_EXIT_KICK);
	/* And then it runs. */
	assert_true(puppet_do(puppet, puppet_cpuid, NULL));
}

/* A thousand kicks at every possible moment, none of them lost. */
static void *kick_often(void *data)
{
	struct {
		struct vid_vp *vp;
		_Atomic(unsigned) wanted, seen;
	} *race = data;

	for (unsigned i = 1; i <= 1000; i++) {
		race->wanted = i;
		vid_vp_kick(race->vp);
		while (race->seen < i)
			sched_yield();
	}
	return NULL;
}

static void test_no_kick_is_lost(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct {
		struct vid_vp *vp;
		_Atomic(unsigned) wanted, seen;
	} race = { .vp = puppet->vp };
	pthread_t thread;

	assert_false(!puppet_do(puppet, puppet_cpuid, NULL));
	vid_vp_kick(puppet->vp);
	assert_false(puppet_do(puppet, puppet_spin, NULL));
	pthread_create(&thread, NULL, kick_often, &race);
	while (race.seen < 1000) {
		struct vid_exit exit;

		assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
		assert_int_equal(exit.kind, VID_EXIT_KICK);
		race.seen = race.wanted;
	}
	pthread_join(thread, NULL);
}

/* ---- Interrupts and doorbells ---- */

static void test_interrupt(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_interrupt *interrupt;

	puppet_enable_apic(puppet);
	assert_int_equal(vid_interrupt_new(puppet->partition, false, &interrupt), 0);
	assert_int_equal(vid_interrupt_eoi_fd(interrupt), -1);
	eventfd_write(vid_interrupt_fd(interrupt), 1); /* unrouted: nothing */
	assert_int_equal(vid_interrupt_route_vector(interrupt, 0, 0x50), 0);
	eventfd_write(vid_interrupt_fd(interrupt), 1);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	assert_int_equal(puppet_counter(puppet), 1);
	assert_int_equal(vid_interrupt_route_msi(interrupt, 0xfee00000, 0x51), 0);
	eventfd_write(vid_interrupt_fd(interrupt), 1);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	assert_int_equal(puppet_counter(puppet), 2);
	assert_int_equal(vid_interrupt_unroute(interrupt), 0);
	eventfd_write(vid_interrupt_fd(interrupt), 1);
	vid_interrupt_free(interrupt);
}

static void test_nmi(void **state)
{
	struct puppet *puppet = PUPPET(state);

	assert_int_equal(vid_partition_nmi(puppet->partition, 0), -EAGAIN);
	puppet_enable_apic(puppet);
	assert_int_equal(vid_partition_nmi(puppet->partition, 0), 0);
	/* Not puppet_wait(), which would halt when it is over. */
	for (int i = 0; i < 1000 && puppet_counter(puppet) == 0; i++)
		puppet_enable_apic(puppet);
	assert_int_equal(puppet_counter(puppet), 1);
	assert_int_equal(vid_partition_nmi(puppet->partition, 7), -EAGAIN);
}

static void test_interrupt_with_eoi(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_interrupt *interrupt;

	if (!vid_capabilities(puppet->vid)->irqfd_resample)
		skip();
	assert_int_equal(vid_interrupt_new(puppet->partition, true, &interrupt), 0);
	assert_true(vid_interrupt_eoi_fd(interrupt) >= 0);
	vid_interrupt_free(interrupt);
}

/* Numbers of freed interrupts are used again, and the table takes a thousand. */
static void test_many_interrupts(void **state)
{
	struct puppet *puppet = PUPPET(state);
	static struct vid_interrupt *interrupts[256];

	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(interrupts); i++) {
			assert_int_equal(
				vid_interrupt_new(puppet->partition, false, &interrupts[i]), 0);
			assert_int_equal(vid_interrupt_route_vector(interrupts[i], 0,
								    (uint8_t)(32 + i % 64)),
					 0);
		}
		for (size_t i = 0; i < ARRAY_SIZE(interrupts); i++)
			vid_interrupt_free(interrupts[i]);
	}
}

static void test_ioapic_pin(void **state)
{
	struct puppet *puppet = PUPPET(state);
	/* Redirection entry of pin 4: register 0x18 and 0x19, edge, vector 0x44. */
	const uint32_t writes[][2] = {
		{ 0xfec00000, 0x19 }, { 0xfec00010, 0 }, { 0xfec00000, 0x18 }, { 0xfec00010, 0x44 }
	};

	puppet_enable_apic(puppet);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		struct vid_registers registers = { .rdi = writes[i][0], .rax = writes[i][1] };

		assert_true(puppet_do(puppet, puppet_store, &registers));
	}
	/* A table set for other interrupts has kept the pins. */
	test_many_interrupts(state);
	assert_int_equal(vid_partition_set_pin(puppet->partition, 4, true), 0);
	assert_int_equal(vid_partition_set_pin(puppet->partition, 4, false), 0);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	assert_int_equal(puppet_counter(puppet), 1);
}

static uint64_t event_count(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) == 0 ? count : 0;
}

static void doorbell_case(struct puppet *puppet)
{
	struct vid_registers registers = { .rax = 0x2001, .rdx = 0xe4 };
	struct seen seen = { 0 };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_int_equal(vid_doorbell_add(puppet->partition, 0xe4, 0x2001, fd), 0);
	assert_true(puppet_do(puppet, puppet_out, &registers));
	assert_int_equal(seen.count, 0);
	assert_int_equal(event_count(fd), 1);
	registers.rax = 0x2002; /* another value */
	assert_true(puppet_do(puppet, puppet_out, &registers));
	assert_int_equal(seen.count, 1);
	assert_int_equal(event_count(fd), 0);
	assert_int_equal(vid_doorbell_remove(puppet->partition, 0xe4, 0x2001, fd), 0);
	registers.rax = 0x2001;
	assert_true(puppet_do(puppet, puppet_out, &registers));
	assert_int_equal(seen.count, 2);
	assert_int_equal(event_count(fd), 0);
	close(fd);
}

static void test_doorbell(void **state)
{
	doorbell_case(PUPPET(state));
}

static void test_doorbell_from_user_mode(void **state)
{
	struct puppet *puppet = PUPPET(state);

	puppet_enter_user(puppet);
	doorbell_case(puppet);
}

/* ---- A second vp ---- */

static void *run_ap(void *data)
{
	struct vid_exit exit;

	while (vid_vp_run(data, &exit) == 0 && exit.kind != VID_EXIT_KICK)
		continue;
	return NULL;
}

static void test_second_vp_starts(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers destination = { .rdi = 0xfee00310, .rax = 1u << 24 };
	struct vid_registers init = { .rdi = 0xfee00300, .rax = 0x4500 };
	struct vid_registers sipi = { .rdi = 0xfee00300, .rax = 0x4600 | PUPPET_AP_PAGE >> 12 };
	struct vid_cpuid cpuid;
	struct vid_vp *ap;
	pthread_t thread;

	assert_int_equal(vid_cpuid_supported(puppet->vid, &cpuid), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 1, 1, &ap), 0);
	assert_int_equal(vid_vp_index(ap), 1);
	assert_int_equal(vid_vp_set_cpuid(ap, &cpuid), 0);
	pthread_create(&thread, NULL, run_ap, ap);
	puppet_enable_apic(puppet);
	assert_true(puppet_do(puppet, puppet_store, &destination));
	assert_true(puppet_do(puppet, puppet_store, &init));
	assert_true(puppet_do(puppet, puppet_store, &sipi));
	for (unsigned i = 0; i < 10000 && puppet_counter(puppet) == 0; i++)
		usleep(1000);
	assert_int_equal(puppet_counter(puppet), 1);
	vid_vp_kick(ap);
	pthread_join(thread, NULL);
	vid_vp_free(ap);
}

/* ---- Memory ---- */

static bool page_is_dirty(const uint64_t *bitmap, uint64_t gpa)
{
	return bitmap[gpa / HV_PAGE_SIZE / 64] >> gpa / HV_PAGE_SIZE % 64 & 1;
}

static void test_guest_writes_are_tracked(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_registers registers = { .rdi = PUPPET_FREE, .rcx = 3 };
	uint64_t bitmap[PUPPET_RAM / HV_PAGE_SIZE / 64];

	assert_int_equal(vid_memory_track_dirty(puppet->memory, true), 0);
	assert_true(puppet_do(puppet, puppet_touch, &registers));
	vid_memory_mark_written(puppet->memory, GPA(PUPPET_FREE + 8 * HV_PAGE_SIZE), 1);
	assert_int_equal(vid_memory_read_dirty(puppet->memory, 0, bitmap, ARRAY_SIZE(bitmap)), 0);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(page_is_dirty(bitmap, PUPPET_FREE + i * HV_PAGE_SIZE),
				 i < 3 || i == 8);
	assert_int_equal(vid_memory_read_dirty(puppet->memory, 0, bitmap, ARRAY_SIZE(bitmap)), 0);
	assert_false(page_is_dirty(bitmap, PUPPET_FREE));

	/* What nobody has fetched outlives the partition. */
	assert_true(puppet_do(puppet, puppet_touch, &registers));
	vid_vp_free(puppet->vp);
	vid_partition_free(puppet->partition);
	puppet->vp = NULL;
	puppet->partition = NULL;
	assert_int_equal(vid_memory_read_dirty(puppet->memory, 0, bitmap, ARRAY_SIZE(bitmap)), 0);
	assert_true(page_is_dirty(bitmap, PUPPET_FREE + 2 * HV_PAGE_SIZE));
	assert_false(page_is_dirty(bitmap, PUPPET_FREE + 3 * HV_PAGE_SIZE));
}

static void test_memory_added_to_a_running_guest(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct vid_memory_region more = { .gpa = GPA(0x40000000), .size = 0x200000 };
	struct vid_registers registers = { .rdi = 0x40000000, .rcx = 2 };
	struct seen seen = { 0 };

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_true(puppet_do(puppet, puppet_touch, &registers));
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.exit.kind, VID_EXIT_MMIO);
	assert_int_equal(vid_memory_add(puppet->memory, more, VID_MEMORY_TRANSPARENT_HUGE, true),
			 0);
	assert_true(puppet_do(puppet, puppet_touch, &registers));
	assert_int_equal(seen.count, 2);
	assert_int_equal(*(uint8_t *)puppet_memory(puppet, 0x40001000), 1);
}

/* It reads what the host has put there, and what it writes comes to the host. */
static void test_rom(void **state)
{
	struct puppet *puppet = PUPPET(state);
	static const uint8_t bytes[2 * HV_PAGE_SIZE] = { [0x40] = 7, [0x44] = 9 };
	struct vid_partition_config config = {
		.memory = puppet->memory,
		.rom = { .gpa = GPA(0xd0000000), .bytes = bytes, .size = sizeof(bytes) }
	};
	struct vid_registers registers = { .rdi = 0xd0000000, .rcx = 2 };
	struct seen seen = { 0 };

	vid_vp_free(puppet->vp);
	vid_partition_free(puppet->partition);
	assert_int_equal(vid_partition_new(puppet->vid, &config, &puppet->partition), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 0, 0, &puppet->vp), 0);
	puppet_set_cpuid(puppet);
	puppet_start(puppet);
	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_true(puppet_do(puppet, puppet_touch, &registers));
	assert_int_equal(seen.count, 2); /* writes alone */
	assert_int_equal(seen.exit.kind, VID_EXIT_MMIO);
	assert_int_equal(seen.exit.mmio.gpa.value, 0xd0000000 + HV_PAGE_SIZE);
	assert_true(seen.exit.mmio.write);
	assert_null(vid_memory_map(puppet->memory, GPA(0xd0000000), 1));
}

/* The guest writes a frame buffer where that is now, and nowhere else; it is none of its RAM. */
static void test_vram_moves(void **state)
{
	static const uint64_t places[] = { 0xc0000000, 0xd0000000, 0xd0001000 };
	struct puppet *puppet = PUPPET(state);
	struct vid_vram *vram;
	struct seen seen = { 0 };

	puppet->exit = see_exit;
	puppet->data = &seen;
	assert_int_equal(vid_vram_new(0, &vram), -EINVAL);
	assert_int_equal(vid_vram_new(HV_PAGE_SIZE + 1, &vram), -EINVAL);
	assert_int_equal(vid_vram_new(HV_PAGE_SIZE, &vram), 0);
	assert_int_equal(vid_vram_place(vram, puppet->partition, GPA(0xc0000001)), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct vid_registers store = { .rdi = places[i] + 8, .rax = i + 1 };
		struct vid_registers before = { .rdi = places[i > 0 ? i - 1 : i] };

		assert_int_equal(vid_vram_place(vram, puppet->partition, GPA(places[i])), 0);
		assert_true(puppet_do(puppet, puppet_store, &store));
		assert_int_equal(vid_vram_bytes(vram)[8], i + 1);
		assert_null(vid_memory_map(puppet->memory, GPA(places[i]), 1));
		assert_true(puppet_do(puppet, puppet_load, &before));
		assert_int_equal(seen.count, i);
	}
	vid_vram_remove(vram, puppet->partition);
	assert_true(puppet_do(puppet, puppet_load, &(struct vid_registers){ .rdi = places[2] }));
	assert_int_equal(seen.count, 3);
	vid_vram_remove(vram, puppet->partition);
	vid_vram_free(vram);
}

static void test_rom_of_no_whole_pages(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_partition_config config = {
		.rom = { .gpa = GPA(0xd0000000), .bytes = "x", .size = 1 }
	};
	struct vid_partition *partition;

	assert_int_equal(vid_partition_new(puppet->vid, &config, &partition), -EINVAL);
}

/* The guest after a reset: a new partition on the same memory, which is empty. */
static void test_partition_again_on_the_same_memory(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_partition_config config = { .memory = puppet->memory };
	struct vid_registers registers = { .rdi = PUPPET_FREE, .rcx = 1 };

	assert_true(puppet_do(puppet, puppet_touch, &registers));
	for (unsigned i = 0; i < 3; i++) {
		vid_vp_free(puppet->vp);
		vid_partition_free(puppet->partition);
		assert_int_equal(vid_memory_discard(puppet->memory), 0);
		assert_int_equal(*(uint8_t *)puppet_memory(puppet, PUPPET_FREE), 0);
		config.memory = i == 0 ? NULL : puppet->memory;
		assert_int_equal(vid_partition_new(puppet->vid, &config, &puppet->partition), 0);
		assert_int_equal(vid_memory_attach(puppet->memory, puppet->partition),
				 i == 0 ? 0 : -EINVAL);
		assert_int_equal(vid_vp_new(puppet->partition, 0, 0, &puppet->vp), 0);
		puppet_set_cpuid(puppet);
		puppet_start(puppet);
		assert_true(puppet_do(puppet, puppet_touch, &registers));
	}
}

/* ---- The device ---- */

static void test_time(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_clock first, second;
	uint64_t tsc, offset;

	assert_true(vid_vp_tsc_khz(puppet->vp) > 1000);
	assert_int_equal(vid_vp_tsc(puppet->vp, &tsc), 0);
	assert_int_equal(vid_vp_tsc_offset(puppet->vp, &offset), 0);
	assert_true(__builtin_ia32_rdtsc() + offset >= tsc);
	assert_int_equal(vid_partition_clock(puppet->partition, &first), 0);
	assert_int_equal(vid_partition_clock(puppet->partition, &second), 0);
	assert_true(second.ns >= first.ns);
	assert_true(second.host_tsc >= first.host_tsc);
}

static void test_capabilities(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct vid_capabilities *capabilities = vid_capabilities(puppet->vid);

	assert_int_equal(capabilities->api_version, 12);
	assert_true(capabilities->max_vps > 0);
	assert_true(capabilities->implementation[0] != 0);
	assert_null(vid_missing(puppet->vid, 0));
}

static void test_open_refuses_what_is_not_kvm(void **state)
{
	struct vid *vid = NULL;

	assert_int_equal(vid_open(open("/dev/null", O_RDWR | O_CLOEXEC), &vid), -ENOTTY);
	assert_null(vid);
}

static void test_calibration(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_calibration calibration;

	assert_int_equal(vid_calibrate(puppet->vid, &calibration), 0);
	print_message("kernel mode %.2f ns, host %.2f ns, %s\n", calibration.kernel_mode_ns,
		      calibration.host_ns, calibration.native ? "native" : "emulated");
	assert_true(calibration.host_ns > 0);
	assert_true(calibration.kernel_mode_ns > calibration.host_ns / 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, puppet_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_port_exit),
		TEST(test_mmio_exit),
		TEST(test_msr_exits),
		TEST(test_msr_left_unanswered_faults),
		TEST(test_triple_fault),
		TEST(test_exception_injection),
		TEST(test_cpuid),
		cmocka_unit_test(test_cpuid_table),
		TEST(test_registers_round_trip),
		TEST(test_kick_ends_a_run),
		TEST(test_kick_before_a_run),
		TEST(test_no_kick_is_lost),
		TEST(test_interrupt),
		TEST(test_nmi),
		TEST(test_interrupt_with_eoi),
		TEST(test_many_interrupts),
		TEST(test_ioapic_pin),
		TEST(test_doorbell),
		TEST(test_doorbell_from_user_mode),
		TEST(test_second_vp_starts),
		TEST(test_guest_writes_are_tracked),
		TEST(test_memory_added_to_a_running_guest),
		TEST(test_rom),
		TEST(test_vram_moves),
		TEST(test_rom_of_no_whole_pages),
		TEST(test_partition_again_on_the_same_memory),
		TEST(test_time),
		TEST(test_capabilities),
		cmocka_unit_test(test_open_refuses_what_is_not_kvm),
		TEST(test_calibration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

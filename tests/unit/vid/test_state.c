/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of partitions and vps on this machine's KVM: a guest is saved in the middle of its
 * work, and goes on in another partition around the same memory.
 */
#include "tests/unit/unit.h"
#include "tests/unit/vid/puppet.h"
#include "vid/state.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <x86intrin.h>

#define VECTOR       0x50u
#define TIMER_VECTOR 0x51u
#define RECORD_VP    "processors.vp-0"
#define RECORD_PART  "partition"
#define COUNT_AT     PUPPET_FREE

#define MSR_MTRR_TYPE    0x2ffu
#define MSR_STAR         0xc0000081u
#define MSR_TSC_DEADLINE 0x6e0u
#define LAPIC_LVT_TIMER  0xfee00320u
#define LVT_DEADLINE     0x40000u

static int setup(void **state)
{
	static struct puppet puppet;
	struct vid_partition_config config = { .memory = NULL };

	*state = NULL;
	if (!puppet_open(&puppet))
		return 0;
	puppet_make(&puppet, &config);
	puppet_set_cpuid(&puppet);
	puppet_start(&puppet);
	*state = &puppet;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		puppet_close(*state);
	return 0;
}

#define PUPPET(state)                      \
	({                                 \
		if (!*(state))             \
			skip();            \
		(struct puppet *)*(state); \
	})

/* ---- Saving and restoring ---- */

static void save(struct puppet *puppet, struct state_writer *writer)
{
	state_writer_init(writer);
	assert_int_equal(vid_partition_save(puppet->partition, writer, RECORD_PART), 0);
	assert_int_equal(vid_vp_save(puppet->vp, writer, RECORD_VP), 0);
}

/* Another partition around the same memory. */
static void make_anew(struct puppet *puppet)
{
	const struct vid_partition_config config = { .memory = puppet->memory };

	vid_vp_free(puppet->vp);
	vid_partition_free(puppet->partition);
	assert_int_equal(vid_partition_new(puppet->vid, &config, &puppet->partition), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 0, 0, &puppet->vp), 0);
	puppet_set_cpuid(puppet);
}

static int restore_bytes(struct puppet *puppet, const void *bytes, size_t size,
			 struct state_refusal *refusal)
{
	struct state_reader reader;
	int r;

	refusal->text[0] = '\0';
	assert_int_equal(state_reader_init(&reader, bytes, size), 0);
	r = vid_partition_restore(puppet->partition, &reader, RECORD_PART, refusal);
	return r < 0 ? r : vid_vp_restore(puppet->vp, &reader, RECORD_VP, refusal);
}

static void restore(struct puppet *puppet, const struct state_writer *writer)
{
	struct state_refusal refusal;

	make_anew(puppet);
	if (restore_bytes(puppet, writer->bytes, writer->size, &refusal) != 0)
		fail_msg("%s", refusal.text);
}

static void start(struct puppet *puppet)
{
	assert_int_equal(vid_partition_start(puppet->partition), 0);
	assert_int_equal(vid_vp_start(puppet->vp), 0);
}

/* Where a record's payload is. */
static uint8_t *payload(const struct state_writer *writer, const char *name, size_t *ret_size)
{
	struct state_reader reader;
	struct state_record record;

	assert_int_equal(state_reader_init(&reader, writer->bytes, writer->size), 0);
	assert_int_equal(state_find(&reader, name, 1, &record), 0);
	*ret_size = record.left;
	return (uint8_t *)record.at;
}

static void assert_same(const struct state_writer *a, const struct state_writer *b)
{
	assert_int_equal(a->size, b->size);
	for (size_t i = 0; i < a->size; i++)
		if (a->bytes[i] != b->bytes[i])
			fail_msg("byte %zu of %zu: %02x, then %02x", i, a->size, a->bytes[i],
				 b->bytes[i]);
}

/* ---- In the middle of its work ---- */

static void store(struct puppet *puppet, uint32_t address, uint32_t value)
{
	const struct vid_registers registers = { .rdi = address, .rax = value };

	assert_true(puppet_do(puppet, puppet_store, &registers));
}

static void write_msr(struct puppet *puppet, uint32_t index, uint64_t value)
{
	assert_int_equal(vid_vp_set_msr(puppet->vp, index, value), 0);
}

/* Interrupts are off in the puppet: it waits in the LAPIC. */
static void raise_interrupt(struct puppet *puppet)
{
	struct vid_interrupt *interrupt;

	assert_int_equal(vid_interrupt_new(puppet->partition, false, &interrupt), 0);
	assert_int_equal(vid_interrupt_route_vector(interrupt, 0, VECTOR), 0);
	eventfd_write(vid_interrupt_fd(interrupt), 1);
	vid_interrupt_free(interrupt);
}

/* A deadline `seconds` ahead. */
static void arm_deadline(struct puppet *puppet, double seconds)
{
	uint64_t now;

	store(puppet, LAPIC_LVT_TIMER, LVT_DEADLINE | TIMER_VECTOR);
	assert_int_equal(vid_vp_tsc(puppet->vp, &now), 0);
	write_msr(puppet, MSR_TSC_DEADLINE,
		  now + (uint64_t)(seconds * (double)vid_vp_tsc_khz(puppet->vp) * 1000));
}

/* It has given an exit that KVM completes only when it runs again. */
static void stop_at_out(struct puppet *puppet)
{
	const struct vid_registers out = { .rax = 0x12345678, .rdx = 0x777, .rbx = 42 };
	struct vid_exit exit;

	puppet_point(puppet, puppet_out, &out);
	assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
	assert_int_equal(exit.kind, VID_EXIT_IO_PORT);
}

static void work(struct puppet *puppet)
{
	puppet_enable_apic(puppet);
	raise_interrupt(puppet);
	arm_deadline(puppet, 600);
	write_msr(puppet, MSR_STAR, 0x23001000000000);
	assert_int_equal(vid_partition_set_pin(puppet->partition, 4, true), 0);
	stop_at_out(puppet);
}

static void same_bytes_again(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer first, second;
	struct vid_registers registers;
	uint64_t deadline;

	work(puppet);
	save(puppet, &first);
	assert_int_equal(vid_vp_get_registers(puppet->vp, &registers), 0);
	restore(puppet, &first);
	save(puppet, &second);
	assert_same(&first, &second);
	start(puppet);
	assert_int_equal(vid_vp_get_registers(puppet->vp, &puppet->registers), 0);
	assert_memory_equal(&registers, &puppet->registers, sizeof(registers));
	assert_int_equal(vid_vp_get_msr(puppet->vp, MSR_TSC_DEADLINE, &deadline), 0);
	assert_true(deadline != 0);
	state_writer_deinit(&second);
	state_writer_deinit(&first);
}

#define XSAVE_XMM0   160u
#define XSAVE_BV     512u /* which parts are there: bit 1 is SSE's */
#define MSR_SYSENTER 0x174u

static struct vid_msr_state *find_msr(uint8_t *bytes, uint32_t index)
{
	struct vid_vp_state saved;

	memcpy(&saved, bytes, sizeof(saved));
	for (uint32_t i = 0; i < saved.msr_count; i++) {
		struct vid_msr_state *msr =
			(struct vid_msr_state *)(void *)(bytes + sizeof(saved) + saved.xsave_size) +
			i;

		if (msr->index == index)
			return msr;
	}
	fail_msg("MSR 0x%x was not saved", index);
	return NULL;
}

/* Not a register of the vp has the value that it begins with. */
static void change_vp(uint8_t *bytes)
{
	struct vid_vp_state saved;
	uint8_t *xsave = bytes + sizeof(saved);

	memcpy(&saved, bytes, sizeof(saved));
	for (size_t i = 0; i < offsetof(struct vid_registers, rip) / sizeof(uint64_t); i++)
		((uint64_t *)&saved.registers)[i] = 0x1111111111111111u * (i % 7 + 1);
	saved.system.cr2 = 0x7654321000;
	saved.system.fs.base = 0x123456000;
	saved.system.gs.base = 0x223456000;
	for (uint64_t i = 0; i < VID_DEBUG_REGISTERS; i++)
		saved.dr[i] = 0x1000 * (i + 1);
	saved.dr7 = 0x401;
	saved.events.nmi_masked = 1;
	saved.events.interrupt_shadow = 1;
	memcpy(bytes, &saved, sizeof(saved));
	memset(xsave + XSAVE_XMM0, 0x77, 16);
	xsave[XSAVE_BV] |= 3;
	for (uint32_t i = 0; i < 3; i++)
		find_msr(bytes, MSR_SYSENTER + i)->value = 0xabc0 + i;
	find_msr(bytes, MSR_STAR)->value = 0x23001000000000;
}

static void change_partition(uint8_t *bytes)
{
	struct vid_partition_state saved;

	memcpy(&saved, bytes, sizeof(saved));
	for (uint8_t i = 0; i < VID_PIC_COUNT; i++) {
		saved.pics[i].irq_base = (uint8_t)(0x20 + 8 * i);
		saved.pics[i].imr = 0xfb;
		saved.pics[i].elcr = 0x08;
		saved.pics[i].special_mask = 1;
	}
	saved.ioapic.id = 3;
	saved.ioapic.selected = 0x12;
	for (uint64_t i = 0; i < VID_IOAPIC_PINS; i++)
		saved.ioapic.redirections[i] = UINT64_C(1) << 56 | 1u << 16 | (0x40 + i);
	memcpy(bytes, &saved, sizeof(saved));
}

static void every_register_is_kept(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer first, second;
	size_t size;

	save(puppet, &first);
	change_vp(payload(&first, RECORD_VP, &size));
	change_partition(payload(&first, RECORD_PART, &size));
	restore(puppet, &first);
	save(puppet, &second);
	assert_same(&first, &second);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

static void pending_interrupt_is_taken_once(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;

	work(puppet);
	save(puppet, &writer);
	restore(puppet, &writer);
	start(puppet);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	assert_int_equal(puppet_counter(puppet), 1);
	state_writer_deinit(&writer);
}

static void exception_that_was_on_its_way_comes(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	struct vid_exit exit;

	puppet_point(puppet, puppet_cpuid, NULL);
	assert_int_equal(vid_vp_inject_exception(puppet->vp, 6), 0);
	save(puppet, &writer);
	restore(puppet, &writer);
	start(puppet);
	assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
	assert_int_equal(exit.kind, VID_EXIT_IO_PORT);
	assert_int_equal(vid_vp_get_registers(puppet->vp, &puppet->registers), 0);
	assert_int_equal(puppet->registers.r15, 6);
	state_writer_deinit(&writer);
}

static void timer_that_is_due_comes_once(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct timespec while_saved = { .tv_nsec = 50000000 };
	struct state_writer writer;
	uint64_t deadline;

	puppet_enable_apic(puppet);
	arm_deadline(puppet, 0.2);
	save(puppet, &writer);
	nanosleep(&while_saved, NULL);
	restore(puppet, &writer);
	start(puppet);
	assert_true(puppet_do(puppet, puppet_wait, NULL));
	assert_int_equal(puppet_counter(puppet), 1);
	assert_int_equal(vid_vp_get_msr(puppet->vp, MSR_TSC_DEADLINE, &deadline), 0);
	assert_int_equal(deadline, 0);
	state_writer_deinit(&writer);
}

static uint32_t counted(struct puppet *puppet)
{
	return *(volatile uint32_t *)puppet_memory(puppet, COUNT_AT);
}

/* Kicks the vp once the guest has counted further. */
static void *watch_count(void *data)
{
	struct puppet *puppet = data;
	const uint32_t before = counted(puppet);
	const struct timespec delay = { .tv_nsec = 100000 };

	while (counted(puppet) < before + 10)
		nanosleep(&delay, NULL);
	vid_vp_kick(puppet->vp);
	return NULL;
}

static void count_on(struct puppet *puppet)
{
	struct vid_exit exit;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, watch_count, puppet), 0);
	assert_int_equal(vid_vp_run(puppet->vp, &exit), 0);
	pthread_join(thread, NULL);
	assert_int_equal(exit.kind, VID_EXIT_KICK);
	assert_int_equal(vid_vp_get_registers(puppet->vp, &puppet->registers), 0);
}

/* RBX and memory agree all the way, but for the moment between the two instructions. */
static void counting_goes_on(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct vid_registers at = { .rdi = COUNT_AT };
	struct state_writer writer;

	puppet_point(puppet, puppet_count, &at);
	count_on(puppet);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t before = counted(puppet);

		save(puppet, &writer);
		restore(puppet, &writer);
		start(puppet);
		assert_int_equal(counted(puppet), before);
		count_on(puppet);
		assert_true(counted(puppet) >= before + 10);
		assert_true(counted(puppet) - puppet->registers.rbx <= 1);
		state_writer_deinit(&writer);
	}
}

/* ---- Time ---- */

static void clock_stands_still_and_goes_on(void **state)
{
	struct puppet *puppet = PUPPET(state);
	const struct timespec while_saved = { .tv_nsec = 30000000 };
	struct vid_clock before, after;
	struct state_writer writer;

	assert_int_equal(vid_partition_set_clock(puppet->partition, UINT64_C(3600000000000)), 0);
	assert_int_equal(vid_partition_clock(puppet->partition, &before), 0);
	assert_in_range(before.ns, UINT64_C(3600000000000), UINT64_C(3700000000000));
	save(puppet, &writer);
	restore(puppet, &writer);
	nanosleep(&while_saved, NULL);
	start(puppet);
	assert_int_equal(vid_partition_clock(puppet->partition, &after), 0);
	assert_true(after.ns >= before.ns);
	/* A second start changes nothing. */
	start(puppet);
	assert_int_equal(vid_partition_clock(puppet->partition, &before), 0);
	assert_true(before.ns >= after.ns);
	state_writer_deinit(&writer);
}

/* What is told of the offset is what the guest sees. */
static void tsc_offset_is_that_of_the_guest(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	uint64_t offset, tsc, before, after;

	save(puppet, &writer);
	restore(puppet, &writer);
	start(puppet);
	assert_int_equal(vid_vp_tsc_offset(puppet->vp, &offset), 0);
	before = __rdtsc();
	assert_int_equal(vid_vp_tsc(puppet->vp, &tsc), 0);
	after = __rdtsc();
	assert_in_range(tsc - offset, before - 100000, after + 100000);
	state_writer_deinit(&writer);
}

/* ---- A second vp ---- */

#define LAPIC_ICR_LOW  0xfee00300u
#define LAPIC_ICR_HIGH 0xfee00310u
#define RECORD_AP      "processors.vp-1"

static struct vid_vp *make_ap(struct puppet *puppet)
{
	struct vid_cpuid cpuid;
	struct vid_vp *ap;

	assert_int_equal(vid_cpuid_supported(puppet->vid, &cpuid), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 1, 1, &ap), 0);
	assert_int_equal(vid_vp_set_cpuid(ap, &cpuid), 0);
	return ap;
}

static enum vid_activity saved_activity(const struct state_writer *writer)
{
	struct vid_vp_state saved;
	size_t size;

	memcpy(&saved, payload(writer, RECORD_AP, &size), sizeof(saved));
	return saved.activity;
}

/* Both are saved, and go on in another partition. */
static struct vid_vp *move_with_ap(struct puppet *puppet, struct vid_vp *ap,
				   enum vid_activity activity)
{
	struct state_refusal refusal;
	struct state_writer writer;
	struct state_reader reader;

	save(puppet, &writer);
	assert_int_equal(vid_vp_save(ap, &writer, RECORD_AP), 0);
	assert_int_equal(saved_activity(&writer), activity);
	vid_vp_free(ap);
	make_anew(puppet);
	ap = make_ap(puppet);
	assert_int_equal(restore_bytes(puppet, writer.bytes, writer.size, &refusal), 0);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(vid_vp_restore(ap, &reader, RECORD_AP, &refusal), 0);
	start(puppet);
	assert_int_equal(vid_vp_start(ap), 0);
	state_writer_deinit(&writer);
	return ap;
}

static void *run_ap(void *data)
{
	struct vid_exit exit;

	while (vid_vp_run(data, &exit) == 0 && exit.kind != VID_EXIT_KICK)
		continue;
	return NULL;
}

/* Runs it until it has counted itself: what it does next is to halt. */
static void run_until_counted(struct puppet *puppet, struct vid_vp *ap)
{
	const struct timespec delay = { .tv_nsec = 1000000 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_ap, ap), 0);
	for (unsigned i = 0; i < 60000 && puppet_counter(puppet) == 0; i++)
		nanosleep(&delay, NULL);
	vid_vp_kick(ap);
	pthread_join(thread, NULL);
	assert_int_equal(puppet_counter(puppet), 1);
}

/* Every step of its start in another partition. */
static void second_vp_starts_on_the_way(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_vp *ap = make_ap(puppet);

	puppet_enable_apic(puppet);
	ap = move_with_ap(puppet, ap, VID_ACTIVITY_WAITS_FOR_INIT);
	store(puppet, LAPIC_ICR_HIGH, 1u << 24);
	store(puppet, LAPIC_ICR_LOW, 0x4500);
	ap = move_with_ap(puppet, ap, VID_ACTIVITY_WAITS_FOR_SIPI);
	assert_int_equal(puppet_counter(puppet), 0);
	store(puppet, LAPIC_ICR_LOW, 0x4600 | PUPPET_AP_PAGE >> 12);
	ap = move_with_ap(puppet, ap, VID_ACTIVITY_RUNS);
	run_until_counted(puppet, ap);
	vid_vp_free(ap);
}

/* ---- Hostile bytes ---- */

/* The record anew, with other contents. */
static int restore_vp_payload(struct puppet *puppet, const void *bytes, size_t size,
			      struct state_refusal *refusal)
{
	struct state_writer writer;
	struct state_reader reader;
	int r;

	refusal->text[0] = '\0';
	state_writer_init(&writer);
	state_begin(&writer, RECORD_VP, VID_VP_STATE_VERSION);
	state_put(&writer, bytes, size);
	state_end(&writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	r = vid_vp_restore(puppet->vp, &reader, RECORD_VP, refusal);
	state_writer_deinit(&writer);
	return r;
}

static void truncated_records_are_refused(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	struct state_refusal refusal;
	size_t size;
	const uint8_t *bytes;

	save(puppet, &writer);
	bytes = payload(&writer, RECORD_VP, &size);
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), 0);
	for (size_t cut = 0; cut < size; cut += cut < 800 ? 1 : 37) {
		assert_int_equal(restore_vp_payload(puppet, bytes, cut, &refusal), -EINVAL);
		assert_non_null(strstr(refusal.text, RECORD_VP));
	}
	state_writer_deinit(&writer);
}

/* Whatever is changed is taken or refused with a reason; and what it was is taken again. */
static void changed_records_do_no_harm(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	struct state_refusal refusal;
	unsigned refused = 0;
	uint8_t *bytes;
	size_t size;

	save(puppet, &writer);
	bytes = payload(&writer, RECORD_VP, &size);
	for (size_t i = 0; i < size; i += i < sizeof(struct vid_vp_state) ? 1 : 61) {
		uint8_t old = bytes[i];
		int r;

		bytes[i] ^= 0xff;
		r = restore_vp_payload(puppet, bytes, size, &refusal);
		bytes[i] = old;
		assert_true(r == 0 || r == -EINVAL);
		assert_true(r == 0 || refusal.text[0] != '\0');
		refused += r != 0;
	}
	assert_true(refused > 0);
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), 0);
	state_writer_deinit(&writer);
}

static void refusal_names_the_msr(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	struct state_refusal refusal;
	struct vid_msr_state *msr;
	uint8_t *bytes;
	size_t size;

	save(puppet, &writer);
	bytes = payload(&writer, RECORD_VP, &size);
	msr = find_msr(bytes, MSR_MTRR_TYPE);
	msr->value = UINT64_MAX;
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "0x2ff (IA32_MTRR_DEF_TYPE)"));
	msr->index = 0x40000001; /* Hyper-V's are not here */
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "0x40000001"));
	state_writer_deinit(&writer);
}

static void another_tsc_frequency_is_refused(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct state_writer writer;
	struct state_refusal refusal;
	struct vid_vp_state saved;
	uint8_t *bytes;
	size_t size;

	save(puppet, &writer);
	bytes = payload(&writer, RECORD_VP, &size);
	memcpy(&saved, bytes, sizeof(saved));
	saved.tsc_khz += saved.tsc_khz / 10000; /* as two measurements of one clock differ */
	memcpy(bytes, &saved, sizeof(saved));
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), 0);
	saved.tsc_khz += saved.tsc_khz / 1000;
	memcpy(bytes, &saved, sizeof(saved));
	assert_int_equal(restore_vp_payload(puppet, bytes, size, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "kHz"));
	state_writer_deinit(&writer);
}

static int restore_partition(struct puppet *puppet, const struct vid_partition_state *saved,
			     size_t size)
{
	struct state_refusal refusal = { .text = "" };
	struct state_writer writer;
	struct state_reader reader;
	int r;

	state_writer_init(&writer);
	state_begin(&writer, RECORD_PART, VID_PARTITION_STATE_VERSION);
	state_put(&writer, saved, size);
	state_end(&writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	r = vid_partition_restore(puppet->partition, &reader, RECORD_PART, &refusal);
	assert_true(r == 0 || (r == -EINVAL && strstr(refusal.text, RECORD_PART)));
	state_writer_deinit(&writer);
	return r;
}

static void partition_refuses_what_there_is_not(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_partition_state saved, changed;
	struct state_writer writer;
	size_t size;

	save(puppet, &writer);
	memcpy(&saved, payload(&writer, RECORD_PART, &size), sizeof(saved));
	state_writer_deinit(&writer);
	assert_int_equal(restore_partition(puppet, &saved, sizeof(saved)), 0);
	for (size_t cut = 0; cut < sizeof(saved); cut++)
		assert_int_equal(restore_partition(puppet, &saved, cut), -EINVAL);
	for (size_t i = 0; i < sizeof(saved); i++) {
		changed = saved;
		((uint8_t *)&changed)[i] ^= 0xff;
		(void)!restore_partition(puppet, &changed, sizeof(changed));
	}
	changed = saved;
	changed.pics[1].init_state = 4;
	assert_int_equal(restore_partition(puppet, &changed, sizeof(changed)), -EINVAL);
	changed = saved;
	changed.ioapic.irr = 1u << VID_IOAPIC_PINS;
	assert_int_equal(restore_partition(puppet, &changed, sizeof(changed)), -EINVAL);
	changed = saved;
	changed.clock_ns = UINT64_MAX;
	assert_int_equal(restore_partition(puppet, &changed, sizeof(changed)), -EINVAL);
}

/* ---- The 8254 ---- */

#define RECORD_PIT "pit"

static void make_with_pit(struct puppet *puppet)
{
	const struct vid_partition_config config = { .memory = puppet->memory, .pit = true };

	vid_vp_free(puppet->vp);
	puppet->vp = NULL;
	vid_partition_free(puppet->partition);
	assert_int_equal(vid_partition_new(puppet->vid, &config, &puppet->partition), 0);
}

static void save_pit(struct puppet *puppet, struct vid_pit_state *ret_state)
{
	struct state_writer writer;
	size_t size;

	state_writer_init(&writer);
	assert_int_equal(vid_pit_save(puppet->partition, &writer, RECORD_PIT), 0);
	memcpy(ret_state, payload(&writer, RECORD_PIT, &size), sizeof(*ret_state));
	assert_int_equal(size, sizeof(*ret_state));
	state_writer_deinit(&writer);
}

static int restore_pit(struct puppet *puppet, const struct vid_pit_state *saved, size_t size)
{
	struct state_refusal refusal = { .text = "" };
	struct state_writer writer;
	struct state_reader reader;
	int r;

	state_writer_init(&writer);
	state_begin(&writer, RECORD_PIT, VID_PIT_STATE_VERSION);
	state_put(&writer, saved, size);
	state_end(&writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	r = vid_pit_restore(puppet->partition, &reader, RECORD_PIT, &refusal);
	assert_true(r == 0 || (r == -EINVAL && strstr(refusal.text, RECORD_PIT)));
	state_writer_deinit(&writer);
	return r;
}

static void counters_are_kept(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_pit_state saved, again;

	make_with_pit(puppet);
	save_pit(puppet, &saved);
	saved.counters[0].count = 0x10000;
	saved.counters[0].mode = 2;
	saved.counters[0].access = 3;
	saved.counters[2].count = 1193;
	saved.counters[2].mode = 3;
	saved.counters[2].write_latch = 0x5a;
	saved.counters[2].gate = 1;
	assert_int_equal(restore_pit(puppet, &saved, sizeof(saved)), 0);
	make_with_pit(puppet);
	assert_int_equal(restore_pit(puppet, &saved, sizeof(saved)), 0);
	save_pit(puppet, &again);
	assert_memory_equal(&again, &saved, sizeof(saved));
}

static void counters_that_cannot_be(void **state)
{
	struct puppet *puppet = PUPPET(state);
	struct vid_pit_state saved, changed;

	make_with_pit(puppet);
	save_pit(puppet, &saved);
	for (size_t cut = 0; cut < sizeof(saved); cut++)
		assert_int_equal(restore_pit(puppet, &saved, cut), -EINVAL);
	changed = saved;
	changed.counters[1].count = 0x10001;
	assert_int_equal(restore_pit(puppet, &changed, sizeof(changed)), -EINVAL);
	changed = saved;
	changed.counters[0].mode = 8;
	assert_int_equal(restore_pit(puppet, &changed, sizeof(changed)), -EINVAL);
	changed = saved;
	changed.counters[2].access = 4;
	assert_int_equal(restore_pit(puppet, &changed, sizeof(changed)), -EINVAL);
	changed = saved;
	changed.zero[3] = 1;
	assert_int_equal(restore_pit(puppet, &changed, sizeof(changed)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(same_bytes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(pending_interrupt_is_taken_once, setup, teardown),
		cmocka_unit_test_setup_teardown(exception_that_was_on_its_way_comes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(timer_that_is_due_comes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(counting_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(clock_stands_still_and_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(tsc_offset_is_that_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(second_vp_starts_on_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(every_register_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(truncated_records_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(changed_records_do_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(refusal_names_the_msr, setup, teardown),
		cmocka_unit_test_setup_teardown(another_tsc_frequency_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(partition_refuses_what_there_is_not, setup,
						teardown),
		cmocka_unit_test_setup_teardown(counters_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_that_cannot_be, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user-space engine, by a real guest: it reads and writes the MSRs, calls the hypercall page,
 * and takes the interrupts, on this machine's KVM.
 */
#include "common/base/json.h"
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "tests/unit/unit.h"
#include "tests/unit/vid/puppet.h"
#include "vid/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND    1000000000ull
#define GUEST_OS  0x8100000601c00000ull
#define VECTOR    0x50u
#define SINT      2u
#define MESSAGES  4u /* a connection id that takes messages */
#define FAST_CALL (HV_HYPERCALL_FAST | HV_CALL_SIGNAL_EVENT)

/* Where the tests have the guest put things. */
#define HYPERCALL_PAGE (PUPPET_FREE + 0x0000u)
#define MESSAGE_PAGE   (PUPPET_FREE + 0x1000u)
#define EVENT_PAGE     (PUPPET_FREE + 0x2000u)
#define TSC_PAGE       (PUPPET_FREE + 0x3000u)
#define INPUT_PAGE     (PUPPET_FREE + 0x4000u)
#define TEXT_PAGE      (PUPPET_FREE + 0x5000u)
#define NOT_RAM        0x90000000u

struct fixture {
	struct puppet puppet;
	struct loop *loop;
	struct hvshim *hvshim;
	uint32_t enlightenments;
	bool x2apic;

	bool in_loop;
	bool loop_held; /* it does not run while the vp does */
	unsigned messages, slots_free, crashes, resets;
	unsigned refill; /* messages that are sent as soon as a slot is free */
	uint32_t connection_id;
	struct hvshim_message message;
	struct hvshim_crash crash;
};

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
	struct fixture *fixture = data;

	assert_true(fixture->in_loop);
	fixture->messages++;
	fixture->connection_id = connection_id;
	fixture->message = *message;
}

static void on_slot_free(void *data, uint32_t vp)
{
	const struct hvshim_message message = { .type = 1 };
	struct fixture *fixture = data;

	assert_int_equal(vp, 0);
	fixture->slots_free++;
	for (; fixture->refill > 0; fixture->refill--)
		(void)!hvshim_post_message(fixture->hvshim, 0, SINT, &message);
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
	struct fixture *fixture = data;

	fixture->crashes++;
	fixture->crash = *crash;
}

static void on_reset(void *data)
{
	((struct fixture *)data)->resets++;
}

static const struct hvshim_callbacks callbacks = {
	.message = on_message,
	.slot_free = on_slot_free,
	.crash = on_crash,
	.reset = on_reset,
};

/* Callbacks are made by the loop alone, never within an exit. */
static void run_loop(struct fixture *fixture, uint64_t timeout)
{
	fixture->in_loop = true;
	assert_int_equal(loop_run_once(fixture->loop, timeout), 0);
	fixture->in_loop = false;
}

static bool shim_exit(struct puppet *puppet, const struct vid_exit *exit)
{
	struct fixture *fixture = container_of(puppet, struct fixture, puppet);
	int r;

	r = hvshim_exit(fixture->hvshim, puppet->vp, exit);
	assert_true(r >= 0);
	/* The loop's completions interrupt the thread, which is the vp's as well here. */
	if (exit->kind != VID_EXIT_KICK)
		return r == 0;
	if (!fixture->loop_held)
		run_loop(fixture, 0);
	return true;
}

/* For the vp that there is: anew after a restore. */
static void make_hvshim(struct fixture *fixture)
{
	const struct hvshim_config config = {
		.engine = HVSHIM_ENGINE_USER,
		.vp_count = 1,
		.callbacks = &callbacks,
		.data = fixture,
		.message_connections = { 1, MESSAGES },
		.enlightenments = fixture->enlightenments,
		.x2apic_guest = fixture->x2apic,
		.partition = fixture->puppet.partition,
		.loop = fixture->loop,
	};
	struct vid_cpuid cpuid;

	assert_int_equal(hvshim_new(&config, &fixture->hvshim), 0);
	assert_int_equal(vid_cpuid_supported(fixture->puppet.vid, &cpuid), 0);
	assert_int_equal(hvshim_vp_attach(fixture->hvshim, fixture->puppet.vp, &cpuid), 0);
}

static int make(void **state, bool timers, bool x2apic)
{
	static struct fixture fixture;
	struct vid_partition_config partition = { 0 };

	*state = NULL;
	memset(&fixture, 0, sizeof(fixture));
	if (!puppet_open(&fixture.puppet))
		return 0;
	fixture.enlightenments = ENLIGHTENMENTS_DEFAULT |
				 (timers ? enlightenment_bit(ENLIGHTENMENT_SYNTHETIC_TIMERS) : 0);
	fixture.x2apic = x2apic;
	hvshim_prepare(HVSHIM_ENGINE_USER, &partition);
	puppet_make(&fixture.puppet, &partition);
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	make_hvshim(&fixture);
	puppet_start(&fixture.puppet);
	fixture.puppet.exit = shim_exit;
	*state = &fixture;
	return 0;
}

static int setup(void **state)
{
	return make(state, false, false);
}

static int setup_timers(void **state)
{
	return make(state, true, false);
}

static int setup_x2apic(void **state)
{
	return make(state, false, true);
}

/* Whatever the loop has is done or dropped; the sanitizer sees whether anything is left. */
static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture)
		return 0;
	hvshim_free(fixture->hvshim);
	for (unsigned i = 0; i < 4; i++)
		run_loop(fixture, 0);
	loop_free(fixture->loop);
	puppet_close(&fixture->puppet);
	return 0;
}

#define FIXTURE(state)                      \
	({                                  \
		if (!*(state))              \
			skip();             \
		(struct fixture *)*(state); \
	})

/* ---- What the guest does ---- */

static bool try_write(struct fixture *fixture, uint32_t index, uint64_t value)
{
	struct vid_registers registers = { .rcx = index,
					   .rax = (uint32_t)value,
					   .rdx = value >> 32 };
	bool done = puppet_do(&fixture->puppet, puppet_wrmsr, &registers);

	if (!done)
		assert_int_equal(fixture->puppet.fault, 13);
	return done;
}

static void write_msr(struct fixture *fixture, uint32_t index, uint64_t value)
{
	assert_true(try_write(fixture, index, value));
}

static bool try_read(struct fixture *fixture, uint32_t index, uint64_t *ret_value)
{
	struct vid_registers registers = { .rcx = index };
	bool done = puppet_do(&fixture->puppet, puppet_rdmsr, &registers);

	if (!done)
		assert_int_equal(fixture->puppet.fault, 13);
	*ret_value = fixture->puppet.registers.rdx << 32 | (uint32_t)fixture->puppet.registers.rax;
	return done;
}

static uint64_t read_msr(struct fixture *fixture, uint32_t index)
{
	uint64_t value;

	assert_true(try_read(fixture, index, &value));
	return value;
}

static void enable_hypercalls(struct fixture *fixture)
{
	write_msr(fixture, HV_MSR_GUEST_OS_ID, GUEST_OS);
	write_msr(fixture, HV_MSR_HYPERCALL, HYPERCALL_PAGE | HV_MSR_ENABLE);
}

static uint64_t hypercall(struct fixture *fixture, uint64_t input, uint64_t rdx, uint64_t r8)
{
	const struct vid_registers registers = {
		.rcx = input, .rdx = rdx, .r8 = r8, .r9 = HYPERCALL_PAGE, .rax = UINT64_MAX
	};

	assert_true(puppet_do(&fixture->puppet, puppet_call, &registers));
	return fixture->puppet.registers.rax;
}

static void enable_synic(struct fixture *fixture)
{
	puppet_enable_apic(&fixture->puppet);
	write_msr(fixture, HV_MSR_SIMP, MESSAGE_PAGE | HV_MSR_ENABLE);
	write_msr(fixture, HV_MSR_SIEFP, EVENT_PAGE | HV_MSR_ENABLE);
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR);
	write_msr(fixture, HV_MSR_SCONTROL, HV_MSR_ENABLE);
}

/* Interrupts the guest has taken, after it has had the time to. */
static uint32_t take_interrupt(struct fixture *fixture)
{
	run_loop(fixture, 0);
	assert_true(puppet_do(&fixture->puppet, puppet_wait, NULL));
	return puppet_counter(&fixture->puppet);
}

static void iteration(struct fixture *fixture)
{
	run_loop(fixture, 0);
}

static void turn_until(struct fixture *fixture, const unsigned *count, unsigned wanted)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (*count < wanted && loop_now() < end)
		run_loop(fixture, SECOND);
	assert_int_equal(*count, wanted);
}

static volatile struct hv_message *slot(struct fixture *fixture)
{
	return (volatile struct hv_message *)puppet_memory(&fixture->puppet, MESSAGE_PAGE) + SINT;
}

static int post(struct fixture *fixture, const char *text)
{
	struct hvshim_message message = { .type = 1, .size = (uint32_t)strlen(text) };

	memcpy(message.payload, text, strlen(text));
	return hvshim_post_message(fixture->hvshim, 0, SINT, &message);
}

/* ---- CPUID and plain MSRs ---- */

static void cpuid(struct fixture *fixture, uint32_t leaf)
{
	struct vid_registers registers = { .rax = leaf };

	assert_true(puppet_do(&fixture->puppet, puppet_cpuid, &registers));
}

static void test_leaves(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct vid_registers *registers = &fixture->puppet.registers;

	cpuid(fixture, 1);
	assert_true(registers->rcx & HV_CPUID_HYPERVISOR_ECX31);
	cpuid(fixture, HV_CPUID_VENDOR_AND_MAX);
	assert_true(registers->rax >= HV_CPUID_LIMITS && registers->rax <= HV_CPUID_LEAF_END);
	assert_int_equal(registers->rbx, HV_CPUID_VENDOR_EBX);
	assert_int_equal(registers->rcx, HV_CPUID_VENDOR_ECX);
	assert_int_equal(registers->rdx, HV_CPUID_VENDOR_EDX);
	cpuid(fixture, HV_CPUID_INTERFACE);
	assert_int_equal(registers->rax, HV_CPUID_INTERFACE_EAX);
	cpuid(fixture, HV_CPUID_FEATURES);
	assert_true(registers->rax & HV_PRIVILEGE_HYPERCALL);
	assert_true(registers->rax & HV_PRIVILEGE_VP_INDEX);
	assert_true(registers->rax & HV_PRIVILEGE_SYNIC);
	assert_true(registers->rax & HV_PRIVILEGE_FREQUENCIES);
	assert_false(registers->rax & HV_PRIVILEGE_SYNTHETIC_TIMERS);
	assert_false(registers->rbx & HV_PRIVILEGE_CREATE_PARTITIONS);
	assert_true(registers->rdx & HV_FEATURE_FREQUENCIES);
	cpuid(fixture, HV_CPUID_RECOMMENDATIONS);
	assert_true(registers->rax & HV_HINT_DEPRECATE_AUTO_EOI);
	cpuid(fixture, HV_CPUID_VIRT_STACK);
	assert_int_equal(registers->rax, 0);
}

static void test_plain_msrs(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint64_t value;

	assert_int_equal(read_msr(fixture, HV_MSR_GUEST_OS_ID), 0);
	write_msr(fixture, HV_MSR_GUEST_OS_ID, GUEST_OS);
	assert_int_equal(read_msr(fixture, HV_MSR_GUEST_OS_ID), GUEST_OS);
	assert_int_equal(read_msr(fixture, HV_MSR_VP_INDEX), 0);
	assert_int_equal(read_msr(fixture, HV_MSR_APIC_FREQUENCY), 1000000000);
	assert_int_equal(read_msr(fixture, HV_MSR_TSC_FREQUENCY),
			 vid_vp_tsc_khz(fixture->puppet.vp) * 1000);
	assert_int_equal(read_msr(fixture, HV_MSR_SVERSION), 1);
	assert_int_equal(read_msr(fixture, HV_MSR_SINT0 + 15), HV_SINT_RESET);
	/* Stock guests write these, advertised or not. */
	write_msr(fixture, HV_MSR_VP_ASSIST_PAGE, 0x1234001);
	assert_int_equal(read_msr(fixture, HV_MSR_VP_ASSIST_PAGE), 0x1234001);
	write_msr(fixture, HV_MSR_TSC_INVARIANT, 1);

	assert_false(try_write(fixture, HV_MSR_VP_INDEX, 1));
	assert_false(try_write(fixture, HV_MSR_SVERSION, 1));
	assert_false(try_write(fixture, HV_MSR_REFERENCE_COUNT, 1));
	assert_false(try_read(fixture, 0x40000fff, &value));
	assert_false(try_write(fixture, 0x40000fff, 0));
	assert_false(try_read(fixture, HV_MSR_SINT0 + 16, &value));
	assert_false(try_read(fixture, HV_MSR_STIMER0_CONFIG, &value)); /* not offered */
	assert_false(try_write(fixture, HV_MSR_EOI, 0));                /* likewise */
}

#define MSR_APIC_BASE    0x1bu
#define APIC_BASE_X2APIC (1u << 10)

/* By Hyper-V's MSRs, in either mode of the APIC. */
static void assert_apic_works(struct fixture *fixture, uint8_t priority)
{
	uint64_t value;

	write_msr(fixture, HV_MSR_EOI, 0);
	write_msr(fixture, HV_MSR_TPR, priority);
	assert_int_equal(read_msr(fixture, HV_MSR_TPR), priority);
	assert_false(try_read(fixture, HV_MSR_EOI, &value));
}

static void test_lazy_end_of_interrupt(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct vid_registers *registers = &fixture->puppet.registers;
	const struct vid_capabilities *host = vid_capabilities(fixture->puppet.vid);
	uint32_t *word = puppet_memory(&fixture->puppet, PUPPET_FREE);
	uint64_t base;

	if (host->apic_virtualization)
		skip(); /* not offered where the CPU does it */
	*word = UINT32_MAX;
	cpuid(fixture, HV_CPUID_RECOMMENDATIONS);
	if (!host->hyperv_vapic) {
		/* Nothing is promised that an xAPIC would not keep. */
		assert_false(registers->rax & HV_HINT_APIC_MSRS);
		assert_false(try_write(fixture, HV_MSR_EOI, 0));
		write_msr(fixture, HV_MSR_VP_ASSIST_PAGE, PUPPET_FREE | HV_MSR_ENABLE);
		assert_int_equal(*word, UINT32_MAX);
		return;
	}
	assert_true(registers->rax & HV_HINT_APIC_MSRS);
	cpuid(fixture, HV_CPUID_FEATURES);
	assert_true(registers->rax & HV_PRIVILEGE_APIC);
	assert_apic_works(fixture, 0x30);
	assert_int_equal(vid_vp_get_msr(fixture->puppet.vp, MSR_APIC_BASE, &base), 0);
	assert_int_equal(vid_vp_set_msr(fixture->puppet.vp, MSR_APIC_BASE, base | APIC_BASE_X2APIC),
			 0);
	assert_apic_works(fixture, 0x20);

	write_msr(fixture, HV_MSR_VP_ASSIST_PAGE, PUPPET_FREE | HV_MSR_ENABLE);
	assert_int_equal(read_msr(fixture, HV_MSR_VP_ASSIST_PAGE), PUPPET_FREE | HV_MSR_ENABLE);
	assert_int_equal(*word, 0);
	assert_false(try_write(fixture, HV_MSR_VP_ASSIST_PAGE, 1ull << 45 | HV_MSR_ENABLE));
	write_msr(fixture, HV_MSR_VP_ASSIST_PAGE, 0);
}

static void test_reset_msr(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	write_msr(fixture, HV_MSR_RESET, 0);
	iteration(fixture);
	assert_int_equal(fixture->resets, 0);
	write_msr(fixture, HV_MSR_RESET, 1);
	turn_until(fixture, &fixture->resets, 1);
}

static void test_crash(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	static const char text[] = "Kernel panic - not syncing: sysrq triggered crash";

	assert_int_equal(read_msr(fixture, HV_MSR_CRASH_CONTROL),
			 HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	memcpy(puppet_memory(&fixture->puppet, TEXT_PAGE), text, sizeof(text));
	for (uint32_t i = 0; i < 3; i++)
		write_msr(fixture, HV_MSR_CRASH_P0 + i, 0x1000 + i);
	write_msr(fixture, HV_MSR_CRASH_P0 + 3, TEXT_PAGE);
	write_msr(fixture, HV_MSR_CRASH_P0 + 4, sizeof(text));
	assert_int_equal(read_msr(fixture, HV_MSR_CRASH_P0 + 2), 0x1002);
	write_msr(fixture, HV_MSR_CRASH_CONTROL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	turn_until(fixture, &fixture->crashes, 1);
	assert_int_equal(fixture->crash.parameters[1], 0x1001);
	assert_int_equal(fixture->crash.text_size, sizeof(text));
	assert_string_equal(fixture->crash.text, text);

	/* Longer than we take, and not in memory. */
	write_msr(fixture, HV_MSR_CRASH_P0 + 4, UINT64_MAX);
	write_msr(fixture, HV_MSR_CRASH_CONTROL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	turn_until(fixture, &fixture->crashes, 2);
	assert_int_equal(fixture->crash.text_size, sizeof(fixture->crash.text));
	write_msr(fixture, HV_MSR_CRASH_P0 + 3, NOT_RAM);
	write_msr(fixture, HV_MSR_CRASH_CONTROL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	turn_until(fixture, &fixture->crashes, 3);
	assert_int_equal(fixture->crash.text_size, 0);
	write_msr(fixture, HV_MSR_CRASH_CONTROL, 0);
	iteration(fixture);
	assert_int_equal(fixture->crashes, 3);
}

/* ---- Time ---- */

static uint64_t page_time(const struct hv_reference_tsc_page *page, uint64_t tsc)
{
	return (uint64_t)((unsigned __int128)tsc * page->scale >> 64) + (uint64_t)page->offset;
}

/* The counter and the page tell the same time, and both began with the partition. */
static void test_reference_time(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct hv_reference_tsc_page *page = puppet_memory(&fixture->puppet, TSC_PAGE);
	uint64_t before, after, count;

	memset(puppet_memory(&fixture->puppet, TSC_PAGE), 0xa5, HV_PAGE_SIZE);
	write_msr(fixture, HV_MSR_REFERENCE_TSC, TSC_PAGE | HV_MSR_ENABLE);
	assert_int_equal(read_msr(fixture, HV_MSR_REFERENCE_TSC), TSC_PAGE | HV_MSR_ENABLE);
	assert_int_not_equal(page->sequence, HV_REFERENCE_TSC_INVALID);
	assert_int_not_equal(page->sequence, UINT32_MAX);
	assert_int_equal(page->reserved2[508], 0);

	assert_int_equal(vid_vp_tsc(fixture->puppet.vp, &before), 0);
	count = read_msr(fixture, HV_MSR_REFERENCE_COUNT);
	assert_int_equal(vid_vp_tsc(fixture->puppet.vp, &after), 0);
	/* One unit for each rounding. */
	assert_true(count + 2 >= page_time(page, before));
	assert_true(count <= page_time(page, after) + 2);
	assert_true(hvshim_reference_time(fixture->hvshim) >= count);
	assert_true(count < 120 * UINT64_C(10000000));

	write_msr(fixture, HV_MSR_REFERENCE_TSC, 0);
	assert_int_equal(*(uint8_t *)puppet_memory(&fixture->puppet, TSC_PAGE), 0xa5);
	assert_false(try_write(fixture, HV_MSR_REFERENCE_TSC, NOT_RAM | HV_MSR_ENABLE));
	assert_int_equal(read_msr(fixture, HV_MSR_REFERENCE_TSC), 0);
}

/* ---- The hypercall page ---- */

static void test_hypercall_page_overlays(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint8_t *page = puppet_memory(&fixture->puppet, HYPERCALL_PAGE);
	uint8_t *other = page + HV_PAGE_SIZE;

	memset(page, 0xa5, HV_PAGE_SIZE);
	memset(other, 0x5a, HV_PAGE_SIZE);
	/* A guest without a name has none. */
	write_msr(fixture, HV_MSR_HYPERCALL, HYPERCALL_PAGE | HV_MSR_ENABLE);
	assert_int_equal(read_msr(fixture, HV_MSR_HYPERCALL), HYPERCALL_PAGE);
	assert_int_equal(page[0], 0xa5);

	enable_hypercalls(fixture);
	assert_int_equal(read_msr(fixture, HV_MSR_HYPERCALL), HYPERCALL_PAGE | HV_MSR_ENABLE);
	assert_int_equal(page[0], 0xf3); /* endbr64 */
	assert_int_equal(page[HV_PAGE_SIZE - 1], 0);
	write_msr(fixture, HV_MSR_HYPERCALL, (HYPERCALL_PAGE + HV_PAGE_SIZE) | HV_MSR_ENABLE);
	assert_int_equal(page[0], 0xa5);
	assert_int_equal(other[0], 0xf3);
	assert_false(try_write(fixture, HV_MSR_HYPERCALL, NOT_RAM | HV_MSR_ENABLE));
	assert_int_equal(other[0], 0xf3);

	write_msr(fixture, HV_MSR_GUEST_OS_ID, 0);
	assert_int_equal(other[0], 0x5a);
	assert_int_equal(read_msr(fixture, HV_MSR_HYPERCALL) & HV_MSR_ENABLE, 0);
}

static void test_hypercall_page_locks(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	write_msr(fixture, HV_MSR_GUEST_OS_ID, GUEST_OS);
	write_msr(fixture, HV_MSR_HYPERCALL,
		  HYPERCALL_PAGE | HV_MSR_ENABLE | HV_MSR_HYPERCALL_LOCKED);
	assert_false(try_write(fixture, HV_MSR_HYPERCALL, 0));
	assert_int_equal(hypercall(fixture, 0x7fff, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

static void put_message(struct fixture *fixture, uint64_t address, uint32_t connection_id,
			uint32_t type, uint32_t size)
{
	struct hv_post_message *input = puppet_memory(&fixture->puppet, address);

	*input = (struct hv_post_message){
		.connection_id = connection_id,
		.type = type,
		.size = size,
		.payload = "INITIATE_CONTACT",
	};
}

static void test_post_message(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_hypercalls(fixture);
	put_message(fixture, INPUT_PAGE, MESSAGES, 1, 40);
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
			 HV_STATUS_SUCCESS);
	turn_until(fixture, &fixture->messages, 1);
	assert_int_equal(fixture->connection_id, MESSAGES);
	assert_int_equal(fixture->message.type, 1);
	assert_int_equal(fixture->message.size, 40);
	assert_string_equal((char *)fixture->message.payload, "INITIATE_CONTACT");
}

static void test_post_message_is_checked(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	static const struct {
		uint32_t connection_id, type, size;
		uint64_t input, address;
		uint64_t status;
	} cases[] = {
		{ 77, 1, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_CONNECTION_ID },
		{ 0, 1, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_CONNECTION_ID },
		{ 4, 1, 241, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_PARAMETER },
		{ 4, 1, UINT32_MAX, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_PARAMETER },
		{ 4, 0, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_PARAMETER },
		{ 4, 0x80000010, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE, HV_STATUS_INVALID_PARAMETER },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE + 4, HV_STATUS_INVALID_ALIGNMENT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE, INPUT_PAGE + 0xff8, HV_STATUS_INVALID_ALIGNMENT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE, NOT_RAM, HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE, UINT64_MAX & ~UINT64_C(0xfff),
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE | HV_HYPERCALL_FAST, INPUT_PAGE,
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE | 1ull << 32, INPUT_PAGE,
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE | 1ull << 48, INPUT_PAGE,
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE | 1ull << 17, INPUT_PAGE,
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, HV_CALL_POST_MESSAGE | 1ull << 63, INPUT_PAGE,
		  HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ 4, 1, 8, 0x8002, INPUT_PAGE, HV_STATUS_INVALID_HYPERCALL_CODE },
		{ 4, 1, 8, 0, INPUT_PAGE, HV_STATUS_INVALID_HYPERCALL_CODE },
	};

	enable_hypercalls(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_message(fixture, INPUT_PAGE, cases[i].connection_id, cases[i].type,
			    cases[i].size);
		assert_int_equal(hypercall(fixture, cases[i].input, cases[i].address, 0),
				 cases[i].status);
	}
	iteration(fixture);
	assert_int_equal(fixture->messages, 0);
}

static void test_messages_waiting_are_bounded(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_hypercalls(fixture);
	put_message(fixture, INPUT_PAGE, 1, 1, 8);
	fixture->loop_held = true;
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
				 HV_STATUS_SUCCESS);
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
			 HV_STATUS_INSUFFICIENT_BUFFERS);
	put_message(fixture, INPUT_PAGE, MESSAGES, 1, 8); /* a queue of its own */
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
			 HV_STATUS_SUCCESS);
	fixture->loop_held = false;
	turn_until(fixture, &fixture->messages, 17);
	put_message(fixture, INPUT_PAGE, 1, 1, 8);
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
			 HV_STATUS_SUCCESS);
	turn_until(fixture, &fixture->messages, 18);
}

static uint64_t event_count(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) == 0 ? count : 0;
}

static void test_signal_event(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct hvshim_counters counters;
	uint64_t *input = puppet_memory(&fixture->puppet, INPUT_PAGE);

	enable_hypercalls(fixture);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 0x2005, fd), 0);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2005, 0), HV_STATUS_SUCCESS);
	assert_int_equal(event_count(fd), 1);
	hvshim_counters(fixture->hvshim, &counters);
	assert_int_equal(counters.hypercall_exits, 0); /* the kernel did it */

	*input = 0x2005; /* the other form exits */
	assert_int_equal(hypercall(fixture, HV_CALL_SIGNAL_EVENT, INPUT_PAGE, 0),
			 HV_STATUS_SUCCESS);
	assert_int_equal(event_count(fd), 1);
	assert_int_equal(hypercall(fixture, HV_CALL_SIGNAL_EVENT, INPUT_PAGE + 1, 0),
			 HV_STATUS_INVALID_ALIGNMENT);

	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2006, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0xffffffff, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2005 | 1ull << 32, 0),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2005 | 1ull << 48, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(fixture, FAST_CALL | 1ull << 40, 0x2005, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(event_count(fd), 0);

	hvshim_connection_remove(fixture->hvshim, 0x2005);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2005, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(event_count(fd), 0);
	close(fd);
}

static void test_connections_are_bounded(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint32_t id;

	enable_hypercalls(fixture);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 0x1000000, fd), -EINVAL);
	/* Downwards, to have each inserted before the others. */
	for (id = 0x3000; id > 0x3000 - 2048; id--)
		assert_int_equal(hvshim_connection_add(fixture->hvshim, id, fd), 0);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, id, fd), -ENOSPC);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 0x3000, fd), -EEXIST);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2fff, 0), HV_STATUS_SUCCESS);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x3000 - 2047, 0), HV_STATUS_SUCCESS);
	assert_int_equal(event_count(fd), 2);
	for (id = 0x3000; id > 0x3000 - 2048; id -= 2)
		hvshim_connection_remove(fixture->hvshim, id);
	hvshim_connection_remove(fixture->hvshim, 0x3000);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x3000, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(hypercall(fixture, FAST_CALL, 0x2fff, 0), HV_STATUS_SUCCESS);
	for (id = 0x2fff; id > 0x3000 - 2048; id -= 2)
		hvshim_connection_remove(fixture->hvshim, id);
	close(fd);
}

/* ---- Extended hypercalls ---- */

static void test_capabilities(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint64_t *output = puppet_memory(&fixture->puppet, INPUT_PAGE);

	enable_hypercalls(fixture);
	cpuid(fixture, HV_CPUID_FEATURES);
	assert_true(fixture->puppet.registers.rbx & HV_PRIVILEGE_EXTENDED_CALLS);
	output[0] = output[1] = 77;
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES, 0, INPUT_PAGE),
			 HV_STATUS_SUCCESS);
	assert_int_equal(output[0], HV_CAPABILITY_COLD_DISCARD);
	assert_int_equal(output[1], 77);
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES, 0, INPUT_PAGE + 4),
			 HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES, 0, NOT_RAM),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES | HV_HYPERCALL_FAST, 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES | 1ull << 32, 0, INPUT_PAGE),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void test_hypercalls_are_for_kernel_mode(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct vid_registers registers = { .rcx = HV_CALL_POST_MESSAGE,
						 .rdx = INPUT_PAGE,
						 .r9 = HYPERCALL_PAGE };

	enable_hypercalls(fixture);
	put_message(fixture, INPUT_PAGE, MESSAGES, 1, 8);
	puppet_enter_user(&fixture->puppet);
	assert_false(puppet_do(&fixture->puppet, puppet_call, &registers));
	assert_int_equal(fixture->puppet.fault, 6);
	iteration(fixture);
	assert_int_equal(fixture->messages, 0);
}

static uint64_t hypercall_32(struct fixture *fixture, uint64_t input, uint64_t param)
{
	const struct vid_registers registers = {
		.rdx = input >> 32,
		.rax = (uint32_t)input,
		.rbx = param >> 32,
		.rcx = (uint32_t)param,
		.rbp = HYPERCALL_PAGE,
	};

	assert_true(puppet_do(&fixture->puppet, puppet_call_32, &registers));
	return fixture->puppet.registers.rdx << 32 | (uint32_t)fixture->puppet.registers.rax;
}

static void test_32_bit_guest(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct hvshim_counters counters;

	puppet_enter_32(&fixture->puppet);
	enable_hypercalls(fixture);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 0x2005, fd), 0);
	assert_int_equal(hypercall_32(fixture, FAST_CALL, 0x2005), HV_STATUS_SUCCESS);
	assert_int_equal(event_count(fd), 1);
	hvshim_counters(fixture->hvshim, &counters);
	assert_int_equal(counters.hypercall_exits, 0);
	assert_int_equal(hypercall_32(fixture, FAST_CALL, 0x2006), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(hypercall_32(fixture, FAST_CALL, 0x2005 | 1ull << 32),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hypercall_32(fixture, FAST_CALL | 1ull << 32, 0x2005),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	put_message(fixture, INPUT_PAGE, MESSAGES, 1, 40);
	assert_int_equal(hypercall_32(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE),
			 HV_STATUS_SUCCESS);
	turn_until(fixture, &fixture->messages, 1);
	assert_int_equal(hypercall_32(fixture, 0x1234, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
	close(fd);
}

static void test_ports_of_others_are_left_alone(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	struct vid_registers registers = { .rdx = 0x3f8, .rax = 'x' };

	assert_false(puppet_do(&fixture->puppet, puppet_out, &registers));
	assert_int_equal(fixture->puppet.last.kind, VID_EXIT_IO_PORT);
	assert_int_equal(fixture->puppet.last.io.port, 0x3f8);
}

/* ---- SynIC ---- */

static void test_synic_registers(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint8_t *page = puppet_memory(&fixture->puppet, MESSAGE_PAGE);

	memset(page, 0xa5, HV_PAGE_SIZE);
	assert_int_equal(read_msr(fixture, HV_MSR_SIMP), 0);
	write_msr(fixture, HV_MSR_SIMP, MESSAGE_PAGE);
	assert_int_equal(page[0], 0xa5);
	write_msr(fixture, HV_MSR_SIMP, MESSAGE_PAGE | HV_MSR_ENABLE);
	assert_int_equal(read_msr(fixture, HV_MSR_SIMP), MESSAGE_PAGE | HV_MSR_ENABLE);
	assert_int_equal(page[0], 0);
	assert_false(try_write(fixture, HV_MSR_SIMP, NOT_RAM | HV_MSR_ENABLE));
	assert_false(try_write(fixture, HV_MSR_SIEFP, ~UINT64_C(0)));
	assert_int_equal(read_msr(fixture, HV_MSR_SIMP), MESSAGE_PAGE | HV_MSR_ENABLE);

	assert_false(try_write(fixture, HV_MSR_SINT0, 15));
	write_msr(fixture, HV_MSR_SINT0, 16);
	write_msr(fixture, HV_MSR_SINT0, HV_SINT_MASKED); /* with an impossible vector: fine */
	assert_int_equal(read_msr(fixture, HV_MSR_SINT0), HV_SINT_MASKED);
	assert_int_equal(read_msr(fixture, HV_MSR_EOM), 0);
	assert_int_equal(read_msr(fixture, HV_MSR_SCONTROL), 0);
}

/* The kicks are those of a loop that tries again, for the vp may not take interrupts yet. */
static uint32_t take_interrupt_kicked(struct fixture *fixture)
{
	assert_true(puppet_do_kicked(&fixture->puppet, puppet_wait, NULL));
	return puppet_counter(&fixture->puppet);
}

/* Its handler does not end them, and so the second would never come were the first in service. */
static void test_automatic_end(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const uint64_t value = PUPPET_UNENDED | HV_SINT_AUTO_EOI;

	enable_synic(fixture);
	write_msr(fixture, HV_MSR_SINT0 + SINT, value);
	assert_int_equal(read_msr(fixture, HV_MSR_SINT0 + SINT), value);
	for (unsigned i = 1; i <= 3; i++) {
		hvshim_signal_event(fixture->hvshim, 0, SINT, i);
		assert_int_equal(take_interrupt_kicked(fixture), i);
	}
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR);
	assert_int_equal(post(fixture, "plain"), 0);
	assert_int_equal(take_interrupt(fixture), 4);
}

static void test_message(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint64_t bitmap[PUPPET_RAM / HV_PAGE_SIZE / 64];

	assert_int_equal(post(fixture, "early"), HVSHIM_E_NOT_READY);
	enable_synic(fixture);
	assert_int_equal(vid_memory_track_dirty(fixture->puppet.memory, true), 0);
	assert_int_equal(post(fixture, "hello"), 0);
	iteration(fixture);
	assert_int_equal(slot(fixture)->type, 1);
	assert_int_equal(slot(fixture)->payload_size, 5);
	assert_int_equal(slot(fixture)->flags, 0);
	assert_memory_equal((const void *)slot(fixture)->payload, "hello", 5);
	assert_int_equal(take_interrupt(fixture), 1);
	assert_int_equal(
		vid_memory_read_dirty(fixture->puppet.memory, 0, bitmap, ARRAY_SIZE(bitmap)), 0);
	assert_true(bitmap[MESSAGE_PAGE / HV_PAGE_SIZE / 64] >> MESSAGE_PAGE / HV_PAGE_SIZE % 64 &
		    1);
}

static void test_messages_need_an_open_sint(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct hvshim_message message = { .type = 1, .size = 241 };

	enable_synic(fixture);
	assert_int_equal(hvshim_post_message(fixture->hvshim, 0, SINT, &message), -EINVAL);
	assert_int_equal(hvshim_post_message(fixture->hvshim, 0, 16, &message), -EINVAL);
	assert_int_equal(hvshim_post_message(fixture->hvshim, 1, SINT, &message), -EINVAL);
	write_msr(fixture, HV_MSR_SINT0 + SINT, HV_SINT_MASKED | VECTOR);
	assert_int_equal(post(fixture, "masked"), HVSHIM_E_NOT_READY);
	write_msr(fixture, HV_MSR_SINT0 + SINT, HV_SINT_MASKED | HV_SINT_POLLING);
	assert_int_equal(post(fixture, "polled"), 0); /* and no interrupt */
	slot(fixture)->type = 0;
	write_msr(fixture, HV_MSR_SINT0 + SINT, VECTOR);
	write_msr(fixture, HV_MSR_SCONTROL, 0);
	assert_int_equal(post(fixture, "disabled"), HVSHIM_E_NOT_READY);
	write_msr(fixture, HV_MSR_SCONTROL, HV_MSR_ENABLE);
	write_msr(fixture, HV_MSR_SIMP, MESSAGE_PAGE);
	assert_int_equal(post(fixture, "no page"), HVSHIM_E_NOT_READY);
}

static void test_taken_slot(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	assert_int_equal(post(fixture, "first"), 0);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_BUSY);
	assert_int_equal(slot(fixture)->flags & HV_MESSAGE_PENDING, HV_MESSAGE_PENDING);
	assert_memory_equal((const void *)slot(fixture)->payload, "first", 5);
	assert_int_equal(take_interrupt(fixture), 1);
	slot(fixture)->type = HV_MESSAGE_NONE;
	write_msr(fixture, HV_MSR_EOM, 0);
	turn_until(fixture, &fixture->slots_free, 1);
	assert_int_equal(post(fixture, "second"), 0);
	assert_memory_equal((const void *)slot(fixture)->payload, "second", 6);
	assert_int_equal(slot(fixture)->flags, 0);
	assert_int_equal(take_interrupt(fixture), 2);
}

/* A panicking guest frees the slot and says nothing. */
static void test_slot_freed_in_silence(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	assert_int_equal(post(fixture, "first"), 0);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_BUSY);
	slot(fixture)->type = HV_MESSAGE_NONE;
	turn_until(fixture, &fixture->slots_free, 1);
}

/* The slot is taken again at once, and waited for; nothing of that outlives the personality. */
static void test_slot_taken_again_in_silence(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	assert_int_equal(post(fixture, "first"), 0);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_BUSY);
	fixture->refill = 2;
	slot(fixture)->type = HV_MESSAGE_NONE;
	turn_until(fixture, &fixture->slots_free, 1);
	hvshim_free(fixture->hvshim);
	fixture->hvshim = NULL;
	for (unsigned i = 0; i < 4; i++)
		run_loop(fixture, SECOND / 20);
}

static void test_waiting_for_a_page_that_goes(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	assert_int_equal(post(fixture, "first"), 0);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_BUSY);
	write_msr(fixture, HV_MSR_SIMP, 0);
	turn_until(fixture, &fixture->slots_free, 1);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_NOT_READY);
}

static void test_event_flags(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint8_t *flags;
	struct hvshim_counters counters;

	hvshim_signal_event(fixture->hvshim, 0, SINT, 5); /* too early: nothing */
	enable_synic(fixture);
	flags = (uint8_t *)puppet_memory(&fixture->puppet, EVENT_PAGE) + SINT * 256;
	hvshim_signal_event(fixture->hvshim, 0, SINT, 13);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 13);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 2047);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 2048);
	hvshim_signal_event(fixture->hvshim, 0, 16, 1);
	hvshim_signal_event(fixture->hvshim, 7, SINT, 1);
	iteration(fixture);
	assert_int_equal(flags[0], 0);
	assert_int_equal(flags[1], 1 << 5);
	assert_int_equal(flags[255], 1 << 7);
	hvshim_counters(fixture->hvshim, &counters);
	assert_int_equal(counters.events_signalled, 2);
	assert_int_equal(take_interrupt(fixture), 1);

	/* Not onto a page that the guest has taken back. */
	write_msr(fixture, HV_MSR_SIEFP, EVENT_PAGE);
	flags[1] = 0;
	hvshim_signal_event(fixture->hvshim, 0, SINT, 13);
	assert_int_equal(flags[1], 0);
}

static void test_sint_moves_to_another_vector(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	write_msr(fixture, HV_MSR_SINT0 + SINT, 0xf3);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 1);
	iteration(fixture);
	assert_int_equal(take_interrupt(fixture), 1);
}

/* ---- Synthetic timers ---- */

#define TIMER_CONFIG(n) (HV_MSR_STIMER0_CONFIG + 2 * (n))
#define TIMER_COUNT(n)  (HV_MSR_STIMER0_COUNT + 2 * (n))
#define TO_SINT         ((uint64_t)SINT << 16)
#define DIRECT          (HV_STIMER_DIRECT | (uint64_t)VECTOR << 4)

static void turn_until_slot_taken(struct fixture *fixture)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (slot(fixture)->type == HV_MESSAGE_NONE && loop_now() < end)
		run_loop(fixture, SECOND);
	assert_int_not_equal(slot(fixture)->type, HV_MESSAGE_NONE);
}

static void test_one_shot_timer(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint64_t when;
	struct hv_timer_message message;

	enable_synic(fixture);
	write_msr(fixture, TIMER_CONFIG(1), TO_SINT | HV_STIMER_AUTO_ENABLE);
	assert_int_equal(read_msr(fixture, TIMER_CONFIG(1)), TO_SINT | HV_STIMER_AUTO_ENABLE);
	when = hvshim_reference_time(fixture->hvshim) + 50000;
	write_msr(fixture, TIMER_COUNT(1), when);
	assert_true(read_msr(fixture, TIMER_CONFIG(1)) & HV_STIMER_ENABLE ||
		    hvshim_reference_time(fixture->hvshim) >= when);
	turn_until_slot_taken(fixture);
	assert_int_equal(slot(fixture)->type, HV_MESSAGE_TIMER_EXPIRED);
	assert_int_equal(slot(fixture)->payload_size, sizeof(message));
	memcpy(&message, (const void *)slot(fixture)->payload, sizeof(message));
	assert_int_equal(message.timer, 1);
	assert_int_equal(message.expiration_time, when);
	assert_true(message.delivery_time >= when);
	assert_false(read_msr(fixture, TIMER_CONFIG(1)) & HV_STIMER_ENABLE);
	assert_int_equal(read_msr(fixture, TIMER_COUNT(1)), when);
	assert_int_equal(take_interrupt(fixture), 1);
}

static void test_timer_waits_for_its_slot(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	enable_synic(fixture);
	assert_int_equal(post(fixture, "first"), 0);
	write_msr(fixture, TIMER_CONFIG(0), TO_SINT | HV_STIMER_AUTO_ENABLE);
	write_msr(fixture, TIMER_COUNT(0), 1); /* long past */
	for (unsigned i = 0; i < 1000 && !(slot(fixture)->flags & HV_MESSAGE_PENDING); i++)
		run_loop(fixture, SECOND);
	assert_int_equal(slot(fixture)->type, 1);
	slot(fixture)->type = HV_MESSAGE_NONE;
	write_msr(fixture, HV_MSR_EOM, 0);
	turn_until_slot_taken(fixture);
	assert_int_equal(slot(fixture)->type, HV_MESSAGE_TIMER_EXPIRED);
}

static void test_direct_periodic_timer(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	uint32_t *counter = puppet_memory(&fixture->puppet, PUPPET_COUNTER);

	puppet_enable_apic(&fixture->puppet);
	write_msr(fixture, TIMER_COUNT(3), 10000);
	write_msr(fixture, TIMER_CONFIG(3), DIRECT | HV_STIMER_PERIODIC | HV_STIMER_ENABLE);
	for (uint32_t i = 1; i <= 3; i++) {
		struct hvshim_counters counters;
		uint64_t end = loop_now() + 60 * SECOND;
		struct vid_exit exit;

		/* The loop must have turned before there can be an interrupt to wait for. */
		do {
			run_loop(fixture, SECOND / 100);
			vid_vp_kick(fixture->puppet.vp);
			assert_int_equal(vid_vp_run(fixture->puppet.vp, &exit), 0);
			hvshim_counters(fixture->hvshim, &counters);
		} while (counters.timers_expired < i && loop_now() < end);
		assert_true(counters.timers_expired >= i);
		assert_true(take_interrupt(fixture) >= i);
	}
	assert_true(read_msr(fixture, TIMER_CONFIG(3)) & HV_STIMER_ENABLE);
	write_msr(fixture, TIMER_COUNT(3), 0);
	assert_false(read_msr(fixture, TIMER_CONFIG(3)) & HV_STIMER_ENABLE);
	assert_true(*counter >= 3);
}

static void test_timer_configurations(void **state)
{
	struct fixture *fixture = FIXTURE(state);

	/* Neither a SINT nor a vector: never enabled. */
	write_msr(fixture, TIMER_COUNT(0), UINT64_MAX);
	write_msr(fixture, TIMER_CONFIG(0), HV_STIMER_ENABLE);
	assert_int_equal(read_msr(fixture, TIMER_CONFIG(0)), 0);
	write_msr(fixture, TIMER_CONFIG(0), HV_STIMER_ENABLE | HV_STIMER_DIRECT | 15 << 4);
	assert_false(read_msr(fixture, TIMER_CONFIG(0)) & HV_STIMER_ENABLE);
	/* The end of time, once and again and again. */
	write_msr(fixture, TIMER_CONFIG(0), HV_STIMER_ENABLE | TO_SINT);
	assert_true(read_msr(fixture, TIMER_CONFIG(0)) & HV_STIMER_ENABLE);
	write_msr(fixture, TIMER_CONFIG(0), HV_STIMER_ENABLE | HV_STIMER_PERIODIC | DIRECT);
	assert_true(read_msr(fixture, TIMER_CONFIG(0)) & HV_STIMER_ENABLE);
	/* As often as can be: the loop still turns. */
	write_msr(fixture, TIMER_COUNT(0), 1);
	write_msr(fixture, TIMER_CONFIG(0), HV_STIMER_ENABLE | HV_STIMER_PERIODIC | DIRECT);
	for (unsigned i = 0; i < 100; i++)
		iteration(fixture);
}

/* ---- Life ---- */

/* ---- Saved and restored ---- */

static void save_all(struct fixture *fixture, struct state_writer *writer)
{
	state_writer_init(writer);
	hvshim_quiesce(fixture->hvshim);
	assert_int_equal(vid_partition_save(fixture->puppet.partition, writer, "partition"), 0);
	assert_int_equal(vid_vp_save(fixture->puppet.vp, writer, "vp-0"), 0);
	assert_int_equal(hvshim_save(fixture->hvshim, writer), 0);
}

/* In another partition around the same memory. */
static void restore_all(struct fixture *fixture, const struct state_writer *writer)
{
	struct vid_partition_config config = { .memory = fixture->puppet.memory };
	struct puppet *puppet = &fixture->puppet;
	struct state_refusal refusal = { .text = "" };
	struct state_reader reader;

	hvshim_free(fixture->hvshim);
	vid_vp_free(puppet->vp);
	vid_partition_free(puppet->partition);
	hvshim_prepare(HVSHIM_ENGINE_USER, &config);
	assert_int_equal(vid_partition_new(puppet->vid, &config, &puppet->partition), 0);
	assert_int_equal(vid_vp_new(puppet->partition, 0, 0, &puppet->vp), 0);
	make_hvshim(fixture);
	assert_int_equal(state_reader_init(&reader, writer->bytes, writer->size), 0);
	if (vid_partition_restore(puppet->partition, &reader, "partition", &refusal) < 0 ||
	    vid_vp_restore(puppet->vp, &reader, "vp-0", &refusal) < 0 ||
	    hvshim_restore(fixture->hvshim, &reader, &refusal) < 0)
		fail_msg("%s", refusal.text);
}

static void resume_all(struct fixture *fixture)
{
	assert_int_equal(vid_partition_start(fixture->puppet.partition), 0);
	assert_int_equal(vid_vp_start(fixture->puppet.vp), 0);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
}

/*
 * A message whose interrupt the guest has not taken, a timer, and a message of the guest's that the
 * loop has not: each comes once, and hypercalls go on.
 */
static void test_restored_in_the_midst(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	struct hv_post_message posted = { .connection_id = MESSAGES, .type = 1, .size = 3 };
	struct state_writer first, second;
	uint64_t before;

	enable_hypercalls(fixture);
	enable_synic(fixture);
	write_msr(fixture, HV_MSR_SINT0 + SINT + 1, VECTOR + 1);
	assert_int_equal(post(fixture, "hello"), 0);
	run_loop(fixture, 0);
	fixture->loop_held = true;
	memcpy(posted.payload, "abc", 3);
	memcpy(puppet_memory(&fixture->puppet, INPUT_PAGE), &posted, sizeof(posted));
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0), 0);
	before = read_msr(fixture, HV_MSR_REFERENCE_COUNT);
	write_msr(fixture, HV_MSR_STIMER0_COUNT, before + 500000);
	write_msr(fixture, HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | (uint64_t)(SINT + 1) << 16);
	save_all(fixture, &first);
	restore_all(fixture, &first);
	save_all(fixture, &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.bytes, second.bytes, first.size);
	resume_all(fixture);
	fixture->loop_held = false;
	assert_true(read_msr(fixture, HV_MSR_REFERENCE_COUNT) >= before);

	assert_memory_equal((const void *)slot(fixture)->payload, "hello", 5);
	turn_until(fixture, &fixture->messages, 1);
	assert_memory_equal(fixture->message.payload, "abc", 3);
	for (uint64_t end = loop_now() + 60 * SECOND;
	     slot(fixture)[1].type == HV_MESSAGE_NONE && loop_now() < end;)
		run_loop(fixture, SECOND);
	assert_int_equal(slot(fixture)[1].type, HV_MESSAGE_TIMER_EXPIRED);
	while (puppet_counter(&fixture->puppet) < 2)
		(void)take_interrupt(fixture);
	assert_int_equal(puppet_counter(&fixture->puppet), 2);
	assert_int_equal(hypercall(fixture, HV_CALL_NOTIFY_LONG_SPIN_WAIT, 0, 0), 0);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

/* Freed with a message queued, a slot waited for and a timer running: teardown sees to the rest. */
static void test_free_in_the_middle(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	unsigned called;

	enable_hypercalls(fixture);
	enable_synic(fixture);
	write_msr(fixture, TIMER_COUNT(3), 10);
	write_msr(fixture, TIMER_CONFIG(3), DIRECT | HV_STIMER_PERIODIC | HV_STIMER_ENABLE);
	put_message(fixture, INPUT_PAGE, MESSAGES, 1, 40);
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE, 0),
			 HV_STATUS_SUCCESS);
	write_msr(fixture, HV_MSR_CRASH_CONTROL, HV_CRASH_NOTIFY);
	assert_int_equal(post(fixture, "first"), 0);
	assert_int_equal(post(fixture, "second"), HVSHIM_E_BUSY);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 1);
	write_msr(fixture, HV_MSR_EOM, 0);
	/* The loop may have run already, where a completion of its own interrupted the vp. */
	called = fixture->messages + fixture->slots_free + fixture->crashes;
	hvshim_free(fixture->hvshim);
	fixture->hvshim = NULL;
	for (unsigned i = 0; i < 4; i++)
		iteration(fixture);
	assert_int_equal(fixture->messages + fixture->slots_free + fixture->crashes, called);
}

static void test_engines(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	const struct vid_capabilities *capabilities = vid_capabilities(fixture->puppet.vid);
	enum hvshim_engine engine;

	assert_int_equal(hvshim_choose_engine(fixture->puppet.vid, HVSHIM_ENGINE_USER, &engine), 0);
	assert_int_equal(engine, HVSHIM_ENGINE_USER);
	assert_int_equal(hvshim_choose_engine(fixture->puppet.vid, HVSHIM_ENGINE_AUTO, &engine), 0);
	assert_int_equal(engine,
			 capabilities->hyperv_synic2 ? HVSHIM_ENGINE_KERNEL : HVSHIM_ENGINE_USER);
	if (!capabilities->hyperv_synic2)
		assert_int_equal(
			hvshim_choose_engine(fixture->puppet.vid, HVSHIM_ENGINE_KERNEL, &engine),
			-ENOTSUP);
	assert_string_equal(hvshim_engine_name(HVSHIM_ENGINE_USER), "user-space");
}

static void assert_register(struct json_object *object, const char *key, uint64_t expected)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	assert_int_equal(strtoull(json_object_get_string(value), NULL, 16), expected);
}

static void test_inspection(void **state)
{
	struct fixture *fixture = FIXTURE(state);
	AUTO_JSON struct json_object *all = NULL, *vp = NULL;
	struct json_object *msrs, *sints, *timers;

	enable_synic(fixture);
	write_msr(fixture, HV_MSR_GUEST_OS_ID, GUEST_OS);
	write_msr(fixture, HV_MSR_STIMER0_COUNT, 1);
	all = hvshim_inspect(fixture->hvshim);
	assert_true(json_object_object_get_ex(all, "msrs", &msrs));
	assert_register(msrs, "guest_os_id", GUEST_OS);
	assert_register(msrs, "hypercall", 0);
	vp = hvshim_inspect_vp(fixture->hvshim, 0);
	assert_register(vp, "control", HV_MSR_ENABLE);
	assert_register(vp, "simp", MESSAGE_PAGE | HV_MSR_ENABLE);
	assert_register(vp, "siefp", EVENT_PAGE | HV_MSR_ENABLE);
	assert_true(json_object_object_get_ex(vp, "sints", &sints));
	assert_int_equal(json_object_array_length(sints), 1);
	assert_register(json_object_array_get_idx(sints, 0), "value", VECTOR);
	assert_true(json_object_object_get_ex(vp, "timers", &timers));
	assert_int_equal(json_object_array_length(timers), 1);
}

int main(void)
{
#define TEST(name)        cmocka_unit_test_setup_teardown(name, setup, teardown)
#define X2APIC_TEST(name) cmocka_unit_test_setup_teardown(name, setup_x2apic, teardown)
#define TIMER_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_timers, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_leaves),
		TEST(test_plain_msrs),
		X2APIC_TEST(test_lazy_end_of_interrupt),
		TEST(test_reset_msr),
		TEST(test_crash),
		TEST(test_reference_time),
		TEST(test_hypercall_page_overlays),
		TEST(test_hypercall_page_locks),
		TEST(test_post_message),
		TEST(test_post_message_is_checked),
		TEST(test_messages_waiting_are_bounded),
		TEST(test_signal_event),
		TEST(test_connections_are_bounded),
		TEST(test_capabilities),
		TEST(test_hypercalls_are_for_kernel_mode),
		TEST(test_32_bit_guest),
		TEST(test_ports_of_others_are_left_alone),
		TEST(test_synic_registers),
		TEST(test_automatic_end),
		TEST(test_message),
		TEST(test_messages_need_an_open_sint),
		TEST(test_taken_slot),
		TEST(test_slot_freed_in_silence),
		TEST(test_slot_taken_again_in_silence),
		TEST(test_waiting_for_a_page_that_goes),
		TEST(test_event_flags),
		TEST(test_sint_moves_to_another_vector),
		TIMER_TEST(test_one_shot_timer),
		TIMER_TEST(test_timer_waits_for_its_slot),
		TIMER_TEST(test_direct_periodic_timer),
		TIMER_TEST(test_timer_configurations),
		TIMER_TEST(test_restored_in_the_midst),
		TIMER_TEST(test_free_in_the_middle),
		TIMER_TEST(test_inspection),
		TEST(test_engines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

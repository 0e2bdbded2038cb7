/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The in-kernel engine, over a hypervisor that is not there: the exits KVM would give, the EOIs it
 * would report. That real KVM gives them so is what the tests with stock guests show.
 */
#include "common/base/json.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "tests/fake/watched_memory.h"
#include "tests/unit/hvshim/fake_vid.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define SECOND         1000000000ull
#define RAM            0x100000u
#define MESSAGE_PAGE   0x1000u
#define EVENT_PAGE     0x2000u
#define INPUT_PAGE     0x3000u
#define NOT_RAM        0x90000000u
#define LARGE_RAM      0x40000000u /* of LARGE_RAM_SIZE bytes */
#define LARGE_RAM_SIZE 0x800000u
#define SINT           2u
#define MESSAGES       4u

struct fixture {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vp;
	struct hvshim *hvshim;
	unsigned messages, slots_free, crashes, resets;
};

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
	((struct fixture *)data)->messages++;
}

static void on_slot_free(void *data, uint32_t vp)
{
	((struct fixture *)data)->slots_free++;
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
	((struct fixture *)data)->crashes++;
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

/* A KVM that offers everything there is, sound or not. */
static void offer_everything(struct vid_cpuid *cpuid)
{
	for (uint32_t function = 0x40000000; function <= 0x4000000a; function++)
		cpuid->leaves[cpuid->count++] = (struct vid_cpuid_leaf){
			.function = function,
			.eax = UINT32_MAX,
			.ebx = UINT32_MAX,
			.ecx = UINT32_MAX,
			.edx = UINT32_MAX,
		};
}

static int attach(struct fixture *fixture)
{
	struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };

	return hvshim_vp_attach(fixture->hvshim, &fixture->vp, &cpuid);
}

#define ENLIGHTENMENTS_ALL \
	(ENLIGHTENMENTS_DEFAULT | enlightenment_bit(ENLIGHTENMENT_SYNTHETIC_TIMERS))

/* Anew, with these enlightenments wanted. */
static void make_hvshim(struct fixture *fixture, uint32_t enlightenments)
{
	const struct hvshim_config config = {
		.engine = HVSHIM_ENGINE_KERNEL,
		.vp_count = 1,
		.partition = &fixture->partition,
		.loop = fixture->loop,
		.callbacks = &callbacks,
		.data = fixture,
		.message_connections = { MESSAGES },
		.enlightenments = enlightenments,
	};

	hvshim_free(fixture->hvshim);
	assert_int_equal(hvshim_new(&config, &fixture->hvshim), 0);
	assert_int_equal(attach(fixture), 0);
}

static int make(void **state, uint32_t enlightenments, bool virtualized)
{
	static struct fixture fixture;
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };
	const struct vid_memory_region large = { .gpa = GPA(LARGE_RAM), .size = LARGE_RAM_SIZE };

	memset(&fixture, 0, sizeof(fixture));
	fixture.partition.vid.capabilities.apic_virtualization = virtualized;
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	assert_int_equal(vid_memory_new(&fixture.partition.memory), 0);
	assert_int_equal(vid_memory_add(fixture.partition.memory, ram, VID_MEMORY_SMALL, false), 0);
	assert_int_equal(vid_memory_add(fixture.partition.memory, large, VID_MEMORY_SMALL, false),
			 0);
	fixture.vp.partition = &fixture.partition;
	offer_everything(&fixture.vp.offered);
	make_hvshim(&fixture, enlightenments);
	*state = &fixture;
	return 0;
}

static int setup(void **state)
{
	return make(state, ENLIGHTENMENTS_DEFAULT, false);
}

static int setup_timers(void **state)
{
	return make(state, ENLIGHTENMENTS_ALL, false);
}

static int setup_without_apic_msrs(void **state)
{
	return make(state, ENLIGHTENMENTS_DEFAULT & ~enlightenment_bit(ENLIGHTENMENT_APIC_MSRS),
		    false);
}

static int setup_virtualized_apic(void **state)
{
	return make(state, ENLIGHTENMENTS_DEFAULT, true);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	hvshim_free(fixture->hvshim);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_run_once(fixture->loop, 0), 0);
	assert_int_equal(fixture->partition.interrupts, 0);
	assert_int_equal(fixture->partition.connections, 0);
	loop_free(fixture->loop);
	vid_memory_free(fixture->partition.memory);
	return 0;
}

static void *memory(struct fixture *fixture, uint64_t address)
{
	return watched_memory_guest(fixture->partition.memory, GPA(address), 1);
}

static int give_exit(struct fixture *fixture, const struct vid_exit *exit)
{
	fixture->vp.answer = FAKE_NO_ANSWER;
	return hvshim_exit(fixture->hvshim, &fixture->vp, exit);
}

static void synic_exit(struct fixture *fixture, uint64_t control, uint64_t events,
		       uint64_t messages)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_SYNIC,
		.synic = { .msr = HV_MSR_SIMP,
			   .control = control,
			   .event_page = events,
			   .message_page = messages },
	};

	assert_int_equal(give_exit(fixture, &exit), 0);
}

static void enable_synic(struct fixture *fixture)
{
	synic_exit(fixture, 1, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
}

static uint64_t hypercall(struct fixture *fixture, uint64_t input, uint64_t param)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_HYPERCALL,
		.hypercall = { .input = input, .params = { param } },
	};

	assert_int_equal(give_exit(fixture, &exit), 0);
	assert_int_equal(fixture->vp.answer, FAKE_VALUE);
	return fixture->vp.value;
}

static volatile struct hv_message *slot(struct fixture *fixture)
{
	return (volatile struct hv_message *)memory(fixture, MESSAGE_PAGE) + SINT;
}

static int post(struct fixture *fixture)
{
	const struct hvshim_message message = { .type = 1, .size = 2, .payload = "ok" };

	return hvshim_post_message(fixture->hvshim, 0, SINT, &message);
}

static uint64_t event_count(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) == 0 ? count : 0;
}

static void iterations(struct fixture *fixture, unsigned count)
{
	while (count-- > 0)
		assert_int_equal(loop_run_once(fixture->loop, 0), 0);
}

static void turn_until(struct fixture *fixture, const unsigned *count, unsigned wanted)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (*count < wanted && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND), 0);
	assert_int_equal(*count, wanted);
}

static void test_prepare(void **state)
{
	struct vid_partition_config config = { 0 };
	bool reset = false, crash = false;

	hvshim_prepare(HVSHIM_ENGINE_KERNEL, &config);
	for (size_t i = 0; i < VID_MSR_RANGE_MAX; i++) {
		const struct vid_msr_range *range = &config.msr_exits[i];

		reset |= range->first == HV_MSR_RESET && range->count == 1;
		crash |= range->first == HV_MSR_CRASH_P0 && range->count == 6;
		assert_true(HV_MSR_SINT0 - range->first >= range->count); /* KVM's */
	}
	assert_true(reset && crash);
}

static void test_leaves(void **state)
{
	struct fixture *fixture = *state;
	struct vid_cpuid *cpuid = &fixture->vp.cpuid;
	const struct vid_cpuid_leaf *features, *hints;

	assert_true(fixture->vp.synic_enabled);
	assert_true(vid_cpuid_find(cpuid, 1, 0)->ecx & HV_CPUID_HYPERVISOR_ECX31);
	assert_int_equal(vid_cpuid_find(cpuid, HV_CPUID_VENDOR_AND_MAX, 0)->ebx,
			 HV_CPUID_VENDOR_EBX);
	assert_null(vid_cpuid_find(cpuid, 0x4000000a, 0)); /* nested virtualisation */
	features = vid_cpuid_find(cpuid, HV_CPUID_FEATURES, 0);
	assert_true(features->eax & HV_PRIVILEGE_SYNIC);
	assert_false(features->eax & HV_PRIVILEGE_SYNTHETIC_TIMERS);
	assert_false(features->edx & HV_FEATURE_DIRECT_STIMER);
	assert_true(features->eax & HV_PRIVILEGE_RESET);
	assert_int_equal(features->ebx, HV_PRIVILEGE_POST_MESSAGES | HV_PRIVILEGE_SIGNAL_EVENTS |
						HV_PRIVILEGE_EXTENDED_CALLS);
	assert_true(features->edx & HV_FEATURE_GUEST_CRASH);
	hints = vid_cpuid_find(cpuid, HV_CPUID_RECOMMENDATIONS, 0);
	assert_true(hints->eax & HV_HINT_DEPRECATE_AUTO_EOI);
	assert_true(hints->eax & HV_HINT_APIC_MSRS);
	assert_false(hints->eax & 1u << 14); /* the enlightened VMCS */

	/* A KVM that offers next to nothing: no more is given than it has. */
	fixture->vp.offered.count = 0;
	assert_int_equal(attach(fixture), 0);
	assert_false(vid_cpuid_find(cpuid, HV_CPUID_FEATURES, 0)->eax & HV_PRIVILEGE_SYNIC);
	assert_true(vid_cpuid_find(cpuid, HV_CPUID_RECOMMENDATIONS, 0)->eax &
		    HV_HINT_DEPRECATE_AUTO_EOI);
}

/* Each by its bits, and nothing of it when it is off. */
static void test_enlightenments_are_switched_off(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_cpuid_leaf *features, *hints;
	const uint32_t told = hvshim_enlightenments(fixture->hvshim);
	struct vid_cpuid_leaf with[2];

	features = vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_FEATURES, 0);
	hints = vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_RECOMMENDATIONS, 0);
	with[0] = *features;
	with[1] = *hints;
	/* KVM has no idle MSR, and this one is never to be told of long waits. */
	assert_int_equal(told & enlightenment_bit(ENLIGHTENMENT_IDLE), 0);
	assert_int_equal(told & enlightenment_bit(ENLIGHTENMENT_SPIN_WAIT), 0);
	assert_int_equal(__builtin_popcount(told), _ENLIGHTENMENT_COUNT - 2);
	for (enum enlightenment i = 0; i < _ENLIGHTENMENT_COUNT; i++) {
		unsigned bits;

		make_hvshim(fixture, ENLIGHTENMENTS_ALL & ~enlightenment_bit(i));
		assert_int_equal(hvshim_enlightenments(fixture->hvshim) & enlightenment_bit(i), 0);
		bits = (unsigned)(__builtin_popcount(with[0].eax ^ features->eax) +
				  __builtin_popcount(with[0].ebx ^ features->ebx) +
				  __builtin_popcount(with[0].edx ^ features->edx) +
				  __builtin_popcount(with[1].eax ^ hints->eax));
		assert_int_equal(bits > 0, (told & enlightenment_bit(i)) != 0);
	}
}

static void test_long_waits_are_told(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t bit = enlightenment_bit(ENLIGHTENMENT_SPIN_WAIT);
	const struct vid_cpuid_leaf *hints;

	vid_cpuid_find(&fixture->vp.offered, HV_CPUID_RECOMMENDATIONS, 0)->ebx = 0xfff;
	make_hvshim(fixture, ENLIGHTENMENTS_DEFAULT);
	hints = vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_RECOMMENDATIONS, 0);
	assert_int_equal(hints->ebx, 0xfff);
	assert_true(hvshim_enlightenments(fixture->hvshim) & bit);
	make_hvshim(fixture, ENLIGHTENMENTS_DEFAULT & ~bit);
	assert_int_equal(hints->ebx, HV_SPIN_RETRY_NEVER);
	assert_false(hvshim_enlightenments(fixture->hvshim) & bit);
}

static void test_apic_msrs_are_not_recommended(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_cpuid_leaf *hints =
		vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_RECOMMENDATIONS, 0);

	assert_false(hints->eax & HV_HINT_APIC_MSRS);
	assert_true(hints->eax & HV_HINT_DEPRECATE_AUTO_EOI);
}

static void test_timers_are_offered(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_cpuid_leaf *features =
		vid_cpuid_find(&fixture->vp.cpuid, HV_CPUID_FEATURES, 0);

	assert_true(features->eax & HV_PRIVILEGE_SYNTHETIC_TIMERS);
	assert_true(features->edx & HV_FEATURE_DIRECT_STIMER);
}

static void test_pages_follow_the_exits(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *page = memory(fixture, MESSAGE_PAGE);

	memset(page, 0xa5, HV_PAGE_SIZE);
	assert_int_equal(post(fixture), HVSHIM_E_NOT_READY);
	synic_exit(fixture, 1, 0, MESSAGE_PAGE | 1);
	assert_int_equal(page[0], 0);
	assert_int_equal(post(fixture), 0);
	/* The next exit, of another register, leaves it alone. */
	synic_exit(fixture, 1, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
	assert_int_equal(slot(fixture)->type, 1);
	synic_exit(fixture, 0, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
	assert_int_equal(post(fixture), HVSHIM_E_NOT_READY);
	/* KVM has already said yes to this. */
	synic_exit(fixture, 1, NOT_RAM | 1, NOT_RAM | 1);
	assert_int_equal(post(fixture), HVSHIM_E_NOT_READY);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 1);
	synic_exit(fixture, 1, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
	assert_int_equal(post(fixture), 0);
}

static void test_interrupts_go_to_the_sint(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_interrupt *interrupt;

	enable_synic(fixture);
	assert_int_equal(post(fixture), 0);
	iterations(fixture, 1);
	interrupt = fixture->partition.newest;
	assert_int_equal(interrupt->route, FAKE_SINT);
	assert_int_equal(interrupt->target, 0);
	assert_int_equal(interrupt->vector, SINT);
	assert_int_equal(event_count(interrupt->fd), 1);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	hvshim_signal_event(fixture->hvshim, 0, SINT, 7);
	iterations(fixture, 1);
	assert_int_equal(event_count(interrupt->fd), 1);
	assert_int_equal(((uint8_t *)memory(fixture, EVENT_PAGE))[SINT * 256], 1 << 7);
	assert_int_equal(fixture->partition.interrupts, 1);
}

/* The end of an interrupt is a reason to look at the slot, and nothing more. */
static void test_slot_is_looked_at_after_eoi(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_interrupt *interrupt;

	enable_synic(fixture);
	for (unsigned round = 1; round <= 3; round++) {
		assert_int_equal(post(fixture), 0);
		interrupt = fixture->partition.newest;
		eventfd_write(interrupt->eoi_fd, 1); /* an earlier one */
		assert_int_equal(post(fixture), HVSHIM_E_BUSY);
		assert_true(slot(fixture)->flags & HV_MESSAGE_PENDING);
		eventfd_write(interrupt->eoi_fd, 1);
		iterations(fixture, 2);
		assert_int_equal(fixture->slots_free, round - 1);
		slot(fixture)->type = HV_MESSAGE_NONE;
		eventfd_write(interrupt->eoi_fd, 1);
		turn_until(fixture, &fixture->slots_free, round);
		eventfd_write(interrupt->eoi_fd, 1); /* nobody waits */
		iterations(fixture, 3);
		assert_int_equal(fixture->slots_free, round);
		if (round == 2) /* posted again before the old poll has ended */
			continue;
		assert_int_equal(post(fixture), 0);
		assert_int_equal(post(fixture), HVSHIM_E_BUSY);
		slot(fixture)->type = HV_MESSAGE_NONE;
		turn_until(fixture, &fixture->slots_free, round + 1);
		fixture->slots_free = round;
	}
}

static void test_hypercalls(void **state)
{
	struct fixture *fixture = *state;
	struct hv_post_message *input = memory(fixture, INPUT_PAGE);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	*input = (struct hv_post_message){ .connection_id = MESSAGES, .type = 1, .size = 3 };
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, INPUT_PAGE), HV_STATUS_SUCCESS);
	turn_until(fixture, &fixture->messages, 1);
	assert_int_equal(hypercall(fixture, HV_CALL_POST_MESSAGE, NOT_RAM),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	/* KVM has read the parameter of the slow form, too. */
	assert_int_equal(hypercall(fixture, HV_CALL_SIGNAL_EVENT, 77),
			 HV_STATUS_INVALID_CONNECTION_ID);
	fixture->partition.connect_error = -ENOSPC;
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 77, fd), 0);
	assert_int_equal(hypercall(fixture, HV_CALL_SIGNAL_EVENT, 77), HV_STATUS_SUCCESS);
	assert_int_equal(hypercall(fixture, HV_CALL_SIGNAL_EVENT | HV_HYPERCALL_FAST, 77),
			 HV_STATUS_SUCCESS);
	assert_int_equal(event_count(fd), 2);
	assert_int_equal(hypercall(fixture, 0x51, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
	close(fd);
}

/* ---- Pages that the guest reports free ---- */

#define REPORT(count)        (HV_CALL_MEMORY_HEAT_HINT | (uint64_t)(count) << 32)
#define FRAMES(first, count) ((uint64_t)(first) << 12 | ((count)-1))
#define LARGE(first, count)  ((uint64_t)(first) << 21 | HV_GPA_RANGE_LARGE | ((count)-1))

static uint64_t report(struct fixture *fixture, uint64_t input, uint64_t type, uint64_t first,
		       uint64_t second)
{
	uint64_t *block = memory(fixture, INPUT_PAGE);

	block[0] = type;
	block[1] = first;
	block[2] = second;
	return hypercall(fixture, input, INPUT_PAGE);
}

static void fill(struct fixture *fixture)
{
	memset(memory(fixture, LARGE_RAM), 0x5a, LARGE_RAM_SIZE);
	memset(memory(fixture, 0x10000), 0x5a, 0x10000);
}

/* Whether all pages from the first to the last are those that the guest had, or zeros. */
static void assert_pages(struct fixture *fixture, uint64_t first, uint64_t count, uint8_t value)
{
	for (uint64_t page = first; page < first + count; page++) {
		const uint8_t *bytes = memory(fixture, page * HV_PAGE_SIZE);

		assert_int_equal(bytes[0], value);
		assert_int_equal(bytes[HV_PAGE_SIZE - 1], value);
	}
}

static uint64_t discarded(struct fixture *fixture)
{
	struct hvshim_counters counters;

	hvshim_counters(fixture->hvshim, &counters);
	return counters.discarded_pages;
}

static void test_reported_pages_are_given_back(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t large = LARGE_RAM >> 21;

	fill(fixture);
	assert_int_equal(report(fixture, REPORT(2), HV_MEMORY_COLD_DISCARD, FRAMES(0x11, 3),
				LARGE(large + 1, 2)),
			 HV_STATUS_SUCCESS | HV_HYPERCALL_REPS_DONE(2));
	assert_pages(fixture, 0x10, 1, 0x5a);
	assert_pages(fixture, 0x11, 3, 0);
	assert_pages(fixture, 0x14, 1, 0x5a);
	assert_pages(fixture, large << 9, 512, 0x5a);
	assert_pages(fixture, (large + 1) << 9, 1024, 0);
	assert_pages(fixture, (large + 3) << 9, 512, 0x5a);
	assert_int_equal(discarded(fixture), 3 + 1024);

	/* From the second on. */
	fill(fixture);
	assert_int_equal(report(fixture, REPORT(2) | 1ull << 48, HV_MEMORY_COLD_DISCARD,
				FRAMES(0x11, 3), FRAMES(0x18, 1)),
			 HV_STATUS_SUCCESS | HV_HYPERCALL_REPS_DONE(2));
	assert_pages(fixture, 0x11, 7, 0x5a);
	assert_pages(fixture, 0x18, 1, 0);
}

/* A call takes no longer than for some hundreds of megabytes. */
static void test_reports_are_taken_in_parts(void **state)
{
	const struct vid_memory_region ram = { .gpa = GPA(UINT64_C(1) << 32),
					       .size = UINT64_C(512) << 20 };
	struct fixture *fixture = *state;
	const uint64_t first = LARGE(2048, 128), second = LARGE(2048 + 128, 128);

	assert_int_equal(vid_memory_add(fixture->partition.memory, ram, VID_MEMORY_SMALL, false),
			 0);
	assert_int_equal(report(fixture, REPORT(2), HV_MEMORY_COLD_DISCARD, first, second),
			 HV_STATUS_SUCCESS | HV_HYPERCALL_REPS_DONE(1));
	assert_int_equal(
		report(fixture, REPORT(2) | 1ull << 48, HV_MEMORY_COLD_DISCARD, first, second),
		HV_STATUS_SUCCESS | HV_HYPERCALL_REPS_DONE(2));
	assert_int_equal(discarded(fixture), 2 * 65536);
}

static void test_reports_are_checked(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		uint64_t input, type, range;
		uint64_t status;
	} cases[] = {
		{ REPORT(1), 0, FRAMES(0x11, 1), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 1, FRAMES(0x11, 1), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 6, FRAMES(0x11, 1), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, FRAMES(NOT_RAM >> 12, 1), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, FRAMES(0xff, 2), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, FRAMES(UINT64_MAX >> 12, 2048), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, LARGE(UINT64_MAX >> 21, 2048), HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, UINT64_MAX & ~HV_GPA_RANGE_LARGE_RESERVED,
		  HV_STATUS_INVALID_PARAMETER },
		{ REPORT(1), 2, LARGE(LARGE_RAM >> 21, 1) | 1ull << 13,
		  HV_STATUS_INVALID_PARAMETER },
		{ REPORT(0), 2, FRAMES(0x11, 1), HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ REPORT(512), 2, FRAMES(0x11, 1), HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ REPORT(4095), 2, FRAMES(0x11, 1), HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ REPORT(1) | 1ull << 48, 2, FRAMES(0x11, 1), HV_STATUS_INVALID_HYPERCALL_INPUT },
		{ REPORT(1) | HV_HYPERCALL_FAST, 2, 0, HV_STATUS_INVALID_HYPERCALL_INPUT },
	};

	fill(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(report(fixture, cases[i].input, cases[i].type, cases[i].range, 0),
				 cases[i].status);
	assert_int_equal(hypercall(fixture, REPORT(511), INPUT_PAGE + 8),
			 HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(discarded(fixture), 0);
	/* What is good before it is taken all the same. */
	assert_int_equal(report(fixture, REPORT(2), HV_MEMORY_COLD_DISCARD, FRAMES(0x11, 1),
				FRAMES(NOT_RAM >> 12, 1)),
			 HV_STATUS_INVALID_PARAMETER | HV_HYPERCALL_REPS_DONE(1));
	assert_int_equal(discarded(fixture), 1);
}

/* KVM forwards these calls from guests that are not told of them, too, where it can. */
static void test_reports_can_be_switched_off(void **state)
{
	struct fixture *fixture = *state;

	make_hvshim(fixture,
		    ENLIGHTENMENTS_DEFAULT & ~enlightenment_bit(ENLIGHTENMENT_FREE_PAGE_REPORTING));
	fill(fixture);
	assert_int_equal(report(fixture, REPORT(1), HV_MEMORY_COLD_DISCARD, FRAMES(0x11, 1), 0),
			 HV_STATUS_INVALID_HYPERCALL_CODE);
	assert_int_equal(hypercall(fixture, HV_CALL_QUERY_CAPABILITIES, 0),
			 HV_STATUS_INVALID_HYPERCALL_CODE);
	assert_int_equal(discarded(fixture), 0);
}

static void test_connections_are_the_kernels(void **state)
{
	struct fixture *fixture = *state;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_int_equal(hvshim_connection_add(fixture->hvshim, 5, fd), 0);
	assert_int_equal(hvshim_connection_add(fixture->hvshim, 6, fd), 0);
	assert_int_equal(fixture->partition.connections, 2);
	hvshim_connection_remove(fixture->hvshim, 5);
	assert_int_equal(fixture->partition.connections, 1);
	/* The other goes with the personality. */
	close(fd);
}

static void test_crash_and_reset(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_exit crash = { .kind = VID_EXIT_MSR_WRITE,
					.msr = { .index = HV_MSR_CRASH_CONTROL,
						 .value = HV_CRASH_NOTIFY } };
	const struct vid_exit reset = { .kind = VID_EXIT_MSR_WRITE,
					.msr = { .index = HV_MSR_RESET, .value = 1 } };
	const struct vid_exit other = { .kind = VID_EXIT_MSR_READ, .msr.index = 0x10 };

	assert_int_equal(give_exit(fixture, &crash), 0);
	turn_until(fixture, &fixture->crashes, 1);
	assert_int_equal(give_exit(fixture, &reset), 0);
	turn_until(fixture, &fixture->resets, 1);
	assert_int_equal(give_exit(fixture, &other), HVSHIM_E_UNHANDLED);
}

static void test_reference_time(void **state)
{
	struct fixture *fixture = *state;

	fixture->partition.clock.ns = 123456;
	assert_int_equal(hvshim_reference_time(fixture->hvshim), 1234);
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

/* A slot that is taken is seen, and registers that KVM keeps are not made up. */
static void test_inspection(void **state)
{
	struct fixture *fixture = *state;
	AUTO_JSON struct json_object *all = hvshim_inspect(fixture->hvshim);
	AUTO_JSON struct json_object *vp = NULL;
	struct json_object *sint;

	assert_string_equal(json_object_get_string(member(all, "engine")), "in-kernel");
	assert_false(json_object_object_get_ex(all, "msrs", NULL));
	assert_null(hvshim_inspect_vp(fixture->hvshim, 1u << 20));
	vp = hvshim_inspect_vp(fixture->hvshim, 0);
	assert_int_equal(json_object_array_length(member(vp, "sints")), 0);
	enable_synic(fixture);
	assert_int_equal(post(fixture), 0);
	assert_int_equal(post(fixture), HVSHIM_E_BUSY);
	json_object_put(vp);
	vp = hvshim_inspect_vp(fixture->hvshim, 0);
	assert_int_equal(json_object_array_length(member(vp, "sints")), 1);
	sint = json_object_array_get_idx(member(vp, "sints"), 0);
	assert_int_equal(json_object_get_int(member(sint, "sint")), SINT);
	assert_true(json_object_get_boolean(member(sint, "open")));
	assert_true(json_object_get_boolean(member(sint, "slot_taken")));
	assert_true(json_object_get_boolean(member(sint, "end_awaited")));
	assert_false(json_object_object_get_ex(sint, "value", NULL));
	slot(fixture)->type = HV_MESSAGE_NONE;
	turn_until(fixture, &fixture->slots_free, 1);
	json_object_put(vp);
	vp = hvshim_inspect_vp(fixture->hvshim, 0);
	sint = json_object_array_get_idx(member(vp, "sints"), 0);
	assert_false(json_object_get_boolean(member(sint, "slot_taken")));
	assert_false(json_object_get_boolean(member(sint, "end_awaited")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_prepare),
		TEST(test_leaves),
		cmocka_unit_test_setup_teardown(test_timers_are_offered, setup_timers, teardown),
		cmocka_unit_test_setup_teardown(test_enlightenments_are_switched_off, setup_timers,
						teardown),
		cmocka_unit_test_setup_teardown(test_long_waits_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apic_msrs_are_not_recommended,
						setup_without_apic_msrs, teardown),
		cmocka_unit_test_setup_teardown(test_apic_msrs_are_not_recommended,
						setup_virtualized_apic, teardown),
		TEST(test_pages_follow_the_exits),
		TEST(test_interrupts_go_to_the_sint),
		TEST(test_slot_is_looked_at_after_eoi),
		TEST(test_hypercalls),
		TEST(test_reported_pages_are_given_back),
		TEST(test_reports_are_taken_in_parts),
		TEST(test_reports_are_checked),
		TEST(test_reports_can_be_switched_off),
		TEST(test_connections_are_the_kernels),
		TEST(test_crash_and_reset),
		TEST(test_reference_time),
		TEST(test_inspection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

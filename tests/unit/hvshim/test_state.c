/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The personality saved in the middle of its work, and restored: by the same engine and by the
 * other, over a hypervisor that is not there. That KVM's own Hyper-V keeps what it is given is what
 * the tests with stock guests show.
 */
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"
#include "hvshim/state.h"
#include "tests/fake/watched_memory.h"
#include "tests/unit/hvshim/fake_vid.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <x86intrin.h>

#define SECOND         1000000000ull
#define UNITS          10000000ull /* of reference time in a second */
#define RAM            0x100000u
#define MESSAGE_PAGE   0x1000u
#define EVENT_PAGE     0x2000u
#define HYPERCALL_PAGE 0x3000u
#define TSC_PAGE       0x4000u
#define INPUT_PAGE     0x5000u
#define ASSIST_PAGE    0x6000u
#define NOT_RAM        0x90000000u
#define GUEST_OS       0x8100000601c00000ull
#define SINT           2u
#define TIMER_SINT     3u
#define VECTOR         0x50u
#define TIMER_VECTOR   0x51u
#define CONNECTION     4u
#define TIME           (1000 * UNITS) /* what it is when all begins */

struct fixture {
	struct loop *loop;
	struct vid_partition partition;
	struct vid_vp vps[2];
	struct hvshim *hvshim;
	enum hvshim_engine engine;
	unsigned messages, slots_free, crashes, resets;
	struct hvshim_message message;
};

static void on_message(void *data, uint32_t connection_id, const struct hvshim_message *message)
{
	struct fixture *fixture = data;

	assert_int_equal(connection_id, CONNECTION);
	fixture->messages++;
	fixture->message = *message;
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

/* What either engine can tell a guest of. */
#define ENLIGHTENMENTS                                       \
	(enlightenment_bit(ENLIGHTENMENT_REFERENCE_TSC) |    \
	 enlightenment_bit(ENLIGHTENMENT_SYNTHETIC_TIMERS) | \
	 enlightenment_bit(ENLIGHTENMENT_DIRECT_TIMERS) | enlightenment_bit(ENLIGHTENMENT_RESET))

static void make_hvshim(struct fixture *fixture, enum hvshim_engine engine, uint32_t enlightenments)
{
	const struct hvshim_config config = {
		.engine = engine,
		.vp_count = ARRAY_SIZE(fixture->vps),
		.partition = &fixture->partition,
		.loop = fixture->loop,
		.callbacks = &callbacks,
		.data = fixture,
		.message_connections = { 1, CONNECTION },
		.enlightenments = enlightenments,
	};

	hvshim_free(fixture->hvshim);
	fixture->engine = engine;
	assert_int_equal(hvshim_new(&config, &fixture->hvshim), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(fixture->vps); i++) {
		struct vid_cpuid cpuid = { .count = 1, .leaves = { { .function = 1 } } };
		struct vid_vp *vp = &fixture->vps[i];

		*vp = (struct vid_vp){ .partition = &fixture->partition, .index = i };
		vp->hyperv_msrs = engine == HVSHIM_ENGINE_KERNEL;
		for (uint32_t sint = 0; vp->hyperv_msrs && sint < HV_SINT_COUNT; sint++)
			vp->msrs[HV_MSR_SINT0 - HV_MSR_RANGE_BASE + sint] = HV_SINT_RESET;
		for (uint32_t leaf = 0; leaf <= 5; leaf++)
			vp->offered.leaves[vp->offered.count++] = (struct vid_cpuid_leaf){
				.function = HV_CPUID_VENDOR_AND_MAX + leaf,
				.eax = UINT32_MAX,
				.ebx = UINT32_MAX,
				.edx = UINT32_MAX,
			};
		assert_int_equal(hvshim_vp_attach(fixture->hvshim, vp, &cpuid), 0);
	}
}

static int setup(void **state)
{
	static struct fixture fixture;
	const struct vid_memory_region ram = { .gpa = GPA(0), .size = RAM };

	memset(&fixture, 0, sizeof(fixture));
	fixture.partition.clock =
		(struct vid_clock){ .ns = TIME * 100, .host_tsc = __rdtsc(), .tsc_stable = true };
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	assert_int_equal(vid_memory_new(&fixture.partition.memory), 0);
	assert_int_equal(vid_memory_add(fixture.partition.memory, ram, VID_MEMORY_SMALL, false), 0);
	*state = &fixture;
	return 0;
}

static void iterations(struct fixture *fixture, unsigned count)
{
	while (count-- > 0)
		assert_int_equal(loop_run_once(fixture->loop, 0), 0);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	hvshim_free(fixture->hvshim);
	iterations(fixture, 4);
	assert_int_equal(fixture->partition.interrupts, 0);
	loop_free(fixture->loop);
	vid_memory_free(fixture->partition.memory);
	return 0;
}

static void *memory(struct fixture *fixture, uint64_t address)
{
	return watched_memory_guest(fixture->partition.memory, GPA(address), 1);
}

static volatile struct hv_message *slot(struct fixture *fixture, uint32_t sint)
{
	return (volatile struct hv_message *)memory(fixture, MESSAGE_PAGE) + sint;
}

/* ---- What the guest does ---- */

/* KVM keeps the MSR, and tells of the SynIC's by an exit. */
static void write_msr(struct fixture *fixture, uint32_t vp, uint32_t index, uint64_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_MSR_WRITE,
		.msr = { .index = index, .value = value },
	};

	fixture->vps[vp].answer = FAKE_NO_ANSWER;
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vps[vp], &exit), 0);
	assert_int_equal(fixture->vps[vp].answer, FAKE_VALUE);
}

static uint64_t *kvm_msr(struct fixture *fixture, uint32_t vp, uint32_t index)
{
	return &fixture->vps[vp].msrs[index - HV_MSR_RANGE_BASE];
}

static void set_msr(struct fixture *fixture, uint32_t vp, uint32_t index, uint64_t value)
{
	struct vid_exit exit = { .kind = VID_EXIT_SYNIC };

	if (fixture->engine == HVSHIM_ENGINE_USER) {
		write_msr(fixture, vp, index, value);
		return;
	}
	*kvm_msr(fixture, vp, index) = value;
	if (index < HV_MSR_SCONTROL || index > HV_MSR_SIMP)
		return;
	exit.synic.control = *kvm_msr(fixture, vp, HV_MSR_SCONTROL);
	exit.synic.event_page = *kvm_msr(fixture, vp, HV_MSR_SIEFP);
	exit.synic.message_page = *kvm_msr(fixture, vp, HV_MSR_SIMP);
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vps[vp], &exit), 0);
}

static uint64_t get_msr(struct fixture *fixture, uint32_t vp, uint32_t index)
{
	const struct vid_exit exit = { .kind = VID_EXIT_MSR_READ, .msr = { .index = index } };

	if (fixture->engine == HVSHIM_ENGINE_KERNEL)
		return *kvm_msr(fixture, vp, index);
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vps[vp], &exit), 0);
	assert_int_equal(fixture->vps[vp].answer, FAKE_VALUE);
	return fixture->vps[vp].value;
}

/* A message of the guest's, which the loop has not taken yet. */
static void post_from_guest(struct fixture *fixture)
{
	struct hv_post_message post = { .connection_id = CONNECTION, .type = 1, .size = 5 };
	struct vid_exit exit = { .kind = VID_EXIT_HYPERCALL,
				 .hypercall = { .input = HV_CALL_POST_MESSAGE,
						.params = { INPUT_PAGE } } };
	uint32_t out = 0;

	memcpy(post.payload, "hello", 5);
	memcpy(memory(fixture, INPUT_PAGE), &post, sizeof(post));
	if (fixture->engine == HVSHIM_ENGINE_USER) {
		exit = (struct vid_exit){
			.kind = VID_EXIT_IO_PORT,
			.io = { .port = 0xe5, .size = 4, .write = true, .count = 1, .data = &out },
		};
		fixture->vps[0].system.cr0 = 1;
		fixture->vps[0].registers =
			(struct vid_registers){ .rcx = HV_CALL_POST_MESSAGE, .rdx = INPUT_PAGE };
	}
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vps[0], &exit), 0);
}

static int post(struct fixture *fixture)
{
	const struct hvshim_message message = { .type = 1, .size = 2, .payload = "ok" };

	return hvshim_post_message(fixture->hvshim, 0, SINT, &message);
}

static uint64_t timer_config(uint32_t sint)
{
	return HV_STIMER_ENABLE | (uint64_t)sint << 16;
}

/* Everything there is is on, and something is under way everywhere. */
static void work(struct fixture *fixture)
{
	memset(memory(fixture, HYPERCALL_PAGE), 0xaa, HV_PAGE_SIZE);
	memset(memory(fixture, TSC_PAGE), 0xbb, HV_PAGE_SIZE);
	set_msr(fixture, 0, HV_MSR_GUEST_OS_ID, GUEST_OS);
	set_msr(fixture, 0, HV_MSR_HYPERCALL, HYPERCALL_PAGE | HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_REFERENCE_TSC, TSC_PAGE | HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_TSC_INVARIANT, 1);
	write_msr(fixture, 0, HV_MSR_CRASH_P0 + 1, 0x1234);
	set_msr(fixture, 1, HV_MSR_VP_ASSIST_PAGE, ASSIST_PAGE | HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_SIMP, MESSAGE_PAGE | HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_SIEFP, EVENT_PAGE | HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_SINT0 + SINT, VECTOR);
	set_msr(fixture, 0, HV_MSR_SINT0 + TIMER_SINT, TIMER_VECTOR);
	set_msr(fixture, 0, HV_MSR_SCONTROL, HV_MSR_ENABLE);
	set_msr(fixture, 0, HV_MSR_STIMER0_COUNT, TIME + 3600 * UNITS);
	set_msr(fixture, 0, HV_MSR_STIMER0_CONFIG, timer_config(TIMER_SINT));
	set_msr(fixture, 0, HV_MSR_STIMER0_COUNT + 2, 60 * UNITS);
	set_msr(fixture, 0, HV_MSR_STIMER0_CONFIG + 2,
		timer_config(TIMER_SINT) | HV_STIMER_PERIODIC);
	assert_int_equal(post(fixture), 0);
	assert_int_equal(post(fixture), HVSHIM_E_BUSY);
	iterations(fixture, 3);
	post_from_guest(fixture);
}

/* ---- Saving and restoring ---- */

static void save(struct fixture *fixture, struct state_writer *writer)
{
	state_writer_init(writer);
	hvshim_quiesce(fixture->hvshim);
	assert_int_equal(hvshim_save(fixture->hvshim, writer), 0);
}

static int restore_bytes(struct fixture *fixture, const void *bytes, size_t size,
			 struct state_refusal *refusal)
{
	struct state_reader reader;

	refusal->text[0] = '\0';
	assert_int_equal(state_reader_init(&reader, bytes, size), 0);
	return hvshim_restore(fixture->hvshim, &reader, refusal);
}

static void restore(struct fixture *fixture, const struct state_writer *writer,
		    enum hvshim_engine engine)
{
	struct state_refusal refusal;

	make_hvshim(fixture, engine, ENLIGHTENMENTS);
	if (restore_bytes(fixture, writer->bytes, writer->size, &refusal) != 0)
		fail_msg("%s", refusal.text);
}

static void *payload(const struct state_writer *writer, const char *name, size_t *ret_size)
{
	struct state_reader reader;
	struct state_record record;

	assert_int_equal(state_reader_init(&reader, writer->bytes, writer->size), 0);
	assert_int_equal(state_find(&reader, name, HVSHIM_STATE_VERSION, &record), 0);
	*ret_size = record.left;
	return (void *)record.at;
}

static void assert_same(const struct state_writer *a, const struct state_writer *b)
{
	assert_int_equal(a->size, b->size);
	for (size_t i = 0; i < a->size; i++)
		if (a->bytes[i] != b->bytes[i])
			fail_msg("byte %zu of %zu: %02x, then %02x", i, a->size, a->bytes[i],
				 b->bytes[i]);
}

static void same_bytes_again(struct fixture *fixture, enum hvshim_engine engine)
{
	struct state_writer first, second;

	make_hvshim(fixture, engine, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &first);
	restore(fixture, &first, engine);
	save(fixture, &second);
	assert_same(&first, &second);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
}

static void user_engine_saves_the_same_again(void **state)
{
	same_bytes_again(*state, HVSHIM_ENGINE_USER);
}

static void kernel_engine_saves_the_same_again(void **state)
{
	same_bytes_again(*state, HVSHIM_ENGINE_KERNEL);
}

/* KVM has the guest's name before the hypercall page, and counts before configurations. */
static void kernel_engine_writes_in_order(void **state)
{
	static const uint32_t partition_wide[] = { HV_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL,
						   HV_MSR_REFERENCE_TSC, HV_MSR_TSC_INVARIANT };
	struct fixture *fixture = *state;
	const struct vid_vp *vp = &fixture->vps[0];
	struct state_writer writer;
	unsigned count = 0, config = 0;

	make_hvshim(fixture, HVSHIM_ENGINE_KERNEL, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	restore(fixture, &writer, HVSHIM_ENGINE_KERNEL);
	for (size_t i = 0; i < ARRAY_SIZE(partition_wide); i++)
		assert_int_equal(vp->order[i], partition_wide[i]);
	for (unsigned i = 0; i < vp->written; i++) {
		count = vp->order[i] == HV_MSR_STIMER0_COUNT ? i : count;
		config = vp->order[i] == HV_MSR_STIMER0_CONFIG ? i : config;
	}
	assert_true(count > 0 && count < config);
	state_writer_deinit(&writer);
}

/* ---- The other engine ---- */

static void assert_registers(struct fixture *fixture)
{
	assert_int_equal(get_msr(fixture, 0, HV_MSR_GUEST_OS_ID), GUEST_OS);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_HYPERCALL), HYPERCALL_PAGE | HV_MSR_ENABLE);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_REFERENCE_TSC), TSC_PAGE | HV_MSR_ENABLE);
	assert_int_equal(get_msr(fixture, 1, HV_MSR_VP_ASSIST_PAGE), ASSIST_PAGE | HV_MSR_ENABLE);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_SIMP), MESSAGE_PAGE | HV_MSR_ENABLE);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_SINT0 + SINT), VECTOR);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_SINT0 + 4), HV_SINT_RESET);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_STIMER0_COUNT), TIME + 3600 * UNITS);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_STIMER0_CONFIG), timer_config(TIMER_SINT));
	assert_int_equal(get_msr(fixture, 0, HV_MSR_STIMER0_COUNT + 2), 60 * UNITS);
}

static void engine_takes_over(struct fixture *fixture, enum hvshim_engine from,
			      enum hvshim_engine to)
{
	struct state_writer writer;
	uint64_t before;

	make_hvshim(fixture, from, ENLIGHTENMENTS);
	work(fixture);
	before = hvshim_reference_time(fixture->hvshim);
	save(fixture, &writer);
	restore(fixture, &writer, to);
	assert_registers(fixture);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	assert_true(hvshim_reference_time(fixture->hvshim) >= before);
	iterations(fixture, 4);
	assert_int_equal(fixture->messages, 1);
	assert_memory_equal(fixture->message.payload, "hello", 5);
	slot(fixture, SINT)->type = HV_MESSAGE_NONE;
	for (uint64_t end = loop_now() + 60 * SECOND; fixture->slots_free == 0 && loop_now() < end;)
		assert_int_equal(loop_run_once(fixture->loop, SECOND), 0);
	assert_int_equal(fixture->slots_free, 1);
	assert_int_equal(post(fixture), 0);
	assert_memory_equal((const void *)slot(fixture, SINT)->payload, "ok", 2);
	state_writer_deinit(&writer);
}

static void kernel_engine_takes_over(void **state)
{
	engine_takes_over(*state, HVSHIM_ENGINE_USER, HVSHIM_ENGINE_KERNEL);
}

static void user_engine_takes_over(void **state)
{
	struct fixture *fixture = *state;
	const uint8_t *page = memory(fixture, HYPERCALL_PAGE);

	engine_takes_over(fixture, HVSHIM_ENGINE_KERNEL, HVSHIM_ENGINE_USER);
	/* Its own code is in the page now. */
	assert_int_not_equal(page[0], 0xaa);
}

static void user_engine_goes_on(void **state)
{
	struct fixture *fixture = *state;

	engine_takes_over(fixture, HVSHIM_ENGINE_USER, HVSHIM_ENGINE_USER);
	/* What lay below the pages is back once they are off. */
	set_msr(fixture, 0, HV_MSR_HYPERCALL, 0);
	set_msr(fixture, 0, HV_MSR_REFERENCE_TSC, 0);
	for (size_t i = 0; i < HV_PAGE_SIZE; i++) {
		assert_int_equal(((uint8_t *)memory(fixture, HYPERCALL_PAGE))[i], 0xaa);
		assert_int_equal(((uint8_t *)memory(fixture, TSC_PAGE))[i], 0xbb);
	}
}

static void no_engine_changes_under_a_call(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct state_refusal refusal;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	make_hvshim(fixture, HVSHIM_ENGINE_KERNEL, ENLIGHTENMENTS);
	fixture->vps[1].registers.rip = HYPERCALL_PAGE + 4;
	assert_int_equal(restore_bytes(fixture, writer.bytes, writer.size, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "vp 1 is within the hypercall page"));
	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	fixture->vps[1].registers.rip = HYPERCALL_PAGE + 4;
	assert_int_equal(restore_bytes(fixture, writer.bytes, writer.size, &refusal), 0);
	state_writer_deinit(&writer);
}

/* ---- Time ---- */

static uint64_t page_time(struct fixture *fixture)
{
	const struct hv_reference_tsc_page *page = memory(fixture, TSC_PAGE);

	return (uint64_t)((unsigned __int128)__rdtsc() * page->scale >> 64) +
	       (uint64_t)page->offset;
}

static void reference_time_stands_still(void **state)
{
	struct fixture *fixture = *state;
	const struct hv_reference_tsc_page *page = memory(fixture, TSC_PAGE);
	struct state_writer writer;
	struct hvshim_partition_state saved;
	uint32_t sequence;
	size_t size;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	sequence = page->sequence;
	assert_int_not_equal(sequence, 0);
	save(fixture, &writer);
	memcpy(&saved, payload(&writer, HVSHIM_STATE_RECORD, &size), sizeof(saved));
	restore(fixture, &writer, HVSHIM_ENGINE_USER);
	assert_int_equal(hvshim_reference_time(fixture->hvshim), saved.reference_time);
	assert_int_equal(page->sequence, sequence);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	assert_int_equal(page->sequence, sequence + 1);
	assert_in_range(hvshim_reference_time(fixture->hvshim), saved.reference_time,
			saved.reference_time + 60 * UNITS);
	assert_in_range(page_time(fixture), saved.reference_time,
			hvshim_reference_time(fixture->hvshim) + UNITS);
	state_writer_deinit(&writer);
}

static void turn_until_slot_is_taken(struct fixture *fixture, uint32_t sint)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (slot(fixture, sint)->type == HV_MESSAGE_NONE && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND), 0);
	assert_int_equal(slot(fixture, sint)->type, HV_MESSAGE_TIMER_EXPIRED);
}

/* Due while nobody may touch the guest: it comes once, when that is over. */
static void timer_that_is_due_comes_once(void **state)
{
	struct fixture *fixture = *state;
	struct hvshim_counters counters;
	struct state_writer writer;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	set_msr(fixture, 0, HV_MSR_STIMER0_COUNT, hvshim_reference_time(fixture->hvshim) + 2);
	set_msr(fixture, 0, HV_MSR_STIMER0_CONFIG, timer_config(TIMER_SINT));
	save(fixture, &writer);
	iterations(fixture, 2);
	assert_int_equal(slot(fixture, TIMER_SINT)->type, HV_MESSAGE_NONE);
	restore(fixture, &writer, HVSHIM_ENGINE_USER);
	iterations(fixture, 2);
	assert_int_equal(slot(fixture, TIMER_SINT)->type, HV_MESSAGE_NONE);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	turn_until_slot_is_taken(fixture, TIMER_SINT);
	slot(fixture, TIMER_SINT)->type = HV_MESSAGE_NONE;
	set_msr(fixture, 0, HV_MSR_EOM, 0);
	iterations(fixture, 8);
	hvshim_counters(fixture->hvshim, &counters);
	assert_int_equal(counters.timers_expired, 1);
	assert_int_equal(slot(fixture, TIMER_SINT)->type, HV_MESSAGE_NONE);
	assert_int_equal(get_msr(fixture, 0, HV_MSR_STIMER0_CONFIG) & HV_STIMER_ENABLE, 0);
	state_writer_deinit(&writer);
}

/* A save that came to nothing: all goes on where it is. */
static void resumed_without_a_restore(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	set_msr(fixture, 0, HV_MSR_STIMER0_COUNT, hvshim_reference_time(fixture->hvshim) + 2);
	set_msr(fixture, 0, HV_MSR_STIMER0_CONFIG, timer_config(TIMER_SINT));
	save(fixture, &writer);
	state_writer_deinit(&writer);
	iterations(fixture, 4);
	assert_int_equal(fixture->messages, 0);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	turn_until_slot_is_taken(fixture, TIMER_SINT);
	iterations(fixture, 2);
	assert_int_equal(fixture->messages, 1);
}

/* The interrupt for what lies in a slot may have been lost. */
static void interrupts_come_again(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	eventfd_t count = 0;

	make_hvshim(fixture, HVSHIM_ENGINE_KERNEL, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	restore(fixture, &writer, HVSHIM_ENGINE_KERNEL);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	iterations(fixture, 2);
	assert_int_equal(fixture->partition.newest->target, 0);
	assert_int_equal(fixture->partition.newest->vector, SINT);
	assert_int_equal(eventfd_read(vid_interrupt_fd(fixture->partition.newest), &count), 0);
	assert_int_equal(count, 1);
	state_writer_deinit(&writer);
}

static void raised_interrupt_is_injected(void **state)
{
	struct fixture *fixture = *state;
	const struct vid_exit kick = { .kind = VID_EXIT_KICK };
	struct state_writer writer;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	set_msr(fixture, 0, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_AUTO_EOI);
	slot(fixture, SINT)->type = HV_MESSAGE_NONE;
	assert_int_equal(post(fixture), 0);
	save(fixture, &writer);
	restore(fixture, &writer, HVSHIM_ENGINE_USER);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	for (uint64_t end = loop_now() + 60 * SECOND;
	     fixture->vps[0].kicks == 0 && loop_now() < end;)
		assert_int_equal(loop_run_once(fixture->loop, SECOND), 0);
	assert_int_equal(hvshim_exit(fixture->hvshim, &fixture->vps[0], &kick), 0);
	assert_int_equal(fixture->vps[0].vector, VECTOR);
	state_writer_deinit(&writer);
}

/* ---- What is refused ---- */

static void guest_at_its_end_is_not_saved(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	write_msr(fixture, 0, HV_MSR_RESET, 1);
	hvshim_quiesce(fixture->hvshim);
	state_writer_init(&writer);
	assert_int_equal(hvshim_save(fixture->hvshim, &writer), -EBUSY);
	state_writer_deinit(&writer);
	assert_int_equal(hvshim_resume(fixture->hvshim), 0);
	iterations(fixture, 2);
	assert_int_equal(fixture->resets, 1);
}

/* A personality that is fresh each time: one that refused is of no use any more. */
static int restore_changed(struct fixture *fixture, const struct state_writer *writer,
			   struct state_refusal *refusal)
{
	make_hvshim(fixture, fixture->engine, ENLIGHTENMENTS);
	iterations(fixture, 1);
	return restore_bytes(fixture, writer->bytes, writer->size, refusal);
}

static void changed_bytes_do_no_harm(struct fixture *fixture, enum hvshim_engine engine)
{
	struct state_writer writer;
	struct state_refusal refusal;
	unsigned refused = 0;
	const char *const names[] = { HVSHIM_STATE_RECORD, HVSHIM_STATE_RECORD ".vp-0" };

	make_hvshim(fixture, engine, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		size_t size;
		uint8_t *bytes = payload(&writer, names[n], &size);

		for (size_t i = 0; i < size; i += i < 400 ? 1 : 97) {
			uint8_t old = bytes[i];
			int r;

			bytes[i] ^= 0xff;
			r = restore_changed(fixture, &writer, &refusal);
			bytes[i] = old;
			assert_true(r == 0 || r == -EINVAL);
			assert_true(r == 0 || refusal.text[0] != '\0');
			if (r == 0)
				assert_int_equal(hvshim_resume(fixture->hvshim), 0);
			iterations(fixture, 2);
			refused += r != 0;
		}
	}
	assert_true(refused > 0);
	assert_int_equal(restore_changed(fixture, &writer, &refusal), 0);
	state_writer_deinit(&writer);
}

static void changed_bytes_do_no_harm_to_the_user_engine(void **state)
{
	changed_bytes_do_no_harm(*state, HVSHIM_ENGINE_USER);
}

static void changed_bytes_do_no_harm_to_the_kernel_engine(void **state)
{
	changed_bytes_do_no_harm(*state, HVSHIM_ENGINE_KERNEL);
}

static void truncated_records_are_refused(void **state)
{
	static const char *const names[] = { HVSHIM_STATE_RECORD, HVSHIM_STATE_RECORD ".vp-0",
					     HVSHIM_STATE_RECORD ".vp-1" };
	struct fixture *fixture = *state;
	struct state_writer writer, cut;
	struct state_refusal refusal;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		size_t size, length;

		(void)payload(&writer, names[n], &size);
		for (length = 0; length < size; length += length < 400 ? 7 : 511) {
			state_writer_init(&cut);
			for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
				size_t whole;
				const void *bytes = payload(&writer, names[i], &whole);

				state_begin(&cut, names[i], HVSHIM_STATE_VERSION);
				state_put(&cut, bytes, i == n ? length : whole);
				state_end(&cut);
			}
			assert_int_equal(restore_changed(fixture, &cut, &refusal), -EINVAL);
			assert_non_null(strstr(refusal.text, names[n]));
			state_writer_deinit(&cut);
		}
	}
	state_writer_deinit(&writer);
}

struct changed {
	struct hvshim_partition_state partition;
	struct hvshim_vp_state vp;
};

static void assert_refused(struct fixture *fixture, struct state_writer *writer,
			   const struct changed *changed, const char *why)
{
	struct state_refusal refusal;
	struct changed old;
	size_t size;

	memcpy(&old.partition, payload(writer, HVSHIM_STATE_RECORD, &size), sizeof(old.partition));
	memcpy(&old.vp, payload(writer, HVSHIM_STATE_RECORD ".vp-0", &size), sizeof(old.vp));
	memcpy(payload(writer, HVSHIM_STATE_RECORD, &size), &changed->partition,
	       sizeof(old.partition));
	memcpy(payload(writer, HVSHIM_STATE_RECORD ".vp-0", &size), &changed->vp, sizeof(old.vp));
	assert_int_equal(restore_changed(fixture, writer, &refusal), -EINVAL);
	if (!strstr(refusal.text, why))
		fail_msg("'%s' has no '%s'", refusal.text, why);
	memcpy(payload(writer, HVSHIM_STATE_RECORD, &size), &old.partition, sizeof(old.partition));
	memcpy(payload(writer, HVSHIM_STATE_RECORD ".vp-0", &size), &old.vp, sizeof(old.vp));
}

static void refusals_say_why(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct changed good, bad;
	size_t size;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	memcpy(&good.partition, payload(&writer, HVSHIM_STATE_RECORD, &size),
	       sizeof(good.partition));
	memcpy(&good.vp, payload(&writer, HVSHIM_STATE_RECORD ".vp-0", &size), sizeof(good.vp));
	bad = good;
	bad.partition.vp_count = 3;
	assert_refused(fixture, &writer, &bad, "3 vps");
	bad = good;
	bad.partition.enlightenments |= enlightenment_bit(ENLIGHTENMENT_TLB_FLUSH);
	assert_refused(fixture, &writer, &bad, enlightenment_names[ENLIGHTENMENT_TLB_FLUSH]);
	bad = good;
	bad.partition.guest_os_id = 0;
	assert_refused(fixture, &writer, &bad, "without a name");
	bad = good;
	bad.partition.hypercall = NOT_RAM | HV_MSR_ENABLE;
	assert_refused(fixture, &writer, &bad, "hypercall page is not in RAM");
	bad = good;
	bad.partition.message_count = 17;
	assert_refused(fixture, &writer, &bad, "fewer messages");
	bad = good;
	bad.vp.sints[5] = 3;
	assert_refused(fixture, &writer, &bad, "SINT 5 of vp 0 has vector 3");
	bad = good;
	bad.vp.timers[1].count = 0;
	assert_refused(fixture, &writer, &bad, "timer 1 of vp 0");
	bad = good;
	bad.vp.raised = 1u << SINT;
	assert_refused(fixture, &writer, &bad, "SINT 2 of vp 0 is raised");
	state_writer_deinit(&writer);
}

static void refusal_names_the_msr(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct state_refusal refusal;

	make_hvshim(fixture, HVSHIM_ENGINE_KERNEL, ENLIGHTENMENTS);
	work(fixture);
	save(fixture, &writer);
	make_hvshim(fixture, HVSHIM_ENGINE_KERNEL, ENLIGHTENMENTS);
	fixture->vps[0].refused_msr = HV_MSR_SIMP;
	assert_int_equal(restore_bytes(fixture, writer.bytes, writer.size, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "0x40000083"));
	state_writer_deinit(&writer);
}

static void enlightenments_are_told_beforehand(void **state)
{
	struct fixture *fixture = *state;
	struct state_refusal refusal = { .text = "" };
	struct state_writer writer;
	struct state_reader reader;
	uint32_t enlightenments;

	make_hvshim(fixture, HVSHIM_ENGINE_USER, ENLIGHTENMENTS);
	save(fixture, &writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(hvshim_state_enlightenments(&reader, &enlightenments, &refusal), 0);
	assert_int_equal(enlightenments, hvshim_enlightenments(fixture->hvshim));
	assert_int_equal(state_reader_init(&reader, writer.bytes, 0), 0);
	assert_int_equal(hvshim_state_enlightenments(&reader, &enlightenments, &refusal), -EINVAL);
	assert_string_equal(refusal.text, "'" HVSHIM_STATE_RECORD "' is missing");
	state_writer_deinit(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(user_engine_saves_the_same_again),
		TEST(kernel_engine_saves_the_same_again),
		TEST(kernel_engine_writes_in_order),
		TEST(kernel_engine_takes_over),
		TEST(user_engine_takes_over),
		TEST(user_engine_goes_on),
		TEST(no_engine_changes_under_a_call),
		TEST(reference_time_stands_still),
		TEST(timer_that_is_due_comes_once),
		TEST(resumed_without_a_restore),
		TEST(interrupts_come_again),
		TEST(raised_interrupt_is_injected),
		TEST(guest_at_its_end_is_not_saved),
		TEST(changed_bytes_do_no_harm_to_the_user_engine),
		TEST(changed_bytes_do_no_harm_to_the_kernel_engine),
		TEST(truncated_records_are_refused),
		TEST(refusals_say_why),
		TEST(refusal_names_the_msr),
		TEST(enlightenments_are_told_beforehand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: the hypervisor's interface itself. CPUID leaves, synthetic MSRs and their faults,
 * hypercalls with good and bad input, message slots, synthetic timers, reference time.
 *
 * What is expected is what the TLFS says, in the chapters on feature discovery, the hypercall
 * interface, inter-partition communication and timers. Parameter: automatic_end=1: interrupts that
 * end by themselves as well. A KVM that executes kernel mode by itself loses the INT3 by which this
 * guest enters it when an interrupt is injected at that moment.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"
#include "guest-vsc/text.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define TIMER_SINT       3
#define UNKNOWN_CALL     0x7fff
#define UNKNOWN_MSR      0x40000fffu
#define MESSAGE_RESERVED 0x7ffff000ull /* an address that is not RAM, below the APICs */

static uint32_t privileges, features;

static void check_cpuid(void)
{
	const uint32_t needed = HV_PRIVILEGE_HYPERCALL | HV_PRIVILEGE_VP_INDEX | HV_PRIVILEGE_SYNIC;
	struct machine_cpuid leaf;

	leaf = machine_cpuid(1);
	report(leaf.ecx & HV_CPUID_HYPERVISOR_ECX31, "CPUID says there is a hypervisor", "0x%x",
	       leaf.ecx);
	leaf = machine_cpuid(HV_CPUID_VENDOR_AND_MAX);
	report(leaf.eax >= HV_CPUID_LIMITS && leaf.ebx == HV_CPUID_VENDOR_EBX &&
		       leaf.ecx == HV_CPUID_VENDOR_ECX && leaf.edx == HV_CPUID_VENDOR_EDX,
	       "the vendor is Microsoft Hv", "%x %x %x %x", leaf.eax, leaf.ebx, leaf.ecx, leaf.edx);
	leaf = machine_cpuid(HV_CPUID_INTERFACE);
	report(leaf.eax == HV_CPUID_INTERFACE_EAX, "the interface is Hv#1", "%x", leaf.eax);
	leaf = machine_cpuid(HV_CPUID_FEATURES);
	privileges = leaf.eax;
	features = leaf.edx;
	report((leaf.eax & needed) == needed, "hypercalls, VP index and SynIC are to be had", "%x",
	       leaf.eax);
	report(!(leaf.ebx & HV_PRIVILEGE_CREATE_PARTITIONS), "the guest is no root partition", "%x",
	       leaf.ebx);
	leaf = machine_cpuid(HV_CPUID_RECOMMENDATIONS);
	report(leaf.eax & HV_HINT_DEPRECATE_AUTO_EOI, "AutoEOI is deprecated", "%x", leaf.eax);
}

/* ---- MSRs ---- */

/* Of `mask`, the bits of an MSR must be `expected`. */
static void check_bits(uint32_t index, uint64_t mask, uint64_t expected, const char *name)
{
	uint64_t value = ~expected;
	bool read = machine_read_msr(index, &value);

	report(read && (value & mask) == expected, name, "%s 0x%lx", read ? "it is" : "#GP", value);
}

static void check_value(uint32_t index, uint64_t expected, const char *name)
{
	check_bits(index, UINT64_MAX, expected, name);
}

static void check_at_least(uint32_t index, uint64_t least, const char *name)
{
	uint64_t value = 0;
	bool read = machine_read_msr(index, &value);

	report(read && value >= least, name, "%s %lu", read ? "it is" : "#GP", value);
}

static void check_read_faults(uint32_t index, const char *name)
{
	uint64_t value = 0;
	bool read = machine_read_msr(index, &value);

	report(!read, name, "0x%lx was read", value);
}

static void check_write_faults(uint32_t index, uint64_t value, const char *name)
{
	report(!machine_write_msr(index, value), name, "it did not fault");
}

static void check_msrs(void)
{
	check_value(HV_MSR_VP_INDEX, 0, "the VP index is 0");
	check_value(HV_MSR_SVERSION, HV_SVERSION_1, "the SynIC has version 1");
	check_value(HV_MSR_SINT0 + 5, HV_SINT_RESET, "a SINT is masked after reset");
	check_read_faults(UNKNOWN_MSR, "an unknown MSR cannot be read");
	check_write_faults(UNKNOWN_MSR, 0, "an unknown MSR cannot be written");
	check_write_faults(HV_MSR_VP_INDEX, 1, "the VP index cannot be written");
	check_write_faults(HV_MSR_SVERSION, 1, "the SynIC version cannot be written");
	check_write_faults(HV_MSR_REFERENCE_COUNT, 1, "the reference counter cannot be written");
	check_write_faults(HV_MSR_SINT0 + 5, 3, "a SINT has no vector below 16");
	check_value(HV_MSR_SINT0 + 5, HV_SINT_RESET, "a refused SINT is as it was");
	check_at_least(HV_MSR_TSC_FREQUENCY, 1000000, "the TSC frequency is given");
	check_at_least(HV_MSR_APIC_FREQUENCY, 1000, "the APIC frequency is given");
	report(machine_write_msr(HV_MSR_EOM, 0), "EOM without a message is harmless", "#GP");
}

static void check_crash_msrs(void)
{
	uint64_t value = 0;
	bool good = true;

	if (!(features & HV_FEATURE_GUEST_CRASH))
		return;
	for (uint32_t i = HV_MSR_CRASH_P0; i <= HV_MSR_CRASH_P4; i++)
		good &= machine_write_msr(i, i * 3ull) && machine_read_msr(i, &value) &&
			value == i * 3ull;
	report(good, "crash parameters keep their values", "0x%lx", value);
	check_bits(HV_MSR_CRASH_CONTROL, HV_CRASH_NOTIFY, HV_CRASH_NOTIFY,
		   "the crash control says what it can");
}

/* ---- The hypercall page ---- */

static void check_hypercall_page(void)
{
	uint64_t page = machine_gpa(hypercall_page) | HV_MSR_ENABLE;

	if (!machine_write_msr(HV_MSR_HYPERCALL, page))
		report_note("enabling the page without a guest OS id faults");
	check_bits(HV_MSR_HYPERCALL, HV_MSR_ENABLE, 0, "no hypercall page without a guest OS id");
	if (!report(hypercall_enable(), "the hypercall page can be enabled", "#GP"))
		return;
	check_value(HV_MSR_HYPERCALL, page, "the hypercall page is where it was put");
	hypercall_disable();
	check_bits(HV_MSR_HYPERCALL, HV_MSR_ENABLE, 0,
		   "without a guest OS id the page is disabled");
	report(hypercall_enable(), "the hypercall page can be enabled again", "#GP");
}

/* ---- Hypercalls ---- */

static uint8_t input[2 * 4096] __attribute__((aligned(4096)));

/* Posts what lies at an address. */
static uint16_t post_at(uint64_t control, uint64_t gpa)
{
	return (uint16_t)hypercall(HV_CALL_POST_MESSAGE | control, gpa, 0);
}

static uint16_t post(uint32_t connection, uint32_t size)
{
	struct hv_post_message *message = (struct hv_post_message *)input;

	*message = (struct hv_post_message){
		.connection_id = connection,
		.type = VMBUS_HV_MESSAGE_TYPE,
		.size = size,
	};
	return post_at(0, machine_gpa(input));
}

static void check_status(uint64_t status, uint16_t expected, const char *name)
{
	report((uint16_t)status == expected, name, "status 0x%lx", status);
}

static void check_refused(uint64_t status, const char *name)
{
	report((uint16_t)status != HV_STATUS_SUCCESS, name, "it succeeded");
}

static void check_hypercalls(void)
{
	check_status(hypercall(UNKNOWN_CALL, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE,
		     "an unknown hypercall has an invalid code");
	check_status(hypercall(UNKNOWN_CALL | HV_HYPERCALL_FAST, 0, 0),
		     HV_STATUS_INVALID_HYPERCALL_CODE, "so has an unknown fast one");
	check_status(hypercall(0, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE, "so has hypercall 0");
	check_status(hypercall(HV_CALL_POST_MESSAGE | 1ull << 32, machine_gpa(input), 0),
		     HV_STATUS_INVALID_HYPERCALL_INPUT, "a simple hypercall has no repetitions");
	check_status(hypercall(HV_CALL_POST_MESSAGE | 1ull << 60, machine_gpa(input), 0),
		     HV_STATUS_INVALID_HYPERCALL_INPUT, "reserved bits of the input are refused");
}

static void check_posts(void)
{
	check_status(post(0x123456, 8), HV_STATUS_INVALID_CONNECTION_ID,
		     "posting to no connection is refused");
	check_status(post(VMBUS_CONNECTION_ID_MESSAGE_4, HV_MESSAGE_PAYLOAD_SIZE + 1),
		     HV_STATUS_INVALID_PARAMETER, "a message of 241 bytes is refused");
	check_status(post(VMBUS_CONNECTION_ID_MESSAGE_4, UINT32_MAX), HV_STATUS_INVALID_PARAMETER,
		     "a message of 4 GiB is refused");
	check_status(post_at(0, machine_gpa(input) + 4), HV_STATUS_INVALID_ALIGNMENT,
		     "unaligned input is refused");
	check_status(post_at(0, machine_gpa(input) + 4096 - 8), HV_STATUS_INVALID_ALIGNMENT,
		     "input across pages is refused");
	check_refused(post_at(0, MESSAGE_RESERVED), "input outside RAM is refused");
	check_refused(post_at(0, ~0xfffull), "input at the end of addresses is refused");
	check_status(post_at(HV_HYPERCALL_FAST, 0), HV_STATUS_INVALID_HYPERCALL_INPUT,
		     "posting has no fast form");
}

static uint16_t signal_slowly(uint32_t connection, uint16_t flag)
{
	struct hv_signal_event *event = (struct hv_signal_event *)input;

	*event = (struct hv_signal_event){ .connection_id = connection, .flag = flag };
	return (uint16_t)hypercall(HV_CALL_SIGNAL_EVENT, machine_gpa(input), 0);
}

static void check_signals(void)
{
	check_status(signal_slowly(0x123456, 0), HV_STATUS_INVALID_CONNECTION_ID,
		     "signalling no connection is refused");
	check_status(hypercall_signal_event(0x123456, 0), HV_STATUS_INVALID_CONNECTION_ID,
		     "so is doing it fast");
	check_refused(hypercall_signal_event(0xff000001, 0), "a connection id has 24 bits");
	check_refused(signal_slowly(1, 0), "a message connection takes no signals");
}

/* ---- Messages ---- */

/*
 * Leaves the first offer in its slot, so that the second has to wait, and takes them one by one.
 * There is one slot and order is kept, so what comes last must be ALL_OFFERS_DELIVERED.
 */
static void check_busy_slot(void)
{
	struct vmbus_message_header request = { .type = VMBUS_MESSAGE_REQUEST_OFFERS };
	volatile struct hv_message *slot = synic_message_slot(VMBUS_SINT);
	uint64_t deadline = clock_now() + 2 * CLOCK_SECOND, before = machine_interrupts();
	struct hv_message message;
	uint32_t type = 0;
	unsigned offers = 0;

	if (!report_code(vmbus_client_post(&rig.bus, &request, sizeof(request)),
			 "offers can be asked for again"))
		return;
	while (!(slot->type != HV_MESSAGE_NONE && slot->flags & HV_MESSAGE_PENDING) &&
	       clock_now() < deadline)
		machine_pause();
	report(slot->flags & HV_MESSAGE_PENDING, "a message that waits is pending", "flags 0x%x",
	       slot->flags);
	report(machine_interrupts() > before, "a message interrupts", "no interrupt came");
	while (type != VMBUS_MESSAGE_ALL_OFFERS_DELIVERED && clock_now() < deadline) {
		if (!synic_take_message(VMBUS_SINT, &message))
			continue;
		report(message.type == VMBUS_HV_MESSAGE_TYPE &&
			       message.payload_size <= HV_MESSAGE_PAYLOAD_SIZE,
		       "the message is well-formed", "type 0x%x", message.type);
		memcpy(&type, message.payload, sizeof(type));
		offers += type == VMBUS_MESSAGE_OFFER_CHANNEL;
	}
	report(type == VMBUS_MESSAGE_ALL_OFFERS_DELIVERED && offers > 0,
	       "every message that waited comes, in order", "%u offers, then %u", offers, type);
}

/* A guest that answers no message for a while and then goes on. */
static void check_messages(void)
{
	if (!rig_connect(UINT32_MAX))
		return;
	if (!rig_unload())
		return;
	if (report_code(vmbus_client_connect(&rig.bus, vmbus_client_versions, 1),
			"the host answers a second contact"))
		check_busy_slot();
	report(rig_unload(), "the host lets go", "it does not answer");
}

/* Guests are told not to ask for them, and older ones do. */
static void check_automatic_end(void)
{
	const uint64_t sint = MACHINE_INTERRUPT_VECTOR | HV_SINT_AUTO_EOI;

	if (!report(machine_write_msr(HV_MSR_SINT0 + VMBUS_SINT, sint),
		    "interrupts that end by themselves can be had", "#GP"))
		return;
	check_messages();
	if (!machine_write_msr(HV_MSR_SINT0 + VMBUS_SINT, MACHINE_INTERRUPT_VECTOR))
		report(false, "the SINT can be put back", "#GP");
}

/* ---- Timers and time ---- */

static bool await_timer(struct hv_timer_message *ret_timer)
{
	uint64_t deadline = clock_now() + 2 * CLOCK_SECOND;
	struct hv_message message;

	while (!synic_take_message(TIMER_SINT, &message))
		if (clock_now() > deadline)
			return false;
	memcpy(ret_timer, message.payload, sizeof(*ret_timer));
	return message.type == HV_MESSAGE_TIMER_EXPIRED;
}

static void check_timers(void)
{
	const uint64_t config = HV_STIMER_ENABLE | (uint64_t)TIMER_SINT << 16;
	struct hv_timer_message timer = { 0 };
	uint64_t due;
	bool came;

	if (!(privileges & HV_PRIVILEGE_SYNTHETIC_TIMERS)) {
		report_note("there are no synthetic timers");
		return;
	}
	if (!report(machine_write_msr(HV_MSR_SINT0 + TIMER_SINT, MACHINE_INTERRUPT_VECTOR) &&
			    machine_write_msr(HV_MSR_STIMER0_CONFIG, config),
		    "a timer can be configured", "#GP"))
		return;
	due = clock_now() / 100 + 10000;
	report(machine_write_msr(HV_MSR_STIMER0_COUNT, due), "a timer can be set", "#GP");
	came = await_timer(&timer);
	report(came, "a timer expires", "no message");
	report(came && timer.timer == 0 && timer.delivery_time >= timer.expiration_time &&
		       timer.expiration_time >= due,
	       "it does not expire early", "due %lu, expired %lu, delivered %lu", due,
	       timer.expiration_time, timer.delivery_time);
	check_bits(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE, 0, "a one-shot timer disables itself");
}

/* The page's time must lie between two readings of the counter, but for its rounding. */
static void check_time(void)
{
	const uint64_t rounding = 10;
	uint64_t before = 0, after = 0, time;
	bool read;

	report(clock_enable(), "the reference TSC page can be enabled", "#GP");
	if (!(privileges & HV_PRIVILEGE_REFERENCE_COUNT))
		return;
	read = machine_read_msr(HV_MSR_REFERENCE_COUNT, &before);
	time = clock_now() / 100;
	read = machine_read_msr(HV_MSR_REFERENCE_COUNT, &after) && read;
	report(read && before <= time + rounding && time <= after + rounding,
	       "the reference TSC page agrees with the counter", "%lu, %lu, %lu", before, time,
	       after);
	report_note("time is read from the %s", clock_uses_page() ? "page" : "counter");
}

void guest_main(void)
{
	check_cpuid();
	check_time();
	check_msrs();
	check_crash_msrs();
	check_hypercall_page();
	check_hypercalls();
	check_posts();
	check_signals();
	if (report(synic_enable(VMBUS_SINT), "the SynIC can be enabled", "#GP")) {
		check_messages();
		if (machine_parameter("automatic_end", 0))
			check_automatic_end();
		check_timers();
	}
	report_done();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: what CPUID tells each vp of the topology, and of features that were taken away.
 *
 * Parameters: sockets, cores, threads: what it is to be; lacks: bits of leaf 1, ECX, that no vp is
 * to have. The vps are woken by INIT and SIPI to all but the first, as a kernel's start of them is,
 * and run vp_code.S. Source: Intel SDM 3A, 9.4 and 11.6.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/machine_layout.h"
#include "tests/guest/report.h"

#include <stdatomic.h>

#define SEGMENT    0x10000 /* of RAM that nobody else uses: a vp begins at its start */
#define VPS_MAX    240
#define TIMEOUT_NS 20000000000ull

#define ICR_LOW         0x300
#define ICR_INIT        0xc4500 /* to all but the sender */
#define ICR_SIPI        0xc4600
#define SIPI_DELAY_NS   10000000ull
#define FEATURE_EDX_HTT (1u << 28)

/* What a vp finds. */
struct vp_slot {
	uint32_t features_ebx, features_ecx, features_edx; /* leaf 1 */
	uint32_t thread_shift, threads, apic_id;           /* leaf 0xb, 0: EAX, EBX, EDX */
	uint32_t core_shift, logical;                      /* leaf 0xb, 1: EAX, EBX */
};
_Static_assert(sizeof(struct vp_slot) == 32, "vp_code.S");

struct vp_segment {
	uint8_t code[0xffc];
	_Atomic(uint16_t) taken, done;
	struct vp_slot slots[VPS_MAX];
};
_Static_assert(offsetof(struct vp_segment, taken) == 0xffc, "vp_code.S");
_Static_assert(offsetof(struct vp_segment, done) == 0xffe, "vp_code.S");
_Static_assert(offsetof(struct vp_segment, slots) == 0x1000, "vp_code.S");

extern const uint8_t vp_code_start[], vp_code_end[];

static struct {
	unsigned sockets, cores, threads, count;
} expected;

static void wait_ns(uint64_t ns)
{
	uint64_t end = clock_now() + ns;

	while (clock_now() < end)
		;
}

static void wake_all(struct vp_segment *segment)
{
	volatile uint32_t *icr = machine_address(MACHINE_LAPIC + ICR_LOW);
	uint64_t end;

	for (size_t i = 0; i < (size_t)(vp_code_end - vp_code_start); i++)
		segment->code[i] = vp_code_start[i];
	atomic_store(&segment->taken, 0);
	atomic_store(&segment->done, 0);
	*icr = ICR_INIT;
	wait_ns(SIPI_DELAY_NS);
	*icr = ICR_SIPI | SEGMENT >> 12;
	end = clock_now() + TIMEOUT_NS;
	while (atomic_load(&segment->done) + 1u < expected.count && clock_now() < end)
		;
}

static unsigned width(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* The n-th APIC id, if there are no gaps but those of the topology. */
static uint32_t expected_id(unsigned n)
{
	unsigned thread = n % expected.threads, core = n / expected.threads % expected.cores;
	unsigned socket = n / expected.threads / expected.cores;

	return thread | core << width(expected.threads) |
	       socket << (width(expected.threads) + width(expected.cores));
}

static bool is_right(const struct vp_slot *slot)
{
	unsigned core_shift = width(expected.threads) + width(expected.cores);
	unsigned siblings = 1u << core_shift, lacks = (unsigned)machine_parameter("lacks", 0);

	return slot->thread_shift == width(expected.threads) && slot->threads == expected.threads &&
	       slot->core_shift == core_shift &&
	       slot->logical == expected.threads * expected.cores &&
	       slot->features_ebx >> 24 == (slot->apic_id & 0xff) &&
	       (slot->features_ebx >> 16 & 0xff) == (siblings < 255 ? siblings : 255) &&
	       !(slot->features_edx & FEATURE_EDX_HTT) == (siblings == 1) &&
	       !(slot->features_ecx & lacks);
}

/* How many vps have that id. */
static unsigned count_id(const struct vp_segment *segment, uint32_t apic_id)
{
	unsigned found = 0;

	for (unsigned i = 0; i + 1 < expected.count; i++)
		found += segment->slots[i].apic_id == apic_id;
	return found;
}

static void check_ids(const struct vp_segment *segment)
{
	unsigned n = 1;

	while (n < expected.count && count_id(segment, expected_id(n)) == 1)
		n++;
	report(n == expected.count, "each vp has an APIC id of its own", "not %u", expected_id(n));
}

static void check_slots(const struct vp_segment *segment)
{
	const struct vp_slot *slot = segment->slots;
	const struct vp_slot *end = slot + expected.count - 1;

	while (slot < end && is_right(slot))
		slot++;
	report(slot == end, "each vp is told of the topology",
	       "id %u: leaf 1 %x %x %x, leaf 0xb %u %u, %u %u", slot->apic_id, slot->features_ebx,
	       slot->features_ecx, slot->features_edx, slot->thread_shift, slot->threads,
	       slot->core_shift, slot->logical);
}

void guest_main(void)
{
	struct vp_segment *segment = machine_address(SEGMENT);

	expected.sockets = (unsigned)machine_parameter("sockets", 1);
	expected.cores = (unsigned)machine_parameter("cores", 1);
	expected.threads = (unsigned)machine_parameter("threads", 1);
	expected.count = expected.sockets * expected.cores * expected.threads;
	if (!report(clock_enable(), "there is a clock", "#GP"))
		return;
	wake_all(segment);
	if (report(atomic_load(&segment->done) + 1u == expected.count, "all vps wake up",
		   "%u of %u have", atomic_load(&segment->done), expected.count - 1)) {
		check_ids(segment);
		check_slots(segment);
	}
	report_done();
}

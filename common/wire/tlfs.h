/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypervisor's interface to a guest: numbers and layouts.
 *
 * Source: Hypervisor Top-Level Functional Specification (TLFS): feature discovery, hypercall
 * interface, inter-partition communication, timers; values as Linux's asm-generic/hyperv-tlfs.h
 * and asm/hyperv-tlfs.h have them. All fields are little-endian, as the host is.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

/* ---- CPUID leaves and what they say ---- */

#define HV_CPUID_VENDOR_AND_MAX   0x40000000u
#define HV_CPUID_INTERFACE        0x40000001u
#define HV_CPUID_VERSION          0x40000002u
#define HV_CPUID_FEATURES         0x40000003u
#define HV_CPUID_RECOMMENDATIONS  0x40000004u
#define HV_CPUID_LIMITS           0x40000005u
#define HV_CPUID_VIRT_STACK       0x40000082u
#define HV_CPUID_LEAF_END         0x400000ffu
#define HV_CPUID_VENDOR_EBX       0x7263694du /* "Micr" */
#define HV_CPUID_VENDOR_ECX       0x666f736fu /* "osof" */
#define HV_CPUID_VENDOR_EDX       0x76482074u /* "t Hv" */
#define HV_CPUID_INTERFACE_EAX    0x31237648u /* "Hv#1" */
#define HV_CPUID_HYPERVISOR_ECX31 (1u << 31)  /* of leaf 1: a hypervisor is present */

/* Partition privileges: HV_CPUID_FEATURES EAX, … */
#define HV_PRIVILEGE_VP_RUNTIME       (1u << 0)
#define HV_PRIVILEGE_REFERENCE_COUNT  (1u << 1)
#define HV_PRIVILEGE_SYNIC            (1u << 2)
#define HV_PRIVILEGE_SYNTHETIC_TIMERS (1u << 3)
#define HV_PRIVILEGE_APIC             (1u << 4)
#define HV_PRIVILEGE_HYPERCALL        (1u << 5)
#define HV_PRIVILEGE_VP_INDEX         (1u << 6)
#define HV_PRIVILEGE_RESET            (1u << 7)
#define HV_PRIVILEGE_REFERENCE_TSC    (1u << 9)
#define HV_PRIVILEGE_GUEST_IDLE       (1u << 10)
#define HV_PRIVILEGE_FREQUENCIES      (1u << 11)
#define HV_PRIVILEGE_TSC_INVARIANT    (1u << 15)
/* … EBX … */
#define HV_PRIVILEGE_CREATE_PARTITIONS (1u << 0) /* makes Linux think it is the root partition */
#define HV_PRIVILEGE_POST_MESSAGES     (1u << 4)
#define HV_PRIVILEGE_SIGNAL_EVENTS     (1u << 5)
#define HV_PRIVILEGE_EXTENDED_CALLS    (1u << 20)
/* … and features, EDX. */
#define HV_FEATURE_XMM_INPUT          (1u << 4)
#define HV_FEATURE_FREQUENCIES        (1u << 8)
#define HV_FEATURE_GUEST_CRASH        (1u << 10)
#define HV_FEATURE_EXTENDED_GVA_FLUSH (1u << 14)
#define HV_FEATURE_DIRECT_STIMER      (1u << 19)

/* Recommendations, HV_CPUID_RECOMMENDATIONS EAX. */
#define HV_HINT_REMOTE_TLB_FLUSH   (1u << 2)
#define HV_HINT_APIC_MSRS          (1u << 3)
#define HV_HINT_RESET_MSR          (1u << 4)
#define HV_HINT_RELAXED_TIMING     (1u << 5)
#define HV_HINT_X2APIC_MSRS        (1u << 8)
#define HV_HINT_DEPRECATE_AUTO_EOI (1u << 9)
#define HV_HINT_CLUSTER_IPI        (1u << 10)
#define HV_HINT_EX_PROCESSOR_MASKS (1u << 11)
#define HV_HINT_NO_SHARED_CORES    (1u << 18)
#define HV_SPIN_RETRY_NEVER        UINT32_MAX /* EBX */

/* ---- Synthetic MSRs ---- */

#define HV_MSR_GUEST_OS_ID           0x40000000u
#define HV_MSR_HYPERCALL             0x40000001u
#define HV_MSR_VP_INDEX              0x40000002u
#define HV_MSR_RESET                 0x40000003u
#define HV_MSR_VP_RUNTIME            0x40000010u
#define HV_MSR_REFERENCE_COUNT       0x40000020u
#define HV_MSR_REFERENCE_TSC         0x40000021u
#define HV_MSR_TSC_FREQUENCY         0x40000022u
#define HV_MSR_APIC_FREQUENCY        0x40000023u
#define HV_MSR_EOI                   0x40000070u
#define HV_MSR_ICR                   0x40000071u
#define HV_MSR_TPR                   0x40000072u
#define HV_MSR_VP_ASSIST_PAGE        0x40000073u
#define HV_MSR_SCONTROL              0x40000080u
#define HV_MSR_SVERSION              0x40000081u
#define HV_MSR_SIEFP                 0x40000082u
#define HV_MSR_SIMP                  0x40000083u
#define HV_MSR_EOM                   0x40000084u
#define HV_MSR_SINT0                 0x40000090u
#define HV_MSR_STIMER0_CONFIG        0x400000b0u /* config and count alternate */
#define HV_MSR_STIMER0_COUNT         0x400000b1u
#define HV_MSR_GUEST_IDLE            0x400000f0u
#define HV_MSR_CRASH_P0              0x40000100u
#define HV_MSR_CRASH_P4              0x40000104u
#define HV_MSR_CRASH_CONTROL         0x40000105u
#define HV_MSR_REENLIGHTENMENT       0x40000106u
#define HV_MSR_TSC_EMULATION_CONTROL 0x40000107u
#define HV_MSR_TSC_EMULATION_STATUS  0x40000108u
#define HV_MSR_TSC_INVARIANT         0x40000118u
#define HV_MSR_RANGE_BASE            0x40000000u
#define HV_MSR_RANGE_COUNT           0x1000u

/* Bit 0 of HYPERCALL, REFERENCE_TSC, SIMP, SIEFP, SCONTROL and VP_ASSIST_PAGE. */
#define HV_MSR_ENABLE           (1ull << 0)
#define HV_MSR_HYPERCALL_LOCKED (1ull << 1)
#define HV_MSR_PAGE_MASK        0xfffffffffffff000ull

#define HV_SVERSION_1       1u
#define HV_SINT_COUNT       16u
#define HV_SINT_VECTOR_MASK 0xffull
#define HV_SINT_VECTOR_MIN  16u
#define HV_SINT_MASKED      (1ull << 16)
#define HV_SINT_AUTO_EOI    (1ull << 17)
#define HV_SINT_POLLING     (1ull << 18)
#define HV_SINT_RESET       HV_SINT_MASKED

#define HV_CRASH_MESSAGE (1ull << 62) /* P3, P4: address and length of a text */
#define HV_CRASH_NOTIFY  (1ull << 63)

/* ---- Synthetic timers ---- */

#define HV_STIMER_COUNT          4u
#define HV_STIMER_ENABLE         (1ull << 0)
#define HV_STIMER_PERIODIC       (1ull << 1)
#define HV_STIMER_LAZY           (1ull << 2)
#define HV_STIMER_AUTO_ENABLE    (1ull << 3)
#define HV_STIMER_VECTOR(config) ((uint8_t)((config) >> 4))
#define HV_STIMER_DIRECT         (1ull << 12)
#define HV_STIMER_SINT(config)   ((uint32_t)((config) >> 16) & 0xfu)

/* ---- Hypercalls ---- */

/* The input value: code, flags and counts. */
#define HV_HYPERCALL_CODE(input)      ((uint16_t)(input))
#define HV_HYPERCALL_FAST             (1ull << 16)
#define HV_HYPERCALL_REP_COUNT(input) ((uint32_t)((input) >> 32) & 0xfffu)
#define HV_HYPERCALL_REP_START(input) ((uint32_t)((input) >> 48) & 0xfffu)

/* The result value: a status, and how many repetitions are done, counted from the first. */
#define HV_HYPERCALL_REPS_DONE(count) ((uint64_t)(count) << 32)

#define HV_CALL_NOTIFY_LONG_SPIN_WAIT 0x0008u
#define HV_CALL_POST_MESSAGE          0x005cu
#define HV_CALL_SIGNAL_EVENT          0x005du

/* Extended hypercalls, of whatever serves the partition: HV_PRIVILEGE_EXTENDED_CALLS. */
#define HV_CALL_QUERY_CAPABILITIES 0x8001u
#define HV_CALL_MEMORY_HEAT_HINT   0x8003u

/* HvExtCallQueryCapabilities' output: 64 bits. */
#define HV_CAPABILITY_COLD_DISCARD (1ull << 8) /* HvExtCallMemoryHeatHint takes it */

enum hv_status {
	HV_STATUS_SUCCESS = 0x00,
	HV_STATUS_INVALID_HYPERCALL_CODE = 0x02,
	HV_STATUS_INVALID_HYPERCALL_INPUT = 0x03,
	HV_STATUS_INVALID_ALIGNMENT = 0x04,
	HV_STATUS_INVALID_PARAMETER = 0x05,
	HV_STATUS_ACCESS_DENIED = 0x06,
	HV_STATUS_OPERATION_DENIED = 0x08,
	HV_STATUS_INSUFFICIENT_MEMORY = 0x0b,
	HV_STATUS_INVALID_PORT_ID = 0x11,
	HV_STATUS_INVALID_CONNECTION_ID = 0x12,
	HV_STATUS_INSUFFICIENT_BUFFERS = 0x13,
};

/* ---- SynIC ---- */

#define HV_MESSAGE_SIZE         256u
#define HV_MESSAGE_PAYLOAD_SIZE 240u
#define HV_MESSAGE_PENDING      0x01u /* flags */
#define HV_EVENT_FLAG_COUNT     2048u /* of one SINT */
#define HV_CONNECTION_ID_MASK   0xffffffu

#define HV_MESSAGE_NONE          0x00000000u
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u

/* HvCallPostMessage's input. */
struct hv_post_message {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t type;
	uint32_t size;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
} PACKED;
_Static_assert(sizeof(struct hv_post_message) == 256, "wire format");

/* HvCallSignalEvent's input; in the fast form, the first parameter. */
struct hv_signal_event {
	uint32_t connection_id;
	uint16_t flag;
	uint16_t reserved;
} PACKED;
_Static_assert(sizeof(struct hv_signal_event) == 8, "wire format");

/* Pages in a row, in units of 4 KiB; of 2 MiB or 1 GiB if they are large. */
#define HV_GPA_RANGE_UNITS(range)     (((range)&0x7ffu) + 1)
#define HV_GPA_RANGE_LARGE            (1ull << 11)
#define HV_GPA_RANGE_HUGE             (1ull << 12) /* with HV_GPA_RANGE_LARGE: of 1 GiB */
#define HV_GPA_RANGE_LARGE_RESERVED   (0xffull << 13)
#define HV_GPA_RANGE_FRAME(range)     ((range) >> 12)
#define HV_GPA_RANGE_LARGE_PFN(range) ((range) >> 21) /* counts the larger units */

/*
 * HvExtCallMemoryHeatHint's input: what follows is as many ranges as the call has repetitions.
 * Linux, drivers/hv/hv_balloon.c.
 */
struct hv_memory_heat_hint {
	uint64_t type; /* bits 0-1; the others are reserved */
	uint64_t ranges[];
} PACKED;
_Static_assert(sizeof(struct hv_memory_heat_hint) == 8, "wire format");

#define HV_MEMORY_COLD_DISCARD    2u /* the guest has no use for what is there */
#define HV_MEMORY_HEAT_RANGES_MAX 511u

/* A slot of the message page (SIMP): one per SINT. Free while type is HV_MESSAGE_NONE. */
struct hv_message {
	uint32_t type;
	uint8_t payload_size;
	uint8_t flags;
	uint16_t reserved;
	uint64_t sender;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
} PACKED;
_Static_assert(sizeof(struct hv_message) == HV_MESSAGE_SIZE, "wire format");

struct hv_message_page {
	struct hv_message slots[HV_SINT_COUNT];
};
_Static_assert(sizeof(struct hv_message_page) == 4096, "wire format");

/* The event flags page (SIEFP). */
struct hv_event_flags_page {
	uint32_t flags[HV_SINT_COUNT][HV_EVENT_FLAG_COUNT / 32];
};
_Static_assert(sizeof(struct hv_event_flags_page) == 4096, "wire format");

/* Payload of HV_MESSAGE_TIMER_EXPIRED. Times in units of 100 ns. */
struct hv_timer_message {
	uint32_t timer;
	uint32_t reserved;
	uint64_t expiration_time;
	uint64_t delivery_time;
} PACKED;
_Static_assert(sizeof(struct hv_timer_message) == 24, "wire format");

/*
 * The reference TSC page: time = (tsc * scale >> 64) + offset, in units of 100 ns, valid while
 * sequence stays the same and is not HV_REFERENCE_TSC_INVALID.
 */
#define HV_REFERENCE_TSC_INVALID 0u

struct hv_reference_tsc_page {
	uint32_t sequence;
	uint32_t reserved;
	uint64_t scale;
	int64_t offset;
	uint64_t reserved2[509];
} PACKED;
_Static_assert(sizeof(struct hv_reference_tsc_page) == 4096, "wire format");

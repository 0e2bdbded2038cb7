/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic interrupt controller.
 */
#include "guest-vsc/synic.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

static struct hv_message_page message_page __attribute__((aligned(4096)));
static struct hv_event_flags_page event_page __attribute__((aligned(4096)));

static bool enable(uint32_t sint, uint64_t value)
{
	return machine_write_msr(HV_MSR_SIMP, machine_gpa(&message_page) | HV_MSR_ENABLE) &&
	       machine_write_msr(HV_MSR_SIEFP, machine_gpa(&event_page) | HV_MSR_ENABLE) &&
	       machine_write_msr(HV_MSR_SINT0 + sint, value) &&
	       machine_write_msr(HV_MSR_SCONTROL, HV_MSR_ENABLE);
}

bool synic_enable(uint32_t sint)
{
	return enable(sint, MACHINE_INTERRUPT_VECTOR);
}

bool synic_enable_polled(uint32_t sint)
{
	return enable(sint, HV_SINT_MASKED | HV_SINT_POLLING);
}

void synic_disable(uint32_t sint)
{
	if (!machine_write_msr(HV_MSR_SINT0 + sint, HV_SINT_RESET) ||
	    !machine_write_msr(HV_MSR_SIMP, 0) || !machine_write_msr(HV_MSR_SIEFP, 0) ||
	    !machine_write_msr(HV_MSR_SCONTROL, 0))
		guest_panic("the SynIC cannot be disabled");
	memset(&message_page, 0, sizeof(message_page));
	memset(&event_page, 0, sizeof(event_page));
}

volatile struct hv_message *synic_message_slot(uint32_t sint)
{
	return &message_page.slots[sint];
}

/* The type is a slot's first member, and aligned though the struct is packed. */
_Static_assert(offsetof(struct hv_message, type) == 0, "wire format");

bool synic_take_message(uint32_t sint, struct hv_message *ret_message)
{
	struct hv_message *slot = &message_page.slots[sint];
	uint32_t *type = machine_address(machine_gpa(slot));

	if (__atomic_load_n(type, __ATOMIC_ACQUIRE) == HV_MESSAGE_NONE)
		return false;
	memcpy(ret_message, slot, sizeof(*ret_message));
	__atomic_store_n(type, HV_MESSAGE_NONE, __ATOMIC_RELEASE);

	/* The host sets the flag before it looks at the type again: free the slot, then look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->flags, __ATOMIC_RELAXED) & HV_MESSAGE_PENDING &&
	    !machine_write_msr(HV_MSR_EOM, 0))
		guest_panic("EOM faulted");
	return true;
}

bool synic_take_event(uint32_t sint, uint32_t flag)
{
	uint32_t bit = 1u << flag % 32;
	uint32_t *word = &event_page.flags[sint][flag / 32];

	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		return false;
	return __atomic_fetch_and(word, ~bit, __ATOMIC_ACQ_REL) & bit;
}

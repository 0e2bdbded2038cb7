/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hypercalls.
 *
 * Whether HvCallSignalEvent can be made in ring 3 shows when it is tried with a connection that
 * exists: a hypervisor that does not mind has taken the signal, any other has injected a fault, and
 * the call is made again in ring 0. A fault on a connection that does not exist says nothing.
 */
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

/* TLFS 3.13: bit 63 open source, bits 62-56 the kind of system: none of those assigned. */
#define GUEST_OS_ID (1ull << 63 | 0x7full << 56 | 1)

#define SIGNAL_EVENT (HV_CALL_SIGNAL_EVENT | HV_HYPERCALL_FAST)

static struct {
	enum { WAY_UNKNOWN, WAY_USER_MODE, WAY_KERNEL_MODE } signal_way;
	uint64_t signals;
} state;

/* A call in ring 3, for machine_try(). */
struct user_mode_signal {
	uint64_t input, result;
};

static void signal_in_user_mode(void *argument)
{
	struct user_mode_signal *signal = argument;

	signal->result = machine_call_hypercall_page(SIGNAL_EVENT, signal->input, 0);
}

bool hypercall_enable(void)
{
	if (!machine_write_msr(HV_MSR_GUEST_OS_ID, GUEST_OS_ID) ||
	    !machine_write_msr(HV_MSR_HYPERCALL, machine_gpa(hypercall_page) | HV_MSR_ENABLE))
		return false;
	state.signal_way = WAY_UNKNOWN;
	return true;
}

void hypercall_disable(void)
{
	if (!machine_write_msr(HV_MSR_HYPERCALL, 0) || !machine_write_msr(HV_MSR_GUEST_OS_ID, 0))
		guest_panic("the hypercall page cannot be disabled");
}

bool hypercall_signals_from_user_mode(void)
{
	return state.signal_way == WAY_USER_MODE;
}

uint64_t hypercall(uint64_t control, uint64_t first, uint64_t second)
{
	uint64_t result;

	if (!machine_hypercall(control, first, second, &result))
		guest_panic("a hypercall faulted");
	return result;
}

uint16_t hypercall_post_message(uint32_t connection_id, uint32_t type, const void *payload,
				size_t size)
{
	/* Aligned to its size, so it does not cross a page. */
	static struct hv_post_message input __attribute__((aligned(256)));

	input = (struct hv_post_message){
		.connection_id = connection_id,
		.type = type,
		.size = (uint32_t)size,
	};
	memcpy(input.payload, payload, size);
	return (uint16_t)hypercall(HV_CALL_POST_MESSAGE, machine_gpa(&input), 0);
}

uint16_t hypercall_signal_event(uint32_t connection_id, uint16_t flag)
{
	struct user_mode_signal signal = { .input = connection_id | (uint64_t)flag << 32 };
	uint16_t status;

	state.signals++;
	if (state.signal_way != WAY_KERNEL_MODE && machine_try(signal_in_user_mode, &signal)) {
		if ((uint16_t)signal.result == HV_STATUS_SUCCESS)
			state.signal_way = WAY_USER_MODE;
		return (uint16_t)signal.result;
	}
	status = (uint16_t)hypercall(SIGNAL_EVENT, signal.input, 0);
	if (status == HV_STATUS_SUCCESS && state.signal_way == WAY_UNKNOWN)
		state.signal_way = WAY_KERNEL_MODE;
	return status;
}

uint64_t hypercall_signal_count(void)
{
	return state.signals;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hypercalls: one table of what we take, and the checks of the input value that all share.
 * TLFS, "Hypercall Interface".
 */
#include "hvshim/internal.h"

#include <string.h>

/* Input value: bits 17-26 are the size of a variable header, which no call here has; the others
 * are reserved, or ask for the hypervisor of a nested guest. */
#define INPUT_VARIABLE_HEADER UINT64_C(0x0000000007fe0000)
#define INPUT_RESERVED        UINT64_C(0xf000f000f8000000)

struct hypercall {
	uint16_t code;
	uint16_t repetitions; /* at most; 0: it is not a call with repetitions */
	uint64_t (*call)(struct hvshim_vp *vp, const struct hypercall_input *input);
};

#define INPUT_ALIGNMENT 8u

static void *block_find(struct hvshim_vp *vp, uint64_t address, size_t size,
			enum hv_status *ret_status)
{
	void *block = NULL;

	*ret_status = HV_STATUS_INVALID_ALIGNMENT;
	if (IS_ALIGNED(address, INPUT_ALIGNMENT) && address % HV_PAGE_SIZE + size <= HV_PAGE_SIZE) {
		block = vid_memory_map(vp->hvshim->memory, GPA(address), size);
		*ret_status = block ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	return block;
}

enum hv_status hypercall_input_copy(struct hvshim_vp *vp, uint64_t address, void *block,
				    size_t size)
{
	enum hv_status status;
	const void *source = block_find(vp, address, size, &status);

	if (source)
		memcpy(block, source, size);
	return status;
}

enum hv_status hypercall_output_copy(struct hvshim_vp *vp, uint64_t address, const void *block,
				     size_t size)
{
	enum hv_status status;
	void *target = block_find(vp, address, size, &status);

	if (target) {
		memcpy(target, block, size);
		vid_memory_mark_written(vp->hvshim->memory, GPA(address), size);
	}
	return status;
}

static uint64_t call_post_message(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	struct hv_post_message post;
	enum hv_status status;

	if (input->value & HV_HYPERCALL_FAST)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	status = hypercall_input_copy(vp, input->params[0], &post, sizeof(post));
	if (status != HV_STATUS_SUCCESS)
		return status;
	return message_queue_post(vp->hvshim, &post);
}

uint64_t hypercall_signal_event(struct hvshim_vp *vp, uint64_t argument)
{
	struct hv_signal_event event;

	_Static_assert(sizeof(event) == sizeof(argument), "one register");
	memcpy(&event, &argument, sizeof(event));
	if (event.reserved != 0 || event.connection_id > HV_CONNECTION_ID_MASK)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	/* Our ports have one flag each. */
	if (event.flag != 0)
		return HV_STATUS_INVALID_PARAMETER;
	if (connection_signal(vp->hvshim, event.connection_id) < 0)
		return HV_STATUS_INVALID_CONNECTION_ID;
	return HV_STATUS_SUCCESS;
}

static uint64_t call_signal_event(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	uint64_t argument = input->params[0];

	if (!(input->value & HV_HYPERCALL_FAST)) {
		enum hv_status status =
			hypercall_input_copy(vp, input->params[0], &argument, sizeof(argument));

		if (status != HV_STATUS_SUCCESS)
			return status;
	}
	return hypercall_signal_event(vp, argument);
}

/* The vp has left the CPU by calling; that is all it can ask for here. */
static uint64_t call_long_spin_wait(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	return HV_STATUS_SUCCESS;
}

static const struct hypercall hypercall_table[] = {
	{ HV_CALL_NOTIFY_LONG_SPIN_WAIT, 0, call_long_spin_wait },
	{ HV_CALL_POST_MESSAGE, 0, call_post_message },
	{ HV_CALL_SIGNAL_EVENT, 0, call_signal_event },
	{ HV_CALL_QUERY_CAPABILITIES, 0, hypercall_query_capabilities },
	{ HV_CALL_MEMORY_HEAT_HINT, HV_MEMORY_HEAT_RANGES_MAX, hypercall_memory_heat_hint },
};

static bool repetitions_fit(const struct hypercall *hypercall, uint64_t value)
{
	uint32_t count = HV_HYPERCALL_REP_COUNT(value), start = HV_HYPERCALL_REP_START(value);

	if (hypercall->repetitions == 0)
		return count == 0 && start == 0;
	return start < count && count <= hypercall->repetitions;
}

uint64_t hypercall_dispatch(struct hvshim_vp *vp, uint64_t value, const uint64_t params[2])
{
	struct hypercall_input input = { .value = value, .params = { params[0], params[1] } };

	atomic_fetch_add(&vp->hvshim->counters.hypercall_exits, 1);
	if (value & INPUT_RESERVED)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	for (size_t i = 0; i < ARRAY_SIZE(hypercall_table); i++) {
		if (hypercall_table[i].code != HV_HYPERCALL_CODE(value))
			continue;
		if (value & INPUT_VARIABLE_HEADER || !repetitions_fit(&hypercall_table[i], value))
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		return hypercall_table[i].call(vp, &input);
	}
	atomic_fetch_add(&vp->hvshim->counters.unknown_hypercalls, 1);
	return HV_STATUS_INVALID_HYPERCALL_CODE;
}

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

struct hypercall_input {
	uint64_t value;
	uint64_t params[2]; /* GPAs of the parameter blocks; or, in the fast form, the parameters */
};

struct hypercall {
	uint16_t code;
	enum hv_status (*call)(struct hvshim_vp *vp, const struct hypercall_input *input);
};

#define INPUT_ALIGNMENT 8u

/*
 * Copies an input block out of guest memory, so that what is checked is what is used. Blocks must
 * be aligned and lie in one page.
 */
static enum hv_status input_copy(struct hvshim_vp *vp, uint64_t address, void *block, size_t size)
{
	const void *source;

	if (!IS_ALIGNED(address, INPUT_ALIGNMENT) || address % HV_PAGE_SIZE + size > HV_PAGE_SIZE)
		return HV_STATUS_INVALID_ALIGNMENT;
	source = vid_memory_map(vp->hvshim->memory, GPA(address), size);
	if (!source)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(block, source, size);
	return HV_STATUS_SUCCESS;
}

static enum hv_status call_post_message(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	struct hv_post_message post;
	enum hv_status status;

	if (input->value & HV_HYPERCALL_FAST)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	status = input_copy(vp, input->params[0], &post, sizeof(post));
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

static enum hv_status call_signal_event(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	uint64_t argument = input->params[0];

	if (!(input->value & HV_HYPERCALL_FAST)) {
		enum hv_status status =
			input_copy(vp, input->params[0], &argument, sizeof(argument));

		if (status != HV_STATUS_SUCCESS)
			return status;
	}
	return (enum hv_status)hypercall_signal_event(vp, argument);
}

/* The vp has left the CPU by calling; that is all it can ask for here. */
static enum hv_status call_long_spin_wait(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	return HV_STATUS_SUCCESS;
}

static const struct hypercall hypercall_table[] = {
	{ HV_CALL_NOTIFY_LONG_SPIN_WAIT, call_long_spin_wait },
	{ HV_CALL_POST_MESSAGE, call_post_message },
	{ HV_CALL_SIGNAL_EVENT, call_signal_event },
};

uint64_t hypercall_dispatch(struct hvshim_vp *vp, uint64_t value, const uint64_t params[2])
{
	struct hypercall_input input = { .value = value, .params = { params[0], params[1] } };

	atomic_fetch_add(&vp->hvshim->counters.hypercall_exits, 1);
	if (value & INPUT_RESERVED)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	for (size_t i = 0; i < ARRAY_SIZE(hypercall_table); i++) {
		if (hypercall_table[i].code != HV_HYPERCALL_CODE(value))
			continue;
		if (value & INPUT_VARIABLE_HEADER || HV_HYPERCALL_REP_COUNT(value) != 0 ||
		    HV_HYPERCALL_REP_START(value) != 0)
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		return hypercall_table[i].call(vp, &input);
	}
	atomic_fetch_add(&vp->hvshim->counters.unknown_hypercalls, 1);
	return HV_STATUS_INVALID_HYPERCALL_CODE;
}

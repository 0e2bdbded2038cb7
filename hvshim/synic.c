/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic interrupt controller: message slots, event flags and the SINTs that announce them.
 * TLFS, "Inter-Partition Communication".
 *
 * Both engines write messages and flags into guest memory here. They differ in who keeps the SINT
 * registers (KVM or we), in what an interrupt of the host's is routed to, and in how the end of a
 * message is learnt of: in the user-space engine the guest writes the EOM register and that is an
 * exit; in the in-kernel engine KVM keeps that to itself, but signals an eventfd when the SINT's
 * interrupt ends, by EOI or EOM, which is a reason to look.
 *
 * A slot is the host's while its type is "none", and the guest's from when the type is set. To a
 * taken slot the host sets the flag "pending", which obliges the guest to announce the slot's
 * release. The guest may release it just before it could see the flag, so the host looks again
 * after setting it.
 *
 * The pages are zeroed when they are enabled. On Hyper-V they are the hypervisor's own pages, laid
 * over the guest's; here they are the guest's, and must be RAM.
 */
#include "hvshim/internal.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void synic_init(struct hvshim_vp *vp)
{
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++) {
		vp->synic.state.sints[i] = HV_SINT_RESET;
		vp->synic.sints[i].vp = vp;
	}
}

/* ---- Registers ---- */

/* Where an enabled page is; NULL while SCONTROL is off, too. */
static void *synic_map_page(struct hvshim_vp *vp, uint64_t value)
{
	if (!(vp->synic.state.control & HV_MSR_ENABLE) || !(value & HV_MSR_ENABLE))
		return NULL;
	return vid_memory_map(vp->hvshim->memory, GPA(value & HV_MSR_PAGE_MASK), HV_PAGE_SIZE);
}

static void synic_map(struct hvshim_vp *vp)
{
	vp->synic.messages = synic_map_page(vp, vp->synic.state.simp);
	vp->synic.events = synic_map_page(vp, vp->synic.state.siefp);
}

int synic_write_control(struct hvshim_vp *vp, uint64_t value)
{
	pthread_mutex_lock(&vp->lock);
	vp->synic.state.control = value;
	synic_map(vp);
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

static int synic_write_page(struct hvshim_vp *vp, uint64_t *page, uint64_t value)
{
	gpa_t gpa = GPA(value & HV_MSR_PAGE_MASK);
	bool moved = (value ^ *page) & (HV_MSR_PAGE_MASK | HV_MSR_ENABLE);
	void *contents = vid_memory_map(vp->hvshim->memory, gpa, HV_PAGE_SIZE);

	if (value & HV_MSR_ENABLE && !contents)
		return HVSHIM_MSR_E_FAULT;
	pthread_mutex_lock(&vp->lock);
	if (value & HV_MSR_ENABLE && moved) {
		memset(contents, 0, HV_PAGE_SIZE);
		vid_memory_mark_written(vp->hvshim->memory, gpa, HV_PAGE_SIZE);
	}
	*page = value;
	synic_map(vp);
	pthread_mutex_unlock(&vp->lock);
	/* Those who wait for a slot of a page that is gone shall know. */
	synic_end_of_message(vp);
	return 0;
}

int synic_write_event_page(struct hvshim_vp *vp, uint64_t value)
{
	return synic_write_page(vp, &vp->synic.state.siefp, value);
}

int synic_write_message_page(struct hvshim_vp *vp, uint64_t value)
{
	return synic_write_page(vp, &vp->synic.state.simp, value);
}

/*
 * The route that the register asks for. In polling mode the guest looks for itself; what ends by
 * itself does not come by the LAPIC.
 */
static int sint_route(struct hvshim_vp *vp, struct synic_sint *sint, uint64_t value)
{
	int r;

	if (!sint->interrupt) {
		r = vid_interrupt_new(vp->hvshim->partition, false, &sint->interrupt);
		if (r < 0)
			return r;
	}
	if (value & (HV_SINT_POLLING | HV_SINT_AUTO_EOI))
		return vid_interrupt_unroute(sint->interrupt);
	return vid_interrupt_route_vector(sint->interrupt, vid_vp_apic_id(vp->vp),
					  (uint8_t)(value & HV_SINT_VECTOR_MASK));
}

/* In the in-kernel engine no register that we have says so: KVM keeps its own. */
static bool sint_ends_by_itself(uint64_t value)
{
	return (value & (HV_SINT_MASKED | HV_SINT_POLLING | HV_SINT_AUTO_EOI)) == HV_SINT_AUTO_EOI;
}

/*
 * Interrupts change their way, to the LAPIC or past it. One that was on the old way is sent on the
 * new one, where it may be one too many. The old state is still in place; a SINT that is then not
 * open, or in polling mode, has no route, and nothing comes of it.
 */
static void sint_change_way(struct hvshim_vp *vp, uint32_t number, bool past_lapic)
{
	const struct synic_sint *sint = &vp->synic.sints[number];
	bool was_past_lapic = sint_ends_by_itself(vp->synic.state.sints[number]);

	if (was_past_lapic && !past_lapic) {
		if (auto_eoi_forget(vp, number))
			eventfd_write(vid_interrupt_fd(sint->interrupt), 1);
	} else if (sint->open && !was_past_lapic && past_lapic) {
		auto_eoi_raise(vp, number);
	}
}

int synic_write_sint(struct hvshim_vp *vp, uint32_t sint, uint64_t value)
{
	bool open = !(value & HV_SINT_MASKED) || value & HV_SINT_POLLING;
	int r = 0;

	if (open && !(value & HV_SINT_POLLING) &&
	    (value & HV_SINT_VECTOR_MASK) < HV_SINT_VECTOR_MIN)
		return HVSHIM_MSR_E_FAULT;
	pthread_mutex_lock(&vp->lock);
	if (open)
		r = sint_route(vp, &vp->synic.sints[sint], value);
	if (r == 0) {
		sint_change_way(vp, sint, sint_ends_by_itself(value));
		vp->synic.state.sints[sint] = value;
		vp->synic.sints[sint].open = open;
	}
	pthread_mutex_unlock(&vp->lock);
	return r;
}

/* ---- Waiting for a slot ---- */

static void sint_poll(struct synic_sint *sint)
{
	sint->poll = SYNIC_POLL_ARMED;
	loop_poll(sint->vp->hvshim->loop, &sint->eoi, vid_interrupt_eoi_fd(sint->interrupt),
		  POLLIN);
}

static uint32_t sint_number(const struct synic_sint *sint)
{
	return (uint32_t)(sint - sint->vp->synic.sints);
}

static void sint_polled(struct loop_operation *operation, int result, bool more)
{
	struct synic_sint *sint = container_of(operation, struct synic_sint, eoi);
	struct hvshim_vp *vp = sint->vp;
	struct hvshim *hvshim = vp->hvshim;

	hvshim_enter(hvshim);
	if (!more)
		sint->poll = SYNIC_POLL_IDLE;
	if (!hvshim->freed) {
		synic_check(vp);
		/*
		 * Waited for again while the poll was being cancelled, or ended by itself. Were
		 * polling to fail, the retry timer would do.
		 */
		if (sint->poll == SYNIC_POLL_IDLE && (result >= 0 || result == -ECANCELED) &&
		    atomic_load(&vp->synic.waiting) & 1u << sint_number(sint))
			sint_poll(sint);
	}
	hvshim_leave(hvshim);
}

/* Forgets EOIs from before the wait; those after it make the descriptor readable. */
static void sint_drain_eoi(const struct synic_sint *sint)
{
	uint64_t count;

	if (vid_interrupt_eoi_fd(sint->interrupt) >= 0 && sint->poll == SYNIC_POLL_IDLE)
		while (read(vid_interrupt_eoi_fd(sint->interrupt), &count, sizeof(count)) > 0)
			continue;
}

static void sint_wait(struct synic_sint *sint)
{
	if (vid_interrupt_eoi_fd(sint->interrupt) >= 0 && sint->poll == SYNIC_POLL_IDLE) {
		sint->eoi.complete = sint_polled;
		sint_poll(sint);
	}
	hvshim_retry_later(sint->vp->hvshim);
}

static void sint_stop_waiting(struct synic_sint *sint)
{
	if (sint->poll != SYNIC_POLL_ARMED)
		return;
	sint->poll = SYNIC_POLL_CANCELLED;
	loop_cancel(sint->vp->hvshim->loop, &sint->eoi);
}

void synic_end_of_message(struct hvshim_vp *vp)
{
	if (atomic_load(&vp->synic.waiting) != 0)
		loop_post(vp->hvshim->loop, &vp->slot_task);
}

/* ---- Messages ---- */

/* The guest writes slots at any time: members are accessed once, and as what they are. */
static uint32_t slot_type(const struct hv_message *slot)
{
	return __atomic_load_n((const uint32_t *)(const void *)slot, __ATOMIC_SEQ_CST);
}

uint32_t synic_taken_slots(const struct hvshim_vp *vp)
{
	uint32_t taken = 0;

	for (uint32_t sint = 0; vp->synic.messages && sint < HV_SINT_COUNT; sint++)
		if (slot_type(&vp->synic.messages->slots[sint]) != HV_MESSAGE_NONE)
			taken |= 1u << sint;
	return taken;
}

static void slot_set_type(struct hv_message *slot, uint32_t type)
{
	__atomic_store_n((uint32_t *)(void *)slot, type, __ATOMIC_SEQ_CST);
}

static void synic_mark_written(struct hvshim_vp *vp, uint64_t page, size_t offset, size_t size)
{
	vid_memory_mark_written(vp->hvshim->memory, GPA((page & HV_MSR_PAGE_MASK) + offset), size);
}

/* Return: whether the slot is the host's. If not, the guest will announce its release. */
static bool slot_claim(struct hvshim_vp *vp, uint32_t sint)
{
	struct hv_message *slot = &vp->synic.messages->slots[sint];

	if (slot_type(slot) == HV_MESSAGE_NONE)
		return true;
	sint_drain_eoi(&vp->synic.sints[sint]);
	atomic_fetch_or(&vp->synic.waiting, 1u << sint);
	__atomic_fetch_or(&slot->flags, HV_MESSAGE_PENDING, __ATOMIC_SEQ_CST);
	if (slot_type(slot) == HV_MESSAGE_NONE) {
		atomic_fetch_and(&vp->synic.waiting, ~(1u << sint));
		return true;
	}
	synic_mark_written(vp, vp->synic.state.simp, sint * sizeof(*slot), sizeof(*slot));
	sint_wait(&vp->synic.sints[sint]);
	return false;
}

static void slot_fill(struct hvshim_vp *vp, uint32_t sint, const struct hv_message *message)
{
	struct hv_message *slot = &vp->synic.messages->slots[sint];

	memcpy((uint8_t *)slot + sizeof(slot->type), (const uint8_t *)message + sizeof(slot->type),
	       offsetof(struct hv_message, payload) - sizeof(slot->type) + message->payload_size);
	slot_set_type(slot, message->type);
	synic_mark_written(vp, vp->synic.state.simp, sint * sizeof(*slot), sizeof(*slot));
}

static int sint_open(struct hvshim_vp *vp, uint32_t sint)
{
	return vp->synic.sints[sint].open ? 0 : vp->hvshim->ops->open_sint(vp, sint);
}

/* The SINT's interrupt. Caller holds vp->lock. */
static void sint_raise(struct hvshim_vp *vp, uint32_t sint)
{
	if (sint_ends_by_itself(vp->synic.state.sints[sint]))
		auto_eoi_raise(vp, sint);
	else
		loop_signal(vp->hvshim->loop, vid_interrupt_fd(vp->synic.sints[sint].interrupt));
}

int synic_deliver(struct hvshim_vp *vp, uint32_t sint, const struct hv_message *message)
{
	struct synic *synic = &vp->synic;
	int r;

	if (!synic->messages)
		return HVSHIM_E_NOT_READY;
	r = sint_open(vp, sint);
	if (r != 0)
		return r;
	if (!slot_claim(vp, sint))
		return HVSHIM_E_BUSY;
	slot_fill(vp, sint, message);
	sint_raise(vp, sint);
	return 0;
}

int hvshim_post_message(struct hvshim *hvshim, uint32_t vp_index, uint32_t sint,
			const struct hvshim_message *message)
{
	struct hv_message slot = { .type = message->type };
	struct hvshim_vp *vp;
	int r;

	if (vp_index >= hvshim->vp_count || sint >= HV_SINT_COUNT ||
	    message->size > HVSHIM_MESSAGE_PAYLOAD)
		return -EINVAL;
	vp = &hvshim->vps[vp_index];
	slot.payload_size = (uint8_t)message->size;
	memcpy(slot.payload, message->payload, message->size);
	pthread_mutex_lock(&vp->lock);
	r = synic_deliver(vp, sint, &slot);
	pthread_mutex_unlock(&vp->lock);
	if (r == 0)
		atomic_fetch_add(&hvshim->counters.messages_posted, 1);
	else if (r == HVSHIM_E_BUSY)
		atomic_fetch_add(&hvshim->counters.messages_busy, 1);
	return r;
}

void synic_check(struct hvshim_vp *vp)
{
	struct hvshim *hvshim = vp->hvshim;
	unsigned freed = 0;

	if (hvshim->freed || hvshim->quiet || atomic_load(&vp->synic.waiting) == 0)
		return;
	pthread_mutex_lock(&vp->lock);
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		if (!(atomic_load(&vp->synic.waiting) & 1u << sint))
			continue;
		if (!vp->synic.messages ||
		    slot_type(&vp->synic.messages->slots[sint]) == HV_MESSAGE_NONE)
			freed |= 1u << sint;
	}
	atomic_fetch_and(&vp->synic.waiting, ~freed);
	if (freed)
		stimers_expire(vp);
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		if (freed & ~atomic_load(&vp->synic.waiting) & 1u << sint)
			sint_stop_waiting(&vp->synic.sints[sint]);
	pthread_mutex_unlock(&vp->lock);
	if (freed)
		hvshim->callbacks->slot_free(hvshim->data, vp->index);
}

/* ---- Event flags ---- */

/* Return: whether the flag was clear. */
static bool event_flag_set(struct hvshim_vp *vp, uint32_t sint, uint32_t flag)
{
	uint32_t *word = &vp->synic.events->flags[sint][flag / 32], bit = UINT32_C(1) << flag % 32;
	bool was_set = __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit;

	synic_mark_written(vp, vp->synic.state.siefp,
			   (size_t)((uint8_t *)word - (uint8_t *)vp->synic.events), sizeof(*word));
	return !was_set;
}

void hvshim_signal_event(struct hvshim *hvshim, uint32_t vp_index, uint32_t sint, uint32_t flag)
{
	struct hvshim_vp *vp;

	if (vp_index >= hvshim->vp_count || sint >= HV_SINT_COUNT || flag >= HV_EVENT_FLAG_COUNT)
		return;
	vp = &hvshim->vps[vp_index];
	pthread_mutex_lock(&vp->lock);
	if (vp->synic.events && sint_open(vp, sint) == 0 && event_flag_set(vp, sint, flag)) {
		sint_raise(vp, sint);
		atomic_fetch_add(&hvshim->counters.events_signalled, 1);
	}
	pthread_mutex_unlock(&vp->lock);
}

/* ---- State ---- */

void synic_restore_pages(struct hvshim_vp *vp, const struct hvshim_vp_state *state)
{
	vp->synic.state.control = state->control;
	vp->synic.state.simp = state->simp;
	vp->synic.state.siefp = state->siefp;
	synic_map(vp);
}

/* As synic_write_sint(), without an interrupt that changes its way. */
static int sint_restore(struct hvshim_vp *vp, uint32_t number, uint64_t value,
			struct state_refusal *refusal)
{
	struct synic_sint *sint = &vp->synic.sints[number];
	bool open = !(value & HV_SINT_MASKED) || value & HV_SINT_POLLING;
	int r = 0;

	if (open && !(value & HV_SINT_POLLING) &&
	    (value & HV_SINT_VECTOR_MASK) < HV_SINT_VECTOR_MIN)
		return state_refuse(refusal, "SINT %u of vp %u has vector %u", number, vp->index,
				    (unsigned)(value & HV_SINT_VECTOR_MASK));
	if (open)
		r = sint_route(vp, sint, value);
	vp->synic.state.sints[number] = value;
	sint->open = open;
	return r;
}

int synic_restore_sints(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
			struct state_refusal *refusal)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < HV_SINT_COUNT; i++) {
		r = sint_restore(vp, i, state->sints[i], refusal);
		if (r == 0 && state->raised & 1u << i && !sint_ends_by_itself(state->sints[i]))
			return state_refuse(
				refusal, "SINT %u of vp %u is raised, and does not end by itself",
				i, vp->index);
	}
	atomic_store(&vp->synic.raised, state->raised);
	return r;
}

static bool sint_has_flags(const struct hvshim_vp *vp, uint32_t sint)
{
	for (size_t i = 0; vp->synic.events && i < HV_EVENT_FLAG_COUNT / 32; i++)
		if (__atomic_load_n(&vp->synic.events->flags[sint][i], __ATOMIC_SEQ_CST) != 0)
			return true;
	return false;
}

void synic_raise_again(struct hvshim_vp *vp)
{
	uint32_t taken = synic_taken_slots(vp);

	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		if ((taken & 1u << sint || sint_has_flags(vp, sint)) && sint_open(vp, sint) == 0)
			sint_raise(vp, sint);
}

/* ---- End ---- */

void synic_stop(struct hvshim_vp *vp)
{
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++)
		sint_stop_waiting(&vp->synic.sints[i]);
}

void synic_deinit(struct hvshim_vp *vp)
{
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++) {
		vid_interrupt_free(vp->synic.sints[i].interrupt);
		vp->synic.sints[i].interrupt = NULL;
	}
	vp->synic.messages = NULL;
	vp->synic.events = NULL;
	atomic_store(&vp->synic.waiting, 0);
}

bool synic_is_idle(const struct hvshim_vp *vp)
{
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++)
		if (vp->synic.sints[i].poll != SYNIC_POLL_IDLE)
			return false;
	return true;
}

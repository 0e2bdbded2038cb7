/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving and restoring the personality.
 *
 * The engines put what each keeps into one form (hvshim/state.h). Between hvshim_quiesce() and
 * hvshim_resume() the personality touches nothing of the guest's; after a restore, the reference
 * time stands still until then.
 *
 * What was on its way when the vps stopped may have been lost with the interrupt that told of it:
 * after a restore, whoever has something to find is interrupted once more.
 */
#include "hvshim/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct vp_record_name {
	char text[STATE_NAME_MAX + 1];
};

static struct vp_record_name vp_record_name(uint32_t vp)
{
	struct vp_record_name name;

	snprintf(name.text, sizeof(name.text), HVSHIM_STATE_RECORD ".vp-%" PRIu32, vp);
	return name;
}

/* ---- Quiet ---- */

void hvshim_quiesce(struct hvshim *hvshim)
{
	hvshim->quiet = true;
	for (uint32_t i = 0; i < hvshim->vp_count; i++) {
		struct hvshim_vp *vp = &hvshim->vps[i];

		pthread_mutex_lock(&vp->lock);
		stimers_disarm(vp);
		pthread_mutex_unlock(&vp->lock);
	}
	/* Interrupts on their way. */
	loop_flush(hvshim->loop);
}

static void vp_resume(struct hvshim_vp *vp, bool restored)
{
	pthread_mutex_lock(&vp->lock);
	stimers_expire(vp);
	if (restored)
		synic_raise_again(vp);
	pthread_mutex_unlock(&vp->lock);
	loop_post(vp->hvshim->loop, &vp->slot_task);
	if (atomic_load(&vp->synic.waiting) != 0)
		hvshim_retry_later(vp->hvshim);
}

int hvshim_resume(struct hvshim *hvshim)
{
	bool restored = hvshim->time_waits;
	int r = 0;

	if (!hvshim->quiet)
		return 0;
	if (restored) {
		pthread_mutex_lock(&hvshim->lock);
		r = hvshim->ops->start(hvshim, hvshim->restored_time);
		pthread_mutex_unlock(&hvshim->lock);
		if (r < 0)
			return r;
	}
	hvshim->time_waits = false;
	hvshim->quiet = false;
	for (uint32_t i = 0; i < hvshim->vp_count; i++)
		vp_resume(&hvshim->vps[i], restored);
	loop_post(hvshim->loop, &hvshim->task);
	return 0;
}

/* ---- Saving ---- */

static void save_below(const struct overlay *overlay, struct state_writer *writer)
{
	if (overlay->below)
		state_put(writer, overlay->below, HV_PAGE_SIZE);
}

static int save_partition(struct hvshim *hvshim, struct state_writer *writer)
{
	struct hvshim_partition_state state = {
		.engine = hvshim->engine,
		.vp_count = hvshim->vp_count,
		.enlightenments = hvshim->told,
		.reference_time = hvshim_reference_time(hvshim),
	};
	struct state_writer messages;
	int r = hvshim->ops->save(hvshim, &state);

	if (r < 0)
		return r;
	memcpy(state.crash_parameters, hvshim->state.crash_parameters,
	       sizeof(state.crash_parameters));
	state_writer_init(&messages);
	state.message_count = message_queues_save(hvshim, &messages);
	r = state_writer_error(&messages);
	if (r == 0) {
		state_begin(writer, HVSHIM_STATE_RECORD, HVSHIM_STATE_VERSION);
		state_put(writer, &state, sizeof(state));
		save_below(&hvshim->hypercall_page, writer);
		save_below(&hvshim->reference_tsc_page, writer);
		state_put(writer, messages.bytes, messages.size);
		state_end(writer);
	}
	state_writer_deinit(&messages);
	return r;
}

static int save_vp(struct hvshim_vp *vp, struct state_writer *writer)
{
	struct hvshim_vp_state state = { .waiting = atomic_load(&vp->synic.waiting),
					 .raised = atomic_load(&vp->synic.raised) };
	int r;

	pthread_mutex_lock(&vp->lock);
	r = vp->hvshim->ops->save_vp(vp, &state);
	pthread_mutex_unlock(&vp->lock);
	if (r < 0)
		return r;
	state_begin(writer, vp_record_name(vp->index).text, HVSHIM_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_end(writer);
	return 0;
}

int hvshim_save(struct hvshim *hvshim, struct state_writer *writer)
{
	int r;

	if (atomic_load(&hvshim->events) != 0)
		return -EBUSY;
	pthread_mutex_lock(&hvshim->lock);
	r = save_partition(hvshim, writer);
	pthread_mutex_unlock(&hvshim->lock);
	for (uint32_t i = 0; r == 0 && i < hvshim->vp_count; i++)
		r = save_vp(&hvshim->vps[i], writer);
	return r < 0 ? r : state_writer_error(writer);
}

/* ---- Restoring ---- */

static int find_record(const struct state_reader *reader, const char *name, void *state,
		       size_t size, struct state_record *ret_record, struct state_refusal *refusal)
{
	int r = state_open(reader, name, HVSHIM_STATE_VERSION, state, size, ret_record);

	return r == 0 ? 0 : state_refuse(refusal, "'%s' %s", name, state_error_text(r));
}

int hvshim_state_enlightenments(const struct state_reader *reader, uint32_t *ret_enlightenments,
				struct state_refusal *refusal)
{
	struct hvshim_partition_state state;
	struct state_record record;
	int r = find_record(reader, HVSHIM_STATE_RECORD, &state, sizeof(state), &record, refusal);

	if (r == 0)
		*ret_enlightenments = state.enlightenments;
	return r;
}

static const char *first_enlightenment(uint32_t bits)
{
	uint32_t first = (uint32_t)__builtin_ctz(bits);

	return first < _ENLIGHTENMENT_COUNT ? enlightenment_names[first] : "of a later version";
}

/* Times 100 it is still a number of nanoseconds that the partition's clock takes. */
#define TIME_MAX ((UINT64_C(1) << 62) / 100)

static int check_partition(const struct hvshim *hvshim, const struct hvshim_partition_state *state,
			   struct state_refusal *refusal)
{
	uint32_t missing = state->enlightenments & ~hvshim->told;

	if ((state->engine != HVSHIM_ENGINE_KERNEL && state->engine != HVSHIM_ENGINE_USER) ||
	    state->flags & ~HVSHIM_STATE_FLAGS || state->zero != 0 ||
	    state->reference_time > TIME_MAX ||
	    (state->engine == HVSHIM_ENGINE_KERNEL && state->flags != 0))
		return state_refuse(refusal, "it is in a state that there is not");
	if (state->vp_count != hvshim->vp_count)
		return state_refuse(refusal, "it is of %u vps, and this machine has %u",
				    state->vp_count, hvshim->vp_count);
	if (missing != 0)
		return state_refuse(
			refusal, "its guest knows an enlightenment that is not to be had here: %s",
			first_enlightenment(missing));
	if (state->hypercall & HV_MSR_ENABLE && state->guest_os_id == 0)
		return state_refuse(refusal, "it has a hypercall page for a guest without a name");
	return 0;
}

/* Each engine has its own code in the hypercall page: nobody may be in the midst of it. */
static int check_hypercall_page(struct hvshim *hvshim, const struct hvshim_partition_state *state,
				struct state_refusal *refusal)
{
	bool holds;
	int r;

	if (state->engine == hvshim->engine || !(state->hypercall & HV_MSR_ENABLE))
		return 0;
	for (uint32_t i = 0; i < hvshim->vp_count; i++) {
		r = hypercall_page_holds_vp(&hvshim->vps[i],
					    GPA(state->hypercall & HV_MSR_PAGE_MASK), &holds);
		if (r < 0)
			return r;
		if (holds)
			return state_refuse(
				refusal,
				"vp %u is within the hypercall page, which the %s engine "
				"has otherwise: save it anew",
				i, hvshim_engine_name(hvshim->engine));
	}
	return 0;
}

static int take_below(struct hvshim *hvshim, const struct hvshim_partition_state *state,
		      struct state_record *record, struct state_refusal *refusal)
{
	static const uint32_t flags[] = { HVSHIM_STATE_HYPERCALL_BELOW,
					  HVSHIM_STATE_REFERENCE_TSC_BELOW };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		hvshim->restored_pages[i] = NULL;
		if (!(state->flags & flags[i]))
			continue;
		hvshim->restored_pages[i] = state_take(record, HV_PAGE_SIZE);
		if (!hvshim->restored_pages[i])
			return state_refuse(refusal, "it has fewer pages than it says");
	}
	return 0;
}

static int restore_partition(struct hvshim *hvshim, const struct hvshim_partition_state *state,
			     struct state_record *record, struct state_refusal *refusal)
{
	int r = check_partition(hvshim, state, refusal);

	if (r == 0)
		r = check_hypercall_page(hvshim, state, refusal);
	if (r == 0)
		r = take_below(hvshim, state, record, refusal);
	if (r < 0)
		return r;
	hvshim->time_waits = true;
	hvshim->restored_time = state->reference_time;
	hvshim->restored_from = (enum hvshim_engine)state->engine;
	memcpy(hvshim->state.crash_parameters, state->crash_parameters,
	       sizeof(state->crash_parameters));
	pthread_mutex_lock(&hvshim->lock);
	r = hvshim->ops->restore(hvshim, state, refusal);
	pthread_mutex_unlock(&hvshim->lock);
	memset(hvshim->restored_pages, 0, sizeof(hvshim->restored_pages));
	if (r == 0)
		r = message_queues_restore(hvshim, record, state->message_count, refusal);
	if (r == 0 && record->left != 0)
		r = state_refuse(refusal, "it is longer than it says");
	return r;
}

#define SINTS_ALL ((1u << HV_SINT_COUNT) - 1)

static int restore_vp(struct hvshim_vp *vp, const struct state_reader *reader,
		      struct state_refusal *refusal)
{
	struct vp_record_name name = vp_record_name(vp->index);
	struct hvshim_vp_state state;
	struct state_record record;
	int r = find_record(reader, name.text, &state, sizeof(state), &record, refusal);

	if (r < 0)
		return r;
	if (record.left != 0 || state.waiting & ~SINTS_ALL || state.raised & ~SINTS_ALL)
		return state_refuse(refusal, "'%s' %s", name.text,
				    state_error_text(STATE_E_INVALID));
	pthread_mutex_lock(&vp->lock);
	r = vp->hvshim->ops->restore_vp(vp, &state, refusal);
	atomic_store(&vp->synic.waiting, state.waiting);
	pthread_mutex_unlock(&vp->lock);
	return r;
}

int hvshim_restore(struct hvshim *hvshim, const struct state_reader *reader,
		   struct state_refusal *refusal)
{
	struct state_refusal why = { .text = "" };
	struct hvshim_partition_state state;
	struct state_record record;
	int r = find_record(reader, HVSHIM_STATE_RECORD, &state, sizeof(state), &record, refusal);

	if (r < 0)
		return r;
	hvshim_quiesce(hvshim);
	r = restore_partition(hvshim, &state, &record, &why);
	if (r == -EINVAL && why.text[0] != '\0')
		return state_refuse(refusal, "'%s' is refused: %s", HVSHIM_STATE_RECORD, why.text);
	for (uint32_t i = 0; r == 0 && i < hvshim->vp_count; i++)
		r = restore_vp(&hvshim->vps[i], reader, refusal);
	return r;
}

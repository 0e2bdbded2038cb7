/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory that is quiet, and its state as a record.
 *
 * A record: struct balloon_state_record, and the runs of pages that are taken, ascending. What the
 * guest begins with, and may have at most, is the definition's, which has to be the same. Where the
 * guest may add RAM, that is there again already or is added now; what is in it is not said here.
 */
#include "vsp/memory/dynamic_memory.h"

#include "common/base/state.h"

#define BALLOON_STATE_VERSION 1

#define BALLOON_STATE_GROWS    0x1u
#define BALLOON_STATE_TELLING  0x2u
#define BALLOON_STATE_REPORTED 0x4u
#define BALLOON_STATE_FLAGS    0x7u

/* Sizes in pages. */
struct balloon_state_record {
	uint32_t state;   /* enum balloon_state */
	uint32_t version; /* DM_VERSION_; 0: not agreed on */
	uint32_t transaction_id;
	uint32_t flags;   /* BALLOON_STATE_ */
	uint32_t timeout; /* reports */
	uint32_t reserved;
	uint64_t capabilities;
	uint64_t size, target;
	uint64_t room, added, asked;
	uint64_t demand, available;
	uint64_t run_count;
};
_Static_assert(sizeof(struct balloon_state_record) == 96, "stored format");

struct balloon_run {
	uint64_t first, count;
};
_Static_assert(sizeof(struct balloon_run) == 16, "stored format");

void balloon_quiesce(struct balloon *balloon)
{
	balloon->quiet = true;
}

void balloon_resume(struct balloon *balloon)
{
	balloon->quiet = false;
	balloon_advance(balloon);
}

/* ---- Saving ---- */

static uint64_t balloon_count_runs(const struct balloon *balloon)
{
	uint64_t runs = 0, from = 0, first, count;

	for (; page_set_next(balloon->taken, from, UINT64_MAX, &first, &count);
	     from = first + count)
		runs++;
	return runs;
}

void balloon_save(const struct balloon *balloon, const char *name, struct state_writer *writer)
{
	struct balloon_state_record state = {
		.state = balloon->state,
		.version = balloon->version,
		.transaction_id = balloon->transaction_id,
		.flags = (balloon->grows ? BALLOON_STATE_GROWS : 0) |
			 (balloon->telling && balloon->state == BALLOON_GIVING
				  ? BALLOON_STATE_TELLING
				  : 0) |
			 (balloon->reported ? BALLOON_STATE_REPORTED : 0),
		.timeout = balloon->timeout,
		.capabilities = balloon->capabilities,
		.size = balloon->size,
		.target = balloon->target,
		.room = balloon->room,
		.added = balloon->added,
		.asked = balloon->asked,
		.demand = balloon->demand,
		.available = balloon->available,
		.run_count = balloon_count_runs(balloon),
	};
	struct balloon_run run = { 0 };

	state_begin(writer, name, BALLOON_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	while (page_set_next(balloon->taken, run.first + run.count, UINT64_MAX, &run.first,
			     &run.count))
		state_put(writer, &run, sizeof(run));
	state_end(writer);
}

/* ---- Restoring ---- */

static bool state_version_is_known(const struct balloon_state_record *state)
{
	switch (state->version) {
	case DM_VERSION_0_3:
	case DM_VERSION_1_0:
	case DM_VERSION_2_0:
		return true;
	default:
		return state->version == 0 &&
		       (state->state == BALLOON_ABSENT || state->state == BALLOON_NEGOTIATING ||
			state->state == BALLOON_REFUSED);
	}
}

/* What is asked for can be had; the pages that are taken are looked at later. */
static bool state_step_is_valid(const struct balloon *balloon,
				const struct balloon_state_record *state)
{
	bool telling = state->flags & BALLOON_STATE_TELLING;

	if (telling && state->state != BALLOON_GIVING)
		return false;
	switch (state->state) {
	case BALLOON_TAKING:
		return state->asked <= BALLOON_STEP_PAGES;
	case BALLOON_GIVING:
		return (state->asked > 0) == telling;
	case BALLOON_ADDING:
		return state->asked <= balloon->maximum - balloon->size - state->added &&
		       state->asked <= balloon->room_end - state->room;
	case BALLOON_REFUSED:
		return true; /* nothing comes of it */
	default:
		return state->asked == 0;
	}
}

static bool balloon_state_is_valid(const struct balloon *balloon,
				   const struct balloon_state_record *state)
{
	bool open = balloon->channel && vmbus_channel_is_open(balloon->channel);

	return state->state <= BALLOON_REFUSED && (state->state != BALLOON_ABSENT) == open &&
	       state_version_is_known(state) && !(state->flags & ~BALLOON_STATE_FLAGS) &&
	       state->timeout <= BALLOON_REPORTS_BEFORE_RETRY && state->size == balloon->size &&
	       state->target <= balloon->maximum && state->room >= balloon->room_start &&
	       state->room <= balloon->room_end &&
	       state->added <= balloon->maximum - balloon->size &&
	       state->demand <= DM_RANGE_FRAME_MAX && state->available <= DM_RANGE_FRAME_MAX &&
	       state_step_is_valid(balloon, state);
}

static void balloon_take_state(struct balloon *balloon, const struct balloon_state_record *state)
{
	balloon->quiet = true;
	balloon->state = (enum balloon_state)state->state;
	balloon->version = state->version;
	balloon->capabilities = state->capabilities;
	balloon->transaction_id = state->transaction_id;
	balloon->target = state->target;
	balloon->room = state->room;
	balloon->added = state->added;
	balloon->asked = state->asked;
	balloon->grows = state->flags & BALLOON_STATE_GROWS;
	balloon->telling = state->flags & BALLOON_STATE_TELLING;
	balloon->reported = state->flags & BALLOON_STATE_REPORTED;
	balloon->timeout = state->timeout;
	balloon->demand = state->demand;
	balloon->available = state->available;
}

/* What was added, and what the guest has been offered and may have. */
static int balloon_add_again(struct balloon *balloon)
{
	const struct vsp_host *host = vmbus_host(balloon->bus);
	uint64_t first = ALIGN_UP(balloon->room_start, balloon_add_unit(balloon));
	uint64_t end = balloon->room + (balloon->state == BALLOON_ADDING ? balloon->asked : 0);

	if (first >= end)
		return 0;
	return host->ops->add(host->host, gpa_from_pfn(first), (end - first) * HV_PAGE_SIZE);
}

static int balloon_restore_runs(struct balloon *balloon, struct state_record *record,
				uint64_t run_count)
{
	struct balloon_run run;

	page_set_clear(balloon->taken);
	for (uint64_t i = 0; i < run_count; i++)
		if (state_get(record, &run, sizeof(run)) || run.count == 0 ||
		    !page_set_add(balloon->taken, run.first, run.count) ||
		    !balloon_range_is_ram(balloon, run.first, run.count))
			return STATE_E_INVALID;
	return 0;
}

/* As many as the guest has can be taken, and as many as are taken be given back. */
static bool balloon_taken_is_valid(const struct balloon *balloon)
{
	uint64_t taken = page_set_count(balloon->taken);

	if (balloon->state == BALLOON_ABSENT)
		return taken == 0;
	return taken <= balloon->size + balloon->added &&
	       (!balloon->telling || balloon->asked <= taken);
}

int balloon_restore(struct balloon *balloon, const char *name, const struct state_reader *reader)
{
	struct balloon_state_record state;
	struct state_record record;
	int r;

	r = state_open(reader, name, BALLOON_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (!balloon_state_is_valid(balloon, &state))
		return STATE_E_INVALID;
	balloon_take_state(balloon, &state);
	r = balloon_add_again(balloon);
	if (r == 0)
		r = balloon_restore_runs(balloon, &record, state.run_count);
	if (r)
		return r;
	if (record.left > 0 || !balloon_taken_is_valid(balloon))
		return STATE_E_INVALID;
	balloon->callbacks->changed(balloon->data);
	return 0;
}

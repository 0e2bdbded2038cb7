/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Integration services that are quiet, and their state as a record.
 *
 * A record: struct ic_service_state, and what the kind adds, kind->state_size bytes. Of a request that
 * is under way, that its answer is awaited; who asked is not known to the service that goes on.
 */
#include "common/base/state.h"

#include "vsp/ic/ic_service.h"

#include <string.h>

#define IC_SERVICE_STATE_VERSION 1
#define IC_SERVICE_STATE_MAX     64 /* bytes that a kind may add */
#define NS_PER_UNIT              100

struct ic_service_state {
	uint32_t state; /* enum ic_service_stage */
	struct ic_version framework_version, version;
	uint8_t waiting, transaction_id;
	uint16_t reserved;
	uint64_t timer; /* 100 ns until it runs out; UINT64_MAX: it does not run */
};
_Static_assert(sizeof(struct ic_service_state) == 24, "stored format");

void ic_service_quiesce(struct ic_service *service)
{
	uint64_t now = loop_now();

	if (service->quiet)
		return;
	service->remaining = IC_SERVICE_NO_TIMER;
	if (service->due)
		service->remaining = service->due > now ? service->due - now : 0;
	service->due = 0;
	service->quiet = true;
}

void ic_service_resume(struct ic_service *service)
{
	if (!service->quiet)
		return;
	service->quiet = false;
	if (service->remaining != IC_SERVICE_NO_TIMER)
		ic_service_start_timer(service, service->remaining);
}

void ic_service_save(const struct ic_service *service, const char *name,
		     struct state_writer *writer)
{
	const struct ic_service_kind *kind = service->kind;
	struct ic_service_state state = {
		.state = service->state,
		.framework_version = service->framework_version,
		.version = service->version,
		.waiting = service->waiting,
		.transaction_id = service->transaction_id,
		.timer = UINT64_MAX,
	};
	uint8_t more[IC_SERVICE_STATE_MAX] = { 0 };

	if (service->remaining != IC_SERVICE_NO_TIMER)
		state.timer = service->remaining / NS_PER_UNIT;
	state_begin(writer, name, IC_SERVICE_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	if (kind->state_size > 0) {
		kind->save(service, more);
		state_put(writer, more, kind->state_size);
	}
	state_end(writer);
}

static bool ic_service_state_is_valid(const struct ic_service *service,
				      const struct ic_service_state *state)
{
	bool open = service->channel && vmbus_channel_is_open(service->channel);

	if (state->state > IC_SERVICE_REFUSED || (state->state != IC_SERVICE_CLOSED) != open ||
	    state->waiting > 1 || (!open && (state->waiting || state->timer != UINT64_MAX)) ||
	    (state->timer != UINT64_MAX && state->timer > UINT64_MAX / NS_PER_UNIT / 2))
		return false;
	return state->state != IC_SERVICE_CONNECTED ||
	       ic_service_knows(service->kind, state->framework_version, state->version);
}

int ic_service_restore(struct ic_service *service, const char *name,
		       const struct state_reader *reader)
{
	const struct ic_service_kind *kind = service->kind;
	uint8_t more[IC_SERVICE_STATE_MAX];
	struct ic_service_state state;
	struct state_record record;
	int r;

	r = state_open(reader, name, IC_SERVICE_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (state_get(&record, more, kind->state_size) || record.left > 0 ||
	    !ic_service_state_is_valid(service, &state))
		return STATE_E_INVALID;
	service->state = (enum ic_service_stage)state.state;
	service->framework_version = state.framework_version;
	service->version = state.version;
	service->waiting = state.waiting;
	service->transaction_id = state.transaction_id;
	service->quiet = true;
	service->remaining =
		state.timer == UINT64_MAX ? IC_SERVICE_NO_TIMER : state.timer * NS_PER_UNIT;
	return kind->restore ? kind->restore(service, more) : 0;
}

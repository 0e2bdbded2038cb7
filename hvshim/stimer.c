/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic timers of the user-space engine. TLFS, "Timers".
 *
 * A vp has four, each one-shot (the count is the reference time to expire at) or periodic (the
 * count is the period), that expire with a message to a SINT or, in direct mode, with an interrupt.
 * A vp's timers share one timerfd, set to the first to expire; the guest's thread sets it, the
 * loop's thread finds it expired and delivers.
 *
 * A message that finds its slot taken waits for it (one-shot), or is dropped (periodic: the next
 * one comes soon enough). A periodic timer that fell behind skips the ticks it has missed, lazy or
 * not.
 */
#include "hvshim/internal.h"

#include "common/base/error.h"

#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_UNIT 100u

/* A guest may ask for a tick every 100 ns; it gets them no faster than this. */
#define SHORTEST_DELAY_NS UINT64_C(50000)

#define CONFIG_VALID                                                                      \
	(HV_STIMER_ENABLE | HV_STIMER_PERIODIC | HV_STIMER_LAZY | HV_STIMER_AUTO_ENABLE | \
	 UINT64_C(0xff0) | HV_STIMER_DIRECT | UINT64_C(0xf0000))

/* ---- The timerfd ---- */

/* Caller holds vp->lock. */
static void stimers_arm(struct hvshim_vp *vp)
{
	uint64_t first = UINT64_MAX, now = clock_now(vp->hvshim), delay;
	struct itimerspec time = { 0 };

	for (size_t i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer_state *timer = &vp->stimers.state[i];

		if (timer->config & HV_STIMER_ENABLE && !timer->undelivered)
			first = MIN(first, timer->expiration);
	}
	if (first != UINT64_MAX) {
		delay = first > now ? first - now : 0;
		/* Centuries ahead: as far as the timerfd goes, and then looked at again. */
		delay = MIN(delay, (uint64_t)INT64_MAX / NS_PER_UNIT) * NS_PER_UNIT;
		delay = MAX(delay, SHORTEST_DELAY_NS);
		time.it_value.tv_sec = (time_t)(delay / 1000000000u);
		time.it_value.tv_nsec = (long)(delay % 1000000000u);
	}
	timerfd_settime(vp->stimers.fd, 0, &time, NULL);
}

static void stimers_poll(struct hvshim_vp *vp)
{
	vp->stimers.polling = true;
	loop_poll(vp->hvshim->loop, &vp->stimers.operation, vp->stimers.fd, POLLIN);
}

static void stimers_polled(struct loop_operation *operation, int result, bool more)
{
	struct hvshim_vp *vp = container_of(operation, struct hvshim_vp, stimers.operation);
	struct hvshim *hvshim = vp->hvshim;

	hvshim_enter(hvshim);
	if (!more)
		vp->stimers.polling = false;
	if (!hvshim->freed) {
		pthread_mutex_lock(&vp->lock);
		stimers_expire(vp);
		pthread_mutex_unlock(&vp->lock);
		if (!more && result >= 0)
			stimers_poll(vp);
	}
	hvshim_leave(hvshim);
}

int stimers_init(struct hvshim_vp *vp)
{
	vp->stimers.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (vp->stimers.fd < 0)
		return error_origin(-errno);
	vp->stimers.operation.complete = stimers_polled;
	stimers_poll(vp);
	return 0;
}

void stimers_stop(struct hvshim_vp *vp)
{
	if (vp->stimers.polling)
		loop_cancel(vp->hvshim->loop, &vp->stimers.operation);
}

void stimers_deinit(struct hvshim_vp *vp)
{
	for (size_t i = 0; i < HV_STIMER_COUNT; i++) {
		vid_interrupt_free(vp->stimers.interrupts[i]);
		vp->stimers.interrupts[i] = NULL;
	}
	if (vp->stimers.fd >= 0)
		close(TAKE_FD(vp->stimers.fd));
}

/* ---- Expiry ---- */

static int stimer_deliver_message(struct hvshim_vp *vp, uint32_t timer, uint64_t now)
{
	const struct stimer_state *state = &vp->stimers.state[timer];
	struct hv_message message = { .type = HV_MESSAGE_TIMER_EXPIRED };
	struct hv_timer_message payload = {
		.timer = timer,
		.expiration_time = state->expiration,
		.delivery_time = now,
	};

	message.payload_size = sizeof(payload);
	memcpy(message.payload, &payload, sizeof(payload));
	return synic_deliver(vp, HV_STIMER_SINT(state->config), &message);
}

static void stimer_expire(struct hvshim_vp *vp, uint32_t timer, uint64_t now)
{
	struct stimer_state *state = &vp->stimers.state[timer];
	bool periodic = state->config & HV_STIMER_PERIODIC;

	atomic_fetch_add(&vp->hvshim->counters.timers_expired, 1);
	if (state->config & HV_STIMER_DIRECT) {
		if (vp->stimers.interrupts[timer])
			loop_signal(vp->hvshim->loop,
				    vid_interrupt_fd(vp->stimers.interrupts[timer]));
	} else if (stimer_deliver_message(vp, timer, now) == HVSHIM_E_BUSY && !periodic) {
		state->undelivered = true;
		return;
	}
	state->undelivered = false;
	if (periodic)
		state->expiration = now + state->count - (now - state->expiration) % state->count;
	else
		state->config &= ~HV_STIMER_ENABLE;
}

void stimers_expire(struct hvshim_vp *vp)
{
	uint64_t now;

	if (vp->stimers.fd < 0 || vp->hvshim->quiet)
		return;
	now = clock_now(vp->hvshim);
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer_state *state = &vp->stimers.state[i];

		if (state->config & HV_STIMER_ENABLE && state->expiration <= now)
			stimer_expire(vp, i, now);
	}
	stimers_arm(vp);
}

/* ---- The registers ---- */

static void stimer_start(struct hvshim_vp *vp, struct stimer_state *state)
{
	state->undelivered = false;
	if (state->count == 0)
		state->config &= ~HV_STIMER_ENABLE;
	if (state->config & HV_STIMER_ENABLE) {
		state->expiration = state->count;
		if (state->config & HV_STIMER_PERIODIC &&
		    ADD_OVERFLOWS(clock_now(vp->hvshim), state->count, &state->expiration))
			state->expiration = UINT64_MAX;
	}
	stimers_arm(vp);
}

static int stimer_route(struct hvshim_vp *vp, uint32_t timer)
{
	struct vid_interrupt **interrupt = &vp->stimers.interrupts[timer];
	int r;

	if (!*interrupt) {
		r = vid_interrupt_new(vp->hvshim->partition, false, interrupt);
		if (r < 0)
			return r;
	}
	return vid_interrupt_route_vector(*interrupt, vid_vp_apic_id(vp->vp),
					  HV_STIMER_VECTOR(vp->stimers.state[timer].config));
}

/* A timer that would announce itself neither by a SINT nor directly cannot be enabled. */
static uint64_t stimer_check_config(uint64_t config)
{
	bool direct = config & HV_STIMER_DIRECT;

	if (direct ? HV_STIMER_VECTOR(config) < HV_SINT_VECTOR_MIN : HV_STIMER_SINT(config) == 0)
		config &= ~HV_STIMER_ENABLE;
	return config;
}

int stimer_write_config(struct hvshim_vp *vp, uint32_t timer, uint64_t value)
{
	struct stimer_state *state = &vp->stimers.state[timer];
	int r = 0;

	pthread_mutex_lock(&vp->lock);
	state->config = stimer_check_config(value & CONFIG_VALID);
	if (state->config & HV_STIMER_DIRECT)
		r = stimer_route(vp, timer);
	stimer_start(vp, state);
	pthread_mutex_unlock(&vp->lock);
	return r;
}

int stimer_write_count(struct hvshim_vp *vp, uint32_t timer, uint64_t value)
{
	struct stimer_state *state = &vp->stimers.state[timer];

	pthread_mutex_lock(&vp->lock);
	state->count = value;
	if (value != 0 && state->config & HV_STIMER_AUTO_ENABLE)
		state->config = stimer_check_config(state->config | HV_STIMER_ENABLE);
	stimer_start(vp, state);
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

/* ---- State ---- */

void stimers_disarm(struct hvshim_vp *vp)
{
	const struct itimerspec never = { .it_value = { 0 } };

	if (vp->stimers.fd >= 0)
		timerfd_settime(vp->stimers.fd, 0, &never, NULL);
}

void stimers_save(const struct hvshim_vp *vp, struct hvshim_vp_state *state)
{
	for (size_t i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer_state *timer = &vp->stimers.state[i];

		state->timers[i] = (struct hvshim_timer_state){
			.config = timer->config,
			.count = timer->count,
			.expiration = timer->config & HV_STIMER_ENABLE ? timer->expiration : 0,
			.undelivered = timer->undelivered,
		};
	}
}

/* When a timer expires that KVM had: of a periodic one it told only the period. */
static uint64_t stimer_expiration(const struct hvshim *hvshim,
				  const struct hvshim_timer_state *state)
{
	uint64_t expiration = state->expiration;

	if (expiration != 0)
		return expiration;
	if (!(state->config & HV_STIMER_PERIODIC))
		return state->count;
	return ADD_OVERFLOWS(hvshim->restored_time, state->count, &expiration) ? UINT64_MAX
									       : expiration;
}

/* Bits of the configuration that are none to this engine are left out, as when they are written. */
static bool stimer_is_valid(const struct hvshim_timer_state *state)
{
	uint64_t config = state->config & CONFIG_VALID;

	if (state->zero != 0 || state->undelivered > 1)
		return false;
	if (!(config & HV_STIMER_ENABLE))
		return state->undelivered == 0;
	return state->count != 0 && stimer_check_config(config) == config;
}

static int stimer_restore(struct hvshim_vp *vp, uint32_t timer,
			  const struct hvshim_timer_state *state, struct state_refusal *refusal)
{
	if (!stimer_is_valid(state))
		return state_refuse(refusal, "timer %u of vp %u is in a state that there is not",
				    timer, vp->index);
	vp->stimers.state[timer] = (struct stimer_state){
		.config = state->config & CONFIG_VALID,
		.count = state->count,
		.expiration = stimer_expiration(vp->hvshim, state),
		.undelivered = state->undelivered,
	};
	return state->config & HV_STIMER_DIRECT ? stimer_route(vp, timer) : 0;
}

/* Without timers of its own a guest has none that were set. */
int stimers_restore(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
		    struct state_refusal *refusal)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < HV_STIMER_COUNT; i++) {
		if (!vp->hvshim->synthetic_timers &&
		    (state->timers[i].config != 0 || state->timers[i].count != 0))
			return state_refuse(refusal,
					    "vp %u has synthetic timers, and is to have none",
					    vp->index);
		if (vp->hvshim->synthetic_timers)
			r = stimer_restore(vp, i, &state->timers[i], refusal);
	}
	return r;
}

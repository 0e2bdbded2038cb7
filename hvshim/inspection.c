/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The personality as it is now, for whoever looks for a fault.
 *
 * State is copied under its lock, which vps take too, and made into JSON after that.
 */
#include "common/base/json.h"
#include "hvshim/internal.h"

/* ---- The partition ---- */

static struct json_object *inspect_registers(struct hvshim *hvshim)
{
	struct json_object *crash = json_object_new_array();
	struct hvshim_state state;

	pthread_mutex_lock(&hvshim->lock);
	state = hvshim->state;
	pthread_mutex_unlock(&hvshim->lock);
	for (size_t i = 0; i < HVSHIM_CRASH_PARAMETERS; i++)
		json_append(&crash, json_make_hex(state.crash_parameters[i]));
	return json_make("guest_os_id", json_make_hex(state.guest_os_id), "hypercall",
			 json_make_hex(state.hypercall), "reference_tsc",
			 json_make_hex(state.reference_tsc), "tsc_invariant",
			 json_make_hex(state.tsc_invariant), "crash", crash, NULL);
}

static struct json_object *inspect_counters(const struct hvshim *hvshim)
{
	struct hvshim_counters counters;

	hvshim_counters(hvshim, &counters);
	return json_make("msr_exits", json_object_new_uint64(counters.msr_exits), "hypercall_exits",
			 json_object_new_uint64(counters.hypercall_exits), "synic_exits",
			 json_object_new_uint64(counters.synic_exits), "messages_posted",
			 json_object_new_uint64(counters.messages_posted), "messages_busy",
			 json_object_new_uint64(counters.messages_busy), "events_signalled",
			 json_object_new_uint64(counters.events_signalled), "timers_expired",
			 json_object_new_uint64(counters.timers_expired), "unknown_hypercalls",
			 json_object_new_uint64(counters.unknown_hypercalls), "discarded_pages",
			 json_object_new_uint64(counters.discarded_pages), "discard_failures",
			 json_object_new_uint64(counters.discard_failures), NULL);
}

struct json_object *hvshim_inspect(struct hvshim *hvshim)
{
	struct json_object *tree, *waiting = json_object_new_array();
	size_t connections;

	pthread_mutex_lock(&hvshim->connections_lock);
	connections = hvshim->connection_count;
	pthread_mutex_unlock(&hvshim->connections_lock);
	pthread_mutex_lock(&hvshim->messages_lock);
	for (size_t i = 0; i < HVSHIM_MESSAGE_CONNECTIONS; i++)
		if (hvshim->queues[i].connection_id != 0)
			json_append(&waiting,
				    json_object_new_int64((int64_t)hvshim->queues[i].count));
	pthread_mutex_unlock(&hvshim->messages_lock);
	tree = json_make("engine", json_object_new_string(hvshim_engine_name(hvshim->engine)),
			 "reference_time", json_object_new_uint64(hvshim_reference_time(hvshim)),
			 "connections", json_object_new_uint64(connections), "messages_waiting",
			 waiting, "counters", inspect_counters(hvshim), NULL);
	if (hvshim->engine == HVSHIM_ENGINE_USER)
		json_add(&tree, "msrs", inspect_registers(hvshim));
	return tree;
}

/* ---- A vp ---- */

/* What is copied of a vp under its lock. */
struct vp_snapshot {
	struct synic_state synic;
	struct stimer_state timers[HV_STIMER_COUNT];
	uint32_t open, taken, awaited, raised; /* bitmaps of SINTs */
};

static struct vp_snapshot take_snapshot(struct hvshim_vp *vp)
{
	struct vp_snapshot snapshot = { 0 };

	pthread_mutex_lock(&vp->lock);
	snapshot.synic = vp->synic.state;
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		snapshot.timers[i] = vp->stimers.state[i];
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++)
		snapshot.open |= vp->synic.sints[i].open ? 1u << i : 0;
	snapshot.taken = synic_taken_slots(vp);
	snapshot.awaited = atomic_load(&vp->synic.waiting);
	snapshot.raised = atomic_load(&vp->synic.raised);
	pthread_mutex_unlock(&vp->lock);
	return snapshot;
}

static bool has_bit(uint32_t bitmap, uint32_t i)
{
	return (bitmap >> i & 1u) != 0;
}

/* Those alone that the guest, or we, have made something of. */
static struct json_object *inspect_sints(const struct hvshim *hvshim,
					 const struct vp_snapshot *snapshot)
{
	struct json_object *sints = json_object_new_array();
	bool is_ours = hvshim->engine == HVSHIM_ENGINE_USER;

	for (uint32_t i = 0; i < HV_SINT_COUNT; i++) {
		uint64_t value = snapshot->synic.sints[i];
		struct json_object *sint;

		if (!has_bit(snapshot->open | snapshot->taken | snapshot->awaited, i) &&
		    (!is_ours || value == HV_SINT_RESET))
			continue;
		sint = json_make("sint", json_object_new_int64(i), "open",
				 json_object_new_boolean(has_bit(snapshot->open, i)), "slot_taken",
				 json_object_new_boolean(has_bit(snapshot->taken, i)),
				 "end_awaited",
				 json_object_new_boolean(has_bit(snapshot->awaited, i)), NULL);
		if (is_ours) {
			json_add(&sint, "value", json_make_hex(value));
			json_add(&sint, "raised",
				 json_object_new_boolean(has_bit(snapshot->raised, i)));
		}
		json_append(&sints, sint);
	}
	return sints;
}

static struct json_object *inspect_timers(const struct vp_snapshot *snapshot)
{
	struct json_object *timers = json_object_new_array();

	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer_state *timer = &snapshot->timers[i];

		if (timer->config == 0 && timer->count == 0)
			continue;
		json_append(&timers,
			    json_make("timer", json_object_new_int64(i), "config",
				      json_make_hex(timer->config), "count",
				      json_object_new_uint64(timer->count), "expiration",
				      json_object_new_uint64(timer->expiration), "undelivered",
				      json_object_new_boolean(timer->undelivered), NULL));
	}
	return timers;
}

struct json_object *hvshim_inspect_vp(struct hvshim *hvshim, uint32_t vp)
{
	struct vp_snapshot snapshot;

	if (vp >= hvshim->vp_count)
		return NULL;
	snapshot = take_snapshot(&hvshim->vps[vp]);
	return json_make("control", json_make_hex(snapshot.synic.control), "siefp",
			 json_make_hex(snapshot.synic.siefp), "simp",
			 json_make_hex(snapshot.synic.simp), "sints",
			 inspect_sints(hvshim, &snapshot), "timers", inspect_timers(&snapshot),
			 NULL);
}

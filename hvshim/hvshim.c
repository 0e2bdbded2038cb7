/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The personality as an object: its life, and what vps hand over to the loop.
 *
 * A vp that has something for the loop's thread sets a bit or queues a message and posts a task.
 * The owner may free the personality while the loop still holds such a task, a poll or a timer of
 * it. So freeing has two halves: hvshim_free() lets go of the partition and cancels what is under
 * way; the memory goes when the last of it has ended.
 */
#include "hvshim/internal.h"

#include <assert.h>
#include <string.h>

#define RETRY_FIRST_NS   UINT64_C(5000000)
#define RETRY_LONGEST_NS UINT64_C(100000000)

static const char *const engine_names[] = {
	[HVSHIM_ENGINE_AUTO] = "auto",
	[HVSHIM_ENGINE_KERNEL] = "in-kernel",
	[HVSHIM_ENGINE_USER] = "user-space",
};

static const struct hvshim_engine_ops *const engine_table[] = {
	[HVSHIM_ENGINE_KERNEL] = &hvshim_engine_kernel,
	[HVSHIM_ENGINE_USER] = &hvshim_engine_user,
};

const char *hvshim_engine_name(enum hvshim_engine engine)
{
	return engine_names[engine];
}

int hvshim_choose_engine(struct vid *vid, enum hvshim_engine wanted, enum hvshim_engine *ret_engine)
{
	const struct vid_capabilities *capabilities = vid_capabilities(vid);
	bool user = capabilities->user_space_msr && capabilities->msr_filter;
	bool kernel = user && capabilities->hyperv_cpuid && capabilities->hyperv_synic2 &&
		      capabilities->irqfd_resample;

	if (wanted == HVSHIM_ENGINE_AUTO)
		wanted = kernel ? HVSHIM_ENGINE_KERNEL : HVSHIM_ENGINE_USER;
	if (!(wanted == HVSHIM_ENGINE_KERNEL ? kernel : user))
		return -ENOTSUP;
	*ret_engine = wanted;
	return 0;
}

void hvshim_prepare(enum hvshim_engine engine, struct vid_partition_config *config)
{
	engine_table[engine]->prepare(config);
}

/* ---- What vps hand over ---- */

void hvshim_raise(struct hvshim *hvshim, unsigned event)
{
	atomic_fetch_or(&hvshim->events, event);
	loop_post(hvshim->loop, &hvshim->task);
}

static void hvshim_give_crash(struct hvshim *hvshim)
{
	struct hvshim_crash *crash;

	pthread_mutex_lock(&hvshim->lock);
	crash = TAKE_PTR(hvshim->crash);
	pthread_mutex_unlock(&hvshim->lock);
	if (crash)
		hvshim->callbacks->crash(hvshim->data, crash);
	free(crash);
}

static void hvshim_run_task(struct loop_task *task)
{
	struct hvshim *hvshim = container_of(task, struct hvshim, task);
	unsigned events;

	/* What there is stays until hvshim_resume(). */
	if (hvshim->quiet && !hvshim->freed)
		return;
	hvshim_enter(hvshim);
	message_queues_deliver(hvshim);
	events = atomic_exchange(&hvshim->events, 0);
	if (events & HVSHIM_EVENT_CRASH && !hvshim->freed)
		hvshim_give_crash(hvshim);
	if (events & HVSHIM_EVENT_RESET && !hvshim->freed)
		hvshim->callbacks->reset(hvshim->data);
	hvshim_leave(hvshim);
}

static void hvshim_run_slot_task(struct loop_task *task)
{
	struct hvshim_vp *vp = container_of(task, struct hvshim_vp, slot_task);
	struct hvshim *hvshim = vp->hvshim;

	hvshim_enter(hvshim);
	synic_check(vp);
	auto_eoi_check(vp);
	hvshim_leave(hvshim);
}

/* ---- Waiting for slots ---- */

static bool hvshim_anything_waits(const struct hvshim *hvshim)
{
	for (uint32_t i = 0; i < hvshim->vp_count; i++)
		if (atomic_load(&hvshim->vps[i].synic.waiting) != 0)
			return true;
	return false;
}

/*
 * A guest that panics polls its slots with interrupts off, and may free one without saying so. The
 * look at it comes later and later, so that a slot nobody ever frees costs next to nothing.
 */
static void hvshim_retry(struct loop_operation *operation, int result, bool more)
{
	struct hvshim *hvshim = container_of(operation, struct hvshim, retry.operation);

	hvshim_enter(hvshim);
	/* Who waits again meanwhile finds the timer running: it is one operation, started once. */
	for (uint32_t i = 0; i < hvshim->vp_count; i++)
		synic_check(&hvshim->vps[i]);
	if (!hvshim->freed && hvshim_anything_waits(hvshim)) {
		hvshim->retry_delay_ns = MIN(hvshim->retry_delay_ns * 2, RETRY_LONGEST_NS);
		loop_timer_start(hvshim->loop, &hvshim->retry, hvshim->retry_delay_ns);
	} else {
		hvshim->retry_delay_ns = 0;
	}
	hvshim_leave(hvshim);
}

void hvshim_retry_later(struct hvshim *hvshim)
{
	if (hvshim->retry_delay_ns != 0 || hvshim->freed)
		return;
	hvshim->retry_delay_ns = RETRY_FIRST_NS;
	loop_timer_start(hvshim->loop, &hvshim->retry, RETRY_FIRST_NS);
}

/* ---- Life ---- */

static bool hvshim_is_idle(struct hvshim *hvshim)
{
	if (hvshim->calls != 0 || hvshim->retry_delay_ns != 0 || atomic_load(&hvshim->task.queued))
		return false;
	for (uint32_t i = 0; i < hvshim->vp_count; i++)
		if (atomic_load(&hvshim->vps[i].slot_task.queued) ||
		    hvshim->vps[i].auto_eoi.waits || !synic_is_idle(&hvshim->vps[i]) ||
		    hvshim->vps[i].stimers.polling)
			return false;
	return true;
}

static void hvshim_release(struct hvshim *hvshim)
{
	for (uint32_t i = 0; i < hvshim->vp_count; i++)
		pthread_mutex_destroy(&hvshim->vps[i].lock);
	pthread_mutex_destroy(&hvshim->lock);
	pthread_mutex_destroy(&hvshim->connections_lock);
	pthread_mutex_destroy(&hvshim->messages_lock);
	free(hvshim);
}

void hvshim_enter(struct hvshim *hvshim)
{
	hvshim->calls++;
}

void hvshim_leave(struct hvshim *hvshim)
{
	hvshim->calls--;
	if (hvshim->freed && hvshim_is_idle(hvshim))
		hvshim_release(hvshim);
}

static void hvshim_init_vp(struct hvshim *hvshim, uint32_t index)
{
	struct hvshim_vp *vp = &hvshim->vps[index];

	vp->hvshim = hvshim;
	vp->index = index;
	pthread_mutex_init(&vp->lock, NULL);
	vp->slot_task.run = hvshim_run_slot_task;
	vp->stimers.fd = -1;
	synic_init(vp);
}

/* A CPU that ends interrupts without an exit beats the MSR, which is one. */
static bool hvshim_has_apic_msrs(const struct hvshim_config *config)
{
	const struct vid_capabilities *host =
		vid_capabilities(vid_partition_device(config->partition));

	if (!(config->enlightenments & enlightenment_bit(ENLIGHTENMENT_APIC_MSRS)))
		return false;
	if (config->told_before)
		return config->engine == HVSHIM_ENGINE_KERNEL || host->hyperv_vapic;
	if (host->apic_virtualization)
		return false;
	return config->engine == HVSHIM_ENGINE_KERNEL ||
	       (host->hyperv_vapic && config->x2apic_guest);
}

int hvshim_new(const struct hvshim_config *config, struct hvshim **ret_hvshim)
{
	struct hvshim *hvshim;

	if (config->vp_count == 0 || config->engine == HVSHIM_ENGINE_AUTO)
		return -EINVAL;
	hvshim = calloc(1, sizeof(*hvshim) + config->vp_count * sizeof(hvshim->vps[0]));
	if (!hvshim)
		return -ENOMEM;
	hvshim->engine = config->engine;
	hvshim->ops = engine_table[config->engine];
	hvshim->partition = config->partition;
	hvshim->memory = vid_partition_memory(config->partition);
	hvshim->loop = config->loop;
	hvshim->callbacks = config->callbacks;
	hvshim->data = config->data;
	hvshim->wanted = config->enlightenments;
	hvshim->synthetic_timers = hvshim_wants(hvshim, ENLIGHTENMENT_SYNTHETIC_TIMERS);
	hvshim->apic_msrs = hvshim_has_apic_msrs(config);
	for (size_t i = 0; i < HVSHIM_MESSAGE_CONNECTIONS; i++)
		hvshim->queues[i].connection_id = config->message_connections[i];
	pthread_mutex_init(&hvshim->lock, NULL);
	pthread_mutex_init(&hvshim->connections_lock, NULL);
	pthread_mutex_init(&hvshim->messages_lock, NULL);
	hvshim->task.run = hvshim_run_task;
	hvshim->retry.operation.complete = hvshim_retry;
	hvshim->vp_count = config->vp_count;
	for (uint32_t i = 0; i < config->vp_count; i++)
		hvshim_init_vp(hvshim, i);
	*ret_hvshim = hvshim;
	return 0;
}

void hvshim_free(struct hvshim *hvshim)
{
	if (!hvshim)
		return;
	loop_assert_thread(hvshim->loop);
	assert(!hvshim->freed);
	for (uint32_t i = 0; i < hvshim->vp_count; i++) {
		synic_stop(&hvshim->vps[i]);
		stimers_stop(&hvshim->vps[i]);
		auto_eoi_stop(&hvshim->vps[i]);
	}
	if (hvshim->retry_delay_ns != 0)
		loop_cancel(hvshim->loop, &hvshim->retry.operation);
	/* Interrupts on their way, before their descriptors close. */
	loop_flush(hvshim->loop);
	for (uint32_t i = 0; i < hvshim->vp_count; i++) {
		synic_deinit(&hvshim->vps[i]);
		stimers_deinit(&hvshim->vps[i]);
	}
	for (size_t i = 0; i < hvshim->connection_count; i++)
		if (hvshim->connections[i].in_kernel)
			hvshim->ops->disconnect(hvshim, hvshim->connections[i].id,
						hvshim->connections[i].event_fd);
	free(hvshim->connections);
	free(hvshim->crash);
	free(hvshim->hypercall_page.below);
	free(hvshim->reference_tsc_page.below);
	hvshim->connections = NULL;
	hvshim->connection_count = 0;
	hvshim->crash = NULL;
	hvshim->freed = true;
	hvshim_enter(hvshim);
	hvshim_leave(hvshim);
}

int hvshim_vp_attach(struct hvshim *hvshim, struct vid_vp *vp, struct vid_cpuid *cpuid)
{
	struct hvshim_vp *shim_vp;

	if (vid_vp_index(vp) >= hvshim->vp_count)
		return -EINVAL;
	shim_vp = &hvshim->vps[vid_vp_index(vp)];
	shim_vp->vp = vp;
	return hvshim->ops->attach(shim_vp, cpuid);
}

int hvshim_exit(struct hvshim *hvshim, struct vid_vp *vp, const struct vid_exit *exit)
{
	return hvshim->ops->exit(&hvshim->vps[vid_vp_index(vp)], exit);
}

uint64_t hvshim_reference_time(const struct hvshim *hvshim)
{
	return hvshim->time_waits ? hvshim->restored_time : hvshim->ops->reference_time(hvshim);
}

uint32_t hvshim_enlightenments(const struct hvshim *hvshim)
{
	return hvshim->told;
}

void hvshim_counters(const struct hvshim *hvshim, struct hvshim_counters *ret_counters)
{
	*ret_counters = (struct hvshim_counters){
		.msr_exits = hvshim->counters.msr_exits,
		.hypercall_exits = hvshim->counters.hypercall_exits,
		.synic_exits = hvshim->counters.synic_exits,
		.messages_posted = hvshim->counters.messages_posted,
		.messages_busy = hvshim->counters.messages_busy,
		.events_signalled = hvshim->counters.events_signalled,
		.timers_expired = hvshim->counters.timers_expired,
		.unknown_hypercalls = hvshim->counters.unknown_hypercalls,
		.discarded_pages = hvshim->counters.discarded_pages,
		.discard_failures = hvshim->counters.discard_failures,
		.introductions = hvshim->counters.introductions,
	};
}

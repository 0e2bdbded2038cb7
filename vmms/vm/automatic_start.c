/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting VMs when the daemon has started: a queue.
 *
 * VMs are queued by their uuid and looked up when it is their turn: by then they may have been
 * deleted, changed, or started by somebody.
 */
#include "vmms/vm/automatic_start.h"

#include "common/base/log.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/run_record.h"

#include <errno.h>
#include <string.h>

struct automatic_start {
	struct manager *manager;
	struct guid *queue;
	size_t count, next; /* next: whose turn it is */
	sd_event_source *timer;
};

static bool start_is_asked_for(const struct vm *vm)
{
	return vm->definition->automatic_start.action == DEFINITION_START_ALWAYS &&
	       !vm->definition->cluster && !vm_state_is_active(vm->state);
}

static void start_await_next(struct automatic_start *start);

static void start_go_on(struct automatic_start *start, const struct failure *failure)
{
	if (failure)
		log_error("automatic start: %s", failure->message);
	start->next++;
	start_await_next(start);
}

/* By then there may be nothing to go on with: the daemon is stopping. */
static void start_started(void *data, const struct failure *failure)
{
	struct manager *manager = data;

	if (manager->start)
		start_go_on(manager->start, failure);
}

static int start_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct automatic_start *start = data;
	struct manager *manager = start->manager;
	struct vm *vm = manager_find_uuid(manager, &start->queue[start->next]);
	struct failure failure;

	if (!vm || !start_is_asked_for(vm)) {
		start_go_on(start, NULL);
	} else if (quota_check_start(vm, &failure) < 0 ||
		   vm_start(vm, start_started, manager, &failure) < 0) {
		run_record_remove(manager->record, &start->queue[start->next]);
		start_go_on(start, &failure);
	}
	return 0;
}

/* By a timer even without a delay, so that many VMs that fail at once do not nest. */
static void start_await_next(struct automatic_start *start)
{
	unsigned delay = 0;
	struct vm *vm;
	int r;

	start->timer = sd_event_source_disable_unref(start->timer);
	if (start->next == start->count)
		return;
	vm = manager_find_uuid(start->manager, &start->queue[start->next]);
	if (vm && start_is_asked_for(vm))
		delay = vm->definition->automatic_start.delay;
	r = sd_event_add_time_relative(start->manager->loop, &start->timer, CLOCK_MONOTONIC,
				       delay * UINT64_C(1000000), 0, start_due, start);
	if (r < 0)
		log_error("automatic start: cannot set a timer: %s", strerror(-r));
}

/* ---- The queue ---- */

static int start_by_order(const void *a, const void *b)
{
	const struct definition *one = (*(const struct vm *const *)a)->definition;
	const struct definition *other = (*(const struct vm *const *)b)->definition;

	if (one->automatic_start.order != other->automatic_start.order)
		return one->automatic_start.order < other->automatic_start.order ? -1 : 1;
	return strcmp(one->name, other->name);
}

static size_t start_collect(struct manager *manager, struct vm **vms)
{
	bool first = run_record_is_first(manager->record);
	size_t count = 0;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (start_is_asked_for(vm) &&
		    (first || run_record_has(manager->record, &vm->definition->uuid)))
			vms[count++] = vm;
		else if (!vm->run.worker)
			run_record_remove(manager->record, &vm->definition->uuid);
	}
	qsort(vms, count, sizeof(struct vm *), start_by_order);
	return count;
}

static int start_fill(struct automatic_start *start)
{
	struct manager *manager = start->manager;
	AUTO_FREE struct vm **vms = NULL;
	size_t count = 0;

	list_for_each (link, &manager->vms)
		count++;
	if (count == 0)
		return 0;
	vms = calloc(count, sizeof(struct vm *));
	start->queue = calloc(count, sizeof(*start->queue));
	if (!vms || !start->queue)
		return -ENOMEM;
	start->count = start_collect(manager, vms);
	for (size_t i = 0; i < start->count; i++) {
		start->queue[i] = vms[i]->definition->uuid;
		run_record_add(manager->record, &start->queue[i], vms[i]->definition->name);
	}
	return 0;
}

int automatic_start_new(struct manager *manager, struct automatic_start **ret_start)
{
	CLEANUP(automatic_start_freep) struct automatic_start *start = calloc(1, sizeof(*start));
	int r;

	if (!start)
		return -ENOMEM;
	start->manager = manager;
	r = start_fill(start);
	if (r < 0)
		return r;
	if (start->count > 0)
		log_info("automatic start of %zu VM%s", start->count, start->count == 1 ? "" : "s");
	start_await_next(start);
	*ret_start = TAKE_PTR(start);
	return 0;
}

void automatic_start_free(struct automatic_start *start)
{
	if (!start)
		return;
	sd_event_source_disable_unref(start->timer);
	free(start->queue);
	free(start);
}

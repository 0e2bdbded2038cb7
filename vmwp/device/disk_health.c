/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the disks of a machine are. */
#include "vmwp/device/disk_health.h"

#include "common/control_contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_NS    UINT64_C(1000000000)
#define SERVER_WAIT 300                        /* seconds */
#define TELL_NS     (UINT64_C(5) * 1000000000) /* between two reports of errors alone */

struct disk_health {
	struct list link;
	struct disk_healths *healths;
	unsigned controller, lun;
	enum definition_on_error on_error;
	struct disk *disk;
	struct disk_observer observer;

	enum control_health health;
	uint64_t reported; /* requests that failed, of which the guest was told */
	int error;         /* of the last one: -errno or DISK_E_; 0: none yet */
	enum disk_operation operation;
	uint64_t offset;
	uint64_t told_at; /* by loop_now() */
	bool update, stops;
	unsigned waited; /* seconds without a server */
};

struct disk_healths {
	struct loop *loop;
	const struct disk_healths_callbacks *callbacks;
	void *data;
	struct list list;
	struct loop_deferred iteration;
	struct loop_timer timer;
	bool timer_runs;
	bool pauses; /* the VM was asked to */
};

/* ---- What is told ---- */

static const char *operation_name(enum disk_operation operation)
{
	static const char *const names[] = {
		[DISK_READ] = "read",   [DISK_WRITE] = "write", [DISK_FLUSH] = "flush",
		[DISK_UNMAP] = "unmap", [DISK_ZERO] = "zero",
	};

	return names[operation];
}

static const char *error_text(int error)
{
	switch (error) {
	case DISK_E_SHORT:
		return "the image is shorter than the disk";
	case DISK_E_LOST:
		return "writes that were acknowledged are lost; flushes fail until the guest is "
		       "reset";
	default:
		return strerror(-error);
	}
}

static struct json_object *number(uint64_t value)
{
	return json_object_new_uint64(value);
}

static struct json_object *health_report(const struct disk_health *health)
{
	const struct disk *disk = health->disk;
	struct json_object *report;

	report = json_make("controller", number(health->controller), "lun", number(health->lun),
			   "health", json_object_new_string(control_health_names[health->health]),
			   "size", number(disk->size), "sector_size", number(disk->sector_size),
			   "held", number(disk->held_count + disk->retried_count), "errors",
			   number(health->reported), NULL);
	if (health->error) {
		json_add(&report, "error", json_object_new_string(error_text(health->error)));
		json_add(&report, "operation",
			 json_object_new_string(operation_name(health->operation)));
		json_add(&report, "offset", number(health->offset));
	}
	return report;
}

static void health_tell(struct disk_health *health)
{
	struct disk_healths *healths = health->healths;

	health->update = false;
	health->told_at = loop_now();
	healths->callbacks->changed(healths->data, health->controller, health->lun,
				    health_report(health));
}

static void health_enter(struct disk_health *health, enum control_health state)
{
	bool due = health->told_at == 0 || loop_now() - health->told_at >= TELL_NS;

	if (health->health != state || (due && state == CONTROL_HEALTH_ERRORS)) {
		health->health = state;
		health->update = true;
	}
	loop_defer(health->healths->loop, &health->healths->iteration);
}

static bool health_is_holding(const struct disk_health *health)
{
	return health->disk->held_count > 0 || health->disk->retried_count > 0;
}

/* ---- What happens ---- */

static bool is_want_of_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* What the guest brings about, or tries again by itself, says nothing about the disk. */
static bool is_fault_of_host(int error)
{
	return error != -EINVAL && error != -EFAULT && error != -ENOMEM && error != -ECANCELED;
}

static bool health_wants_hold(const struct disk_health *health, int error)
{
	switch (health->on_error) {
	case DEFINITION_ON_ERROR_AUTOMATIC:
		return is_want_of_space(error);
	case DEFINITION_ON_ERROR_REPORT:
		return false;
	case DEFINITION_ON_ERROR_PAUSE:
	case DEFINITION_ON_ERROR_STOP:
		break;
	}
	return true;
}

static bool health_failed(void *data, const struct disk_request *request, int error, bool can_hold)
{
	struct disk_health *health = data;
	bool hold;

	if (!is_fault_of_host(error))
		return false;
	hold = can_hold && health_wants_hold(health, error);
	health->error = error;
	health->operation = request->operation;
	health->offset = request->offset;
	health->reported += !hold;
	health->stops |= health->on_error == DEFINITION_ON_ERROR_STOP;
	if (hold)
		health_enter(health,
			     is_want_of_space(error) ? CONTROL_HEALTH_FULL : CONTROL_HEALTH_HELD);
	else if (!health_is_holding(health) && health->health != CONTROL_HEALTH_LOST &&
		 health->health != CONTROL_HEALTH_NO_SERVER)
		health_enter(health, CONTROL_HEALTH_ERRORS);
	return hold;
}

static void health_released(void *data)
{
	struct disk_health *health = data;

	if (health->health == CONTROL_HEALTH_FULL || health->health == CONTROL_HEALTH_HELD)
		health_enter(health, health->reported ? CONTROL_HEALTH_ERRORS : CONTROL_HEALTH_OK);
}

void disk_health_server(struct disk_health *health, enum disk_server server)
{
	health->waited = 0;
	switch (server) {
	case DISK_SERVER_THERE:
		health_enter(health, health->reported ? CONTROL_HEALTH_ERRORS : CONTROL_HEALTH_OK);
		break;
	case DISK_SERVER_GONE:
		if (health->health != CONTROL_HEALTH_LOST)
			health_enter(health, CONTROL_HEALTH_NO_SERVER);
		break;
	case DISK_SERVER_LOST:
		health_enter(health, CONTROL_HEALTH_LOST);
		break;
	}
}

/* ---- What comes of it ---- */

static bool is_full(const struct disk_health *health)
{
	return health->health == CONTROL_HEALTH_FULL;
}

static void healths_start_timer(struct disk_healths *healths)
{
	if (healths->timer_runs)
		return;
	healths->timer_runs = true;
	loop_timer_start(healths->loop, &healths->timer, RETRY_NS);
}

static void healths_tick(struct loop_operation *operation, int result, bool more)
{
	struct disk_healths *healths =
		container_of(operation, struct disk_healths, timer.operation);

	healths->timer_runs = false;
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (is_full(health))
			disk_retry(health->disk);
		if (health->health == CONTROL_HEALTH_NO_SERVER && ++health->waited == SERVER_WAIT) {
			disk_nbd_give_up(health->disk);
			disk_health_server(health, DISK_SERVER_LOST);
		}
	}
	loop_defer(healths->loop, &healths->iteration);
}

static void health_describe(const struct disk_health *health, char text[256])
{
	if (is_full(health))
		snprintf(text, 256,
			 "the host's file system has no room for disk %u:%u (%s); it goes on when "
			 "there is some",
			 health->controller, health->lun, strerror(-health->error));
	else
		snprintf(text, 256, "disk %u:%u cannot %s: %s", health->controller, health->lun,
			 operation_name(health->operation), error_text(health->error));
}

/* One of those that hold requests, or NULL. */
static struct disk_health *healths_find_holding(struct disk_healths *healths)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health_is_holding(health))
			return health;
	}
	return NULL;
}

static struct disk_health *healths_find_stopping(struct disk_healths *healths)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health->stops)
			return health;
	}
	return NULL;
}

static void healths_act(struct disk_healths *healths)
{
	struct disk_health *stopping = healths_find_stopping(healths);
	struct disk_health *holding = healths_find_holding(healths);
	char text[256];

	if (stopping) {
		stopping->stops = false;
		health_describe(stopping, text);
		healths->callbacks->stop(healths->data, text);
	} else if (holding && !healths->pauses) {
		healths->pauses = true;
		health_describe(holding, text);
		healths->callbacks->pause(healths->data, text);
	} else if (!holding && healths->pauses) {
		healths->pauses = false;
		healths->callbacks->go_on(healths->data);
	}
}

static void healths_iteration(struct loop_deferred *deferred)
{
	struct disk_healths *healths = container_of(deferred, struct disk_healths, iteration);

	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health->update)
			health_tell(health);
		if (is_full(health) || health->health == CONTROL_HEALTH_NO_SERVER)
			healths_start_timer(healths);
	}
	healths_act(healths);
}

void disk_healths_retry(struct disk_healths *healths)
{
	healths->pauses = false;
	list_for_each (link, &healths->list)
		disk_retry(container_of(link, struct disk_health, link)->disk);
}

void disk_healths_tell(struct disk_healths *healths)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health->health != CONTROL_HEALTH_OK)
			health_tell(health);
	}
}

struct json_object *disk_healths_report(struct disk_healths *healths)
{
	struct json_object *reports = json_object_new_array();

	list_for_each (link, &healths->list)
		json_append(&reports, health_report(container_of(link, struct disk_health, link)));
	return reports;
}

/* ---- Life ---- */

/* The VM may have been paused for it. */
static void health_free(struct disk_health *health)
{
	list_unlink(&health->link);
	loop_defer(health->healths->loop, &health->healths->iteration);
	free(health);
}

static void health_retired(void *data)
{
	health_free(data);
}

int disk_healths_new(struct loop *loop, const struct disk_healths_callbacks *callbacks, void *data,
		     struct disk_healths **ret_healths)
{
	struct disk_healths *healths = calloc(1, sizeof(*healths));

	if (!healths)
		return -ENOMEM;
	*healths = (struct disk_healths){ .loop = loop, .callbacks = callbacks, .data = data };
	list_init(&healths->list);
	list_init(&healths->iteration.link);
	healths->iteration.run = healths_iteration;
	healths->timer.operation.complete = healths_tick;
	*ret_healths = healths;
	return 0;
}

void disk_healths_free(struct disk_healths *healths)
{
	if (!healths)
		return;
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		disk_observe(health->disk, NULL);
		health_free(health);
	}
	loop_deferred_cancel(&healths->iteration);
	free(healths);
}

int disk_health_new(struct disk_healths *healths, const struct definition_disk *definition,
		    struct disk *disk)
{
	struct disk_health *health = calloc(1, sizeof(*health));

	if (!health)
		return -ENOMEM;
	*health = (struct disk_health){
		.healths = healths,
		.controller = definition->controller,
		.lun = definition->lun,
		.on_error = definition->on_error,
		.disk = disk,
		.observer = { .failed = health_failed,
			      .released = health_released,
			      .retired = health_retired,
			      .data = health },
	};
	disk_observe(disk, &health->observer);
	list_append(&healths->list, &health->link);
	return 0;
}

int disk_healths_lock(struct disk_healths *healths, enum disk_lock what, unsigned *ret_controller,
		      unsigned *ret_lun)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);
		int r = disk_lock(health->disk, what);

		if (r < 0) {
			*ret_controller = health->controller;
			*ret_lun = health->lun;
			return r;
		}
	}
	return 0;
}

struct disk_health *disk_health_find(struct disk_healths *healths, unsigned controller,
				     unsigned lun)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health->controller == controller && health->lun == lun)
			return health;
	}
	return NULL;
}

struct disk_health *disk_health_of(struct disk_healths *healths, const struct disk *disk)
{
	list_for_each (link, &healths->list) {
		struct disk_health *health = container_of(link, struct disk_health, link);

		if (health->disk == disk)
			return health;
	}
	return NULL;
}

struct disk *disk_health_disk(struct disk_health *health)
{
	return health->disk;
}

void disk_health_replace(struct disk_health *health, struct disk *disk)
{
	health->disk = disk;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time synchronisation service.
 *
 * A time of day is worth little without the moment it was true. From version 4.0 on a message
 * carries the partition's reference time of that moment, by which the guest makes up for the time
 * the message took. Linux keeps the last sample for /dev/ptp_hyperv, and distrusts one that is ten
 * minutes old, so samples keep coming.
 *
 * A sample sets no clock. When the host's has been set, the guest is asked to set its own again.
 */
#include "vsp/ic/ic_time.h"

#include "common/base/state.h"
#include "common/wire/ic_time.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/*
 * In one interval: clocks that are only adjusted go by half a thousandth; this thread may be late.
 */
#define STEP_NS (NS_PER_S / 4)

struct ic_time {
	struct ic_service service;
	uint64_t interval_ns;
	uint64_t epoch; /* the time of day at the host's start, when last looked at, ns */
	bool sync_due;  /* the guest has yet to be asked to set its clock */
	bool paused;
};

static const struct ic_version time_versions[] = { { 1, 0 }, { 3, 0 }, { 4, 0 } };

static struct ic_time *time_of(struct ic_service *service)
{
	return container_of(service, struct ic_time, service);
}

static uint64_t time_of_day(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return IC_TIME_UNIX_EPOCH + (uint64_t)now.tv_sec * 10000000 + (uint64_t)now.tv_nsec / 100;
}

/* Both clocks at one moment: the reference time is read on both sides of the time of day. */
static struct ic_time_reference_body time_now(const struct ic_time *time)
{
	const struct vsp_host *host = vmbus_host(time->service.bus);
	uint64_t before = host->ops->reference_time(host->host);
	uint64_t now = time_of_day();
	uint64_t after = host->ops->reference_time(host->host);

	return (struct ic_time_reference_body){
		.host_time = now,
		.reference_time = before + (after - before) / 2,
	};
}

static int time_send(struct ic_time *time, uint8_t flags)
{
	struct ic_time_reference_body body = time_now(time);
	const struct ic_time_body old = { .host_time = body.host_time, .flags = flags };

	body.flags = flags;
	return ic_service_has_version(&time->service, 4, 0)
		       ? ic_service_request(&time->service, &body, sizeof(body))
		       : ic_service_request(&time->service, &old, sizeof(old));
}

static void time_tell(struct ic_time *time)
{
	int r;

	if (time->paused || !ic_service_is_connected(&time->service))
		return;
	r = time_send(time, time->sync_due ? IC_TIME_SYNC : IC_TIME_SAMPLE);
	if (r == 0)
		time->sync_due = false;
	ic_service_start_timer(&time->service, time->interval_ns);
}

/* Somebody has set the host's clock, rather than let it go faster or slower for a while. */
static bool time_has_stepped(struct ic_time *time)
{
	struct timespec now, since;
	uint64_t epoch, before = time->epoch;

	clock_gettime(CLOCK_BOOTTIME, &since);
	clock_gettime(CLOCK_REALTIME, &now);
	epoch = ((uint64_t)now.tv_sec - (uint64_t)since.tv_sec) * NS_PER_S + (uint64_t)now.tv_nsec -
		(uint64_t)since.tv_nsec;
	time->epoch = epoch;
	return epoch - before + STEP_NS > 2 * STEP_NS;
}

static void time_timer(struct ic_service *service)
{
	struct ic_time *time = time_of(service);

	if (time_has_stepped(time))
		time->sync_due = true;
	time_tell(time);
}

static void time_connected(struct ic_service *service)
{
	struct ic_time *time = time_of(service);

	time->sync_due = true;
	(void)time_has_stepped(time);
	time_tell(time);
}

/* A clock to be set that had to wait for this answer waits no longer. */
static void time_answered(struct ic_service *service, uint32_t status, const void *body,
			  size_t size)
{
	struct ic_time *time = time_of(service);

	if (time->sync_due)
		time_tell(time);
}

static void time_disconnected(struct ic_service *service)
{
}

/* ---- State ---- */

struct time_state {
	uint32_t sync_due;
	uint32_t reserved;
};
_Static_assert(sizeof(struct time_state) == 8, "stored format");

static void time_save(const struct ic_service *service, void *ret_state)
{
	const struct ic_time *time = container_of(service, struct ic_time, service);
	struct time_state state = { .sync_due = time->sync_due };

	memcpy(ret_state, &state, sizeof(state));
}

/* The clock of this host may not be that of the other: where it begins is found out here. */
static int time_restore(struct ic_service *service, const void *from)
{
	struct ic_time *time = time_of(service);
	struct time_state state;

	memcpy(&state, from, sizeof(state));
	if (state.sync_due > 1)
		return STATE_E_INVALID;
	time->sync_due = state.sync_due;
	(void)time_has_stepped(time);
	return 0;
}

static const struct ic_service_kind time_kind = {
	.name = "time service",
	.type = IC_TIME_TYPE,
	.instance = IC_TIME_INSTANCE,
	.message_type = IC_MESSAGE_TIMESYNC,
	.versions = time_versions,
	.version_count = ARRAY_SIZE(time_versions),
	.connected = time_connected,
	.answered = time_answered,
	.disconnected = time_disconnected,
	.timer = time_timer,
	.state_size = sizeof(struct time_state),
	.save = time_save,
	.restore = time_restore,
};

int ic_time_new(struct vmbus *bus, uint64_t interval_ns, struct ic_time **ret_time)
{
	struct ic_time *time = calloc(1, sizeof(*time));
	int r;

	if (!time)
		return -ENOMEM;
	time->interval_ns = interval_ns ? interval_ns : IC_TIME_INTERVAL_NS;
	r = ic_service_offer(&time->service, &time_kind, bus);
	if (r < 0) {
		free(time);
		return r;
	}
	*ret_time = time;
	return 0;
}

void ic_time_free(struct ic_time *time)
{
	if (!time)
		return;
	ic_service_free(&time->service);
	free(time);
}

struct ic_service *ic_time_service(struct ic_time *time)
{
	return &time->service;
}

bool ic_time_is_connected(const struct ic_time *time)
{
	return ic_service_is_connected(&time->service);
}

void ic_time_pause(struct ic_time *time)
{
	time->paused = true;
}

void ic_time_resume(struct ic_time *time)
{
	if (!time->paused)
		return;
	time->paused = false;
	time->sync_due = true;
	time_tell(time);
}

struct json_object *ic_time_inspect(const struct ic_time *time)
{
	return ic_service_inspect(&time->service);
}

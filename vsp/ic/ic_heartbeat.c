/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heartbeat integration service.
 *
 * A beat is sent every interval unless the last one is still unanswered; then it counts as missed.
 * So a guest that hangs finds one beat when it wakes up, not a ring full of them.
 */
#include "common/base/state.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ic_heartbeat {
	struct ic_service service;
	const struct ic_heartbeat_callbacks *callbacks;
	void *data;
	uint64_t interval_ns;
	uint64_t sequence;
	unsigned missed;
	bool paused;
	enum ic_heartbeat_status status;
	enum ic_application_state application;
};

static const struct ic_version heartbeat_versions[] = { { 1, 0 }, { 3, 0 } };

static struct ic_heartbeat *heartbeat_of(struct ic_service *service)
{
	return container_of(service, struct ic_heartbeat, service);
}

static void heartbeat_set(struct ic_heartbeat *heartbeat, enum ic_heartbeat_status status,
			  enum ic_application_state application)
{
	if (heartbeat->status == status && heartbeat->application == application)
		return;
	heartbeat->status = status;
	heartbeat->application = application;
	heartbeat->callbacks->changed(heartbeat->data, status, application);
}

static void heartbeat_beat(struct ic_service *service)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(service);
	struct ic_heartbeat_body body = { .sequence = heartbeat->sequence + 1 };

	if (service->state != IC_SERVICE_CONNECTED)
		return;
	/* Before `changed` can be called: it may do anything but close the channel. */
	ic_service_start_timer(service, heartbeat->interval_ns);
	if (heartbeat->paused)
		return;
	if (ic_service_request(service, &body, sizeof(body)) == 0)
		heartbeat->sequence++;
	else if (heartbeat->missed < IC_HEARTBEAT_MISSED_MAX &&
		 ++heartbeat->missed == IC_HEARTBEAT_MISSED_MAX)
		heartbeat_set(heartbeat, IC_HEARTBEAT_LOST, heartbeat->application);
}

static void heartbeat_connected(struct ic_service *service)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(service);

	heartbeat->missed = 0;
	heartbeat->sequence = 0;
	heartbeat_beat(service);
}

static enum ic_application_state application_state(uint32_t value)
{
	return value <= IC_APPLICATION_STOPPED ? (enum ic_application_state)value
					       : IC_APPLICATION_UNKNOWN;
}

static void heartbeat_answered(struct ic_service *service, uint32_t status, const void *body,
			       size_t size)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(service);
	struct ic_heartbeat_body answer = { 0 };

	memcpy(&answer, body, MIN(size, sizeof(answer)));
	if (!ic_service_has_version(service, 3, 0))
		answer.application_state = IC_APPLICATION_UNKNOWN;
	heartbeat->missed = 0;
	heartbeat_set(heartbeat, IC_HEARTBEAT_OK, application_state(answer.application_state));
}

static void heartbeat_disconnected(struct ic_service *service)
{
	heartbeat_set(heartbeat_of(service), IC_HEARTBEAT_UNKNOWN, IC_APPLICATION_UNKNOWN);
}

/* ---- State ---- */

struct heartbeat_state {
	uint64_t sequence;
	uint32_t missed;
	uint32_t status;      /* enum ic_heartbeat_status */
	uint32_t application; /* enum ic_application_state */
	uint32_t reserved;
};
_Static_assert(sizeof(struct heartbeat_state) == 24, "stored format");

static void heartbeat_save(const struct ic_service *service, void *ret_state)
{
	const struct ic_heartbeat *heartbeat = container_of(service, struct ic_heartbeat, service);
	struct heartbeat_state state = {
		.sequence = heartbeat->sequence,
		.missed = heartbeat->missed,
		.status = heartbeat->status,
		.application = heartbeat->application,
	};

	memcpy(ret_state, &state, sizeof(state));
}

static int heartbeat_restore(struct ic_service *service, const void *from)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(service);
	struct heartbeat_state state;

	memcpy(&state, from, sizeof(state));
	if (state.missed > IC_HEARTBEAT_MISSED_MAX || state.status > IC_HEARTBEAT_LOST ||
	    state.application > IC_APPLICATION_STOPPED)
		return STATE_E_INVALID;
	heartbeat->sequence = state.sequence;
	heartbeat->missed = state.missed;
	heartbeat_set(heartbeat, (enum ic_heartbeat_status)state.status,
		      (enum ic_application_state)state.application);
	return 0;
}

static const struct ic_service_kind heartbeat_kind = {
	.name = "heartbeat service",
	.type = IC_HEARTBEAT_TYPE,
	.instance = IC_HEARTBEAT_INSTANCE,
	.message_type = IC_MESSAGE_HEARTBEAT,
	.versions = heartbeat_versions,
	.version_count = ARRAY_SIZE(heartbeat_versions),
	.connected = heartbeat_connected,
	.answered = heartbeat_answered,
	.disconnected = heartbeat_disconnected,
	.timer = heartbeat_beat,
	.state_size = sizeof(struct heartbeat_state),
	.save = heartbeat_save,
	.restore = heartbeat_restore,
};

int ic_heartbeat_new(struct vmbus *bus, uint64_t interval_ns,
		     const struct ic_heartbeat_callbacks *callbacks, void *data,
		     struct ic_heartbeat **ret_heartbeat)
{
	struct ic_heartbeat *heartbeat = calloc(1, sizeof(*heartbeat));
	int r;

	if (!heartbeat)
		return -ENOMEM;
	heartbeat->callbacks = callbacks;
	heartbeat->data = data;
	heartbeat->interval_ns = interval_ns ? interval_ns : IC_HEARTBEAT_INTERVAL_NS;
	r = ic_service_offer(&heartbeat->service, &heartbeat_kind, bus);
	if (r < 0) {
		free(heartbeat);
		return r;
	}
	*ret_heartbeat = heartbeat;
	return 0;
}

void ic_heartbeat_free(struct ic_heartbeat *heartbeat)
{
	if (!heartbeat)
		return;
	ic_service_free(&heartbeat->service);
	free(heartbeat);
}

struct ic_service *ic_heartbeat_service(struct ic_heartbeat *heartbeat)
{
	return &heartbeat->service;
}

enum ic_heartbeat_status ic_heartbeat_status(const struct ic_heartbeat *heartbeat)
{
	return heartbeat->status;
}

const char *ic_heartbeat_status_name(enum ic_heartbeat_status status)
{
	static const char *const names[] = {
		[IC_HEARTBEAT_UNKNOWN] = "unknown",
		[IC_HEARTBEAT_OK] = "ok",
		[IC_HEARTBEAT_LOST] = "lost",
	};

	return names[status];
}

void ic_heartbeat_pause(struct ic_heartbeat *heartbeat)
{
	heartbeat->paused = true;
}

void ic_heartbeat_resume(struct ic_heartbeat *heartbeat)
{
	heartbeat->paused = false;
	heartbeat->missed = 0;
}

struct json_object *ic_heartbeat_inspect(const struct ic_heartbeat *heartbeat)
{
	return ic_service_inspect(&heartbeat->service);
}

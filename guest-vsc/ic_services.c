/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heartbeat, shutdown, time and snapshots, in the guest. */
#include "guest-vsc/ic_services.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/memory.h"

#define TIME_UNIT 100 /* nanoseconds */

/* Takes a body of a fixed size out of a request. Return: false if the request is too short. */
#define TAKE_BODY(ret, body, size) \
	((size) >= sizeof(*(ret)) && (memcpy((ret), (body), sizeof(*(ret))), true))

/* ---- Heartbeat ---- */

static uint32_t serve_heartbeat(struct ic_client *client, void *body, size_t size)
{
	struct ic_heartbeat_client *heartbeat =
		container_of(client, struct ic_heartbeat_client, ic);
	struct ic_heartbeat_body beat;

	if (!TAKE_BODY(&beat, body, size))
		return IC_STATUS_FAIL;
	heartbeat->sequence = beat.sequence;
	beat.sequence++;
	if (ic_client_has_version(client, 3, 0))
		beat.application_state = heartbeat->application;
	memcpy(body, &beat, sizeof(beat));
	return IC_STATUS_OK;
}

static const struct ic_version heartbeat_versions[] = { { 3, 0 }, { 1, 0 } };

const struct ic_client_kind ic_heartbeat_client_kind = {
	.type = IC_HEARTBEAT_TYPE,
	.message_type = IC_MESSAGE_HEARTBEAT,
	.versions = heartbeat_versions,
	.version_count = ARRAY_SIZE(heartbeat_versions),
	.serve = serve_heartbeat,
};

/* ---- Shutdown ---- */

/* A second request before the first is done changes nothing any more. */
static uint32_t serve_shutdown(struct ic_client *client, void *body, size_t size)
{
	struct ic_shutdown_client *shutdown = container_of(client, struct ic_shutdown_client, ic);
	enum ic_shutdown_client_action action;
	struct ic_shutdown_body request;

	if (!TAKE_BODY(&request, body, size))
		return IC_STATUS_FAIL;
	switch (request.flags & ~IC_SHUTDOWN_FORCE) {
	case 0:
		action = IC_SHUTDOWN_CLIENT_POWER_OFF;
		break;
	case IC_SHUTDOWN_RESTART:
		action = IC_SHUTDOWN_CLIENT_RESTART;
		break;
	default:
		return IC_STATUS_FAIL;
	}
	if (!shutdown->asked) {
		shutdown->asked = action;
		shutdown->force = request.flags & IC_SHUTDOWN_FORCE;
	}
	return IC_STATUS_OK;
}

static const struct ic_version shutdown_versions[] = { { 3, 2 }, { 3, 1 }, { 3, 0 }, { 1, 0 } };

const struct ic_client_kind ic_shutdown_client_kind = {
	.type = IC_SHUTDOWN_TYPE,
	.message_type = IC_MESSAGE_SHUTDOWN,
	.versions = shutdown_versions,
	.version_count = ARRAY_SIZE(shutdown_versions),
	.serve = serve_shutdown,
};

/* ---- Time ---- */

uint64_t ic_time_client_now(const struct ic_time_client *time)
{
	return time->host_time ? time->host_time + clock_now() / TIME_UNIT - time->reference_time
			       : 0;
}

static void take_time(struct ic_time_client *time, uint64_t host_time, uint64_t reference_time)
{
	uint64_t expected, deviation;

	if (time->host_time) {
		expected = time->host_time + reference_time - time->reference_time;
		deviation = expected < host_time ? host_time - expected : expected - host_time;
		time->deviation = MAX(time->deviation, deviation);
	}
	time->host_time = host_time;
	time->reference_time = reference_time;
}

/* Up to version 3.0 the message does not say of which moment it tells: that it came will do. */
static uint32_t serve_time(struct ic_client *client, void *body, size_t size)
{
	struct ic_time_client *time = container_of(client, struct ic_time_client, ic);
	struct ic_time_reference_body message;
	struct ic_time_body old;

	if (ic_client_has_version(client, 4, 0)) {
		if (!TAKE_BODY(&message, body, size))
			return IC_STATUS_FAIL;
	} else {
		if (!TAKE_BODY(&old, body, size))
			return IC_STATUS_FAIL;
		message.host_time = old.host_time;
		message.reference_time = clock_now() / TIME_UNIT;
		message.flags = old.flags;
	}
	take_time(time, message.host_time, message.reference_time);
	time->syncs += (message.flags & IC_TIME_SYNC) != 0;
	time->samples += (message.flags & IC_TIME_SAMPLE) != 0;
	return IC_STATUS_OK;
}

static const struct ic_version time_versions[] = { { 4, 0 }, { 3, 0 }, { 1, 0 } };

const struct ic_client_kind ic_time_client_kind = {
	.type = IC_TIME_TYPE,
	.message_type = IC_MESSAGE_TIMESYNC,
	.versions = time_versions,
	.version_count = ARRAY_SIZE(time_versions),
	.serve = serve_time,
};

/* ---- Snapshots ---- */

static uint32_t serve_vss(struct ic_client *client, void *body, size_t size)
{
	struct ic_vss_client *vss = container_of(client, struct ic_vss_client, ic);
	struct ic_vss_body request;

	if (!TAKE_BODY(&request, body, size))
		return IC_STATUS_FAIL;
	switch (request.operation) {
	case IC_VSS_HOT_BACKUP:
		request.flags = IC_VSS_NO_AUTO_RECOVERY;
		break;
	case IC_VSS_DM_INFO:
		request.flags = 0;
		break;
	case IC_VSS_FREEZE:
		if (vss->restless)
			return IC_STATUS_FAIL;
		vss->freezes += !vss->frozen;
		vss->frozen = true;
		break;
	case IC_VSS_THAW:
		vss->thaws += vss->frozen;
		vss->frozen = false;
		break;
	default:
		return IC_STATUS_FAIL;
	}
	memcpy(body, &request, sizeof(request));
	return IC_STATUS_OK;
}

static const struct ic_version vss_versions[] = { { 5, 0 } };

const struct ic_client_kind ic_vss_client_kind = {
	.type = IC_VSS_TYPE,
	.message_type = IC_MESSAGE_VSS,
	.versions = vss_versions,
	.version_count = ARRAY_SIZE(vss_versions),
	.serve = serve_vss,
};

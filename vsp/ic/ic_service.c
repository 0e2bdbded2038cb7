/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The framework of the integration services. */
#include "vsp/ic/ic_service.h"

#include "common/base/json.h"
#include "common/wire/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct ic_version framework_versions[] = { { 1, 0 }, { 3, 0 } };

struct ic_packet {
	struct ic_pipe_header pipe;
	struct ic_header header;
	uint8_t body[IC_BODY_MAX];
} PACKED;

#define HEADERS_SIZE offsetof(struct ic_packet, body)

_Static_assert(sizeof(struct ic_packet) <= VMBUS_PACKET_MAX, "one packet holds any message");

/* ---- Requests ---- */

/* Return: 0; -EAGAIN. */
static int ic_service_send(struct ic_service *service, uint16_t type, const void *body, size_t size)
{
	struct ic_packet packet = {
		.pipe.type = IC_PIPE_DATA,
		.pipe.size = (uint32_t)(sizeof(struct ic_header) + size),
		.header.framework_version = service->framework_version,
		.header.type = type,
		.header.message_version = service->version,
		.header.size = (uint16_t)size,
		.header.transaction_id = ++service->transaction_id,
		.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
	};

	memcpy(packet.body, body, size);
	if (vmbus_channel_send(service->channel, RING_PACKET_INBAND, false, 0, &packet,
			       HEADERS_SIZE + size))
		return -EAGAIN;
	service->waiting = true;
	return 0;
}

int ic_service_request(struct ic_service *service, const void *body, size_t size)
{
	if (service->state != IC_SERVICE_CONNECTED)
		return -ENOTCONN;
	if (service->waiting)
		return -EALREADY;
	return ic_service_send(service, service->kind->message_type, body, size);
}

void ic_service_forget_request(struct ic_service *service)
{
	service->waiting = false;
}

/* ---- Negotiation ---- */

static void ic_service_negotiate(struct ic_service *service)
{
	const struct ic_service_kind *kind = service->kind;
	struct ic_negotiate body = {
		.framework_count = ARRAY_SIZE(framework_versions),
		.message_count = (uint16_t)kind->version_count,
	};
	size_t count = ARRAY_SIZE(framework_versions) + kind->version_count;

	service->framework_version = service->version = (struct ic_version){ 0 };
	service->state = IC_SERVICE_NEGOTIATING;
	memcpy(body.versions, framework_versions, sizeof(framework_versions));
	memcpy(body.versions + ARRAY_SIZE(framework_versions), kind->versions,
	       kind->version_count * sizeof(*kind->versions));
	if (ic_service_send(service, IC_MESSAGE_NEGOTIATE, &body,
			    offsetof(struct ic_negotiate, versions) +
				    count * sizeof(struct ic_version)))
		service->state = IC_SERVICE_REFUSED;
}

static bool version_is_listed(struct ic_version version, const struct ic_version *versions,
			      size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (versions[i].major == version.major && versions[i].minor == version.minor)
			return true;
	return false;
}

bool ic_service_knows(const struct ic_service_kind *kind, struct ic_version framework,
		      struct ic_version version)
{
	return version_is_listed(framework, framework_versions, ARRAY_SIZE(framework_versions)) &&
	       version_is_listed(version, kind->versions, kind->version_count);
}

static void ic_service_negotiated(struct ic_service *service, const void *body, size_t size)
{
	const struct ic_service_kind *kind = service->kind;
	struct ic_negotiate answer = { 0 };

	service->state = IC_SERVICE_REFUSED;
	memcpy(&answer, body, MIN(size, sizeof(answer)));
	if (size < offsetof(struct ic_negotiate, versions[2]) || answer.framework_count != 1 ||
	    answer.message_count != 1)
		return;
	if (!ic_service_knows(kind, answer.versions[0], answer.versions[1]))
		return;
	service->framework_version = answer.versions[0];
	service->version = answer.versions[1];
	service->state = IC_SERVICE_CONNECTED;
	kind->connected(service);
}

bool ic_service_has_version(const struct ic_service *service, uint16_t major, uint16_t minor)
{
	return service->version.major > major ||
	       (service->version.major == major && service->version.minor >= minor);
}

/* ---- Answers ---- */

/* What is not the answer we wait for is ignored. */
static void ic_service_receive(struct ic_service *service, const struct vmbus_packet *packet)
{
	bool negotiating = service->state == IC_SERVICE_NEGOTIATING;
	struct ic_pipe_header pipe;
	struct ic_header header;

	if (packet->type != RING_PACKET_INBAND || packet->size < HEADERS_SIZE)
		return;
	memcpy(&pipe, packet->payload, sizeof(pipe));
	memcpy(&header, packet->payload + sizeof(pipe), sizeof(header));
	if (pipe.type != IC_PIPE_DATA || pipe.size < sizeof(header) ||
	    pipe.size > packet->size - sizeof(pipe) || header.size > pipe.size - sizeof(header))
		return;
	if (!(header.flags & IC_FLAG_RESPONSE) || !service->waiting ||
	    header.transaction_id != service->transaction_id ||
	    header.type != (negotiating ? IC_MESSAGE_NEGOTIATE : service->kind->message_type))
		return;

	service->waiting = false;
	if (negotiating)
		ic_service_negotiated(service, packet->payload + HEADERS_SIZE, header.size);
	else
		service->kind->answered(service, header.status, packet->payload + HEADERS_SIZE,
					header.size);
}

/* ---- The channel ---- */

static int ic_service_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	struct ic_service *service = device;

	service->waiting = service->closing = false;
	service->due = 0;
	service->remaining = IC_SERVICE_NO_TIMER;
	ic_service_negotiate(service);
	return 0;
}

/* The loop holds on to operations; whoever frees the service waits for the channel. */
static void ic_service_settle(struct ic_service *service)
{
	if (!service->closing || service->timer_armed || service->held)
		return;
	service->closing = false;
	vmbus_channel_closed(service->channel);
}

void ic_service_hold(struct ic_service *service)
{
	service->held++;
}

void ic_service_release(struct ic_service *service)
{
	service->held--;
	ic_service_settle(service);
}

static void ic_service_closed(void *device, struct vmbus_channel *channel)
{
	struct ic_service *service = device;
	bool connected = service->state == IC_SERVICE_CONNECTED;

	service->state = IC_SERVICE_CLOSED;
	service->waiting = false;
	if (connected)
		service->kind->disconnected(service);
	ic_service_stop_timer(service);
	if (service->timer_armed)
		loop_cancel(vmbus_loop(service->bus), &service->timer.operation);
	service->closing = true;
	ic_service_settle(service);
}

static void ic_service_readable(void *device, struct vmbus_channel *channel)
{
	struct ic_service *service = device;
	struct vmbus_packet packet;

	while (vmbus_channel_receive(channel, &packet) == 0)
		ic_service_receive(service, &packet);
}

static void ic_service_released(void *device, struct vmbus_channel *channel)
{
	struct ic_service *service = device;

	service->channel = NULL;
}

static const struct vmbus_channel_ops ic_service_channel_ops = {
	.open = ic_service_opened,
	.close = ic_service_closed,
	.readable = ic_service_readable,
	.released = ic_service_released,
};

/* ---- The timer ---- */

static void ic_service_arm(struct ic_service *service)
{
	uint64_t now = loop_now();

	service->timer_armed = true;
	service->armed_for = service->due;
	loop_timer_start(vmbus_loop(service->bus), &service->timer,
			 service->due > now ? service->due - now : 0);
}

/* What the timer was armed for may not be what it is due for now. */
static void ic_service_timer(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);
	struct ic_service *service = container_of(timer, struct ic_service, timer);

	service->timer_armed = false;
	if (service->closing) {
		ic_service_settle(service);
	} else if (service->due && loop_now() < service->due) {
		ic_service_arm(service);
	} else if (service->due) {
		service->due = 0;
		service->kind->timer(service);
	}
}

void ic_service_start_timer(struct ic_service *service, uint64_t delay_ns)
{
	if (service->quiet) {
		service->remaining = delay_ns;
		return;
	}
	service->due = loop_now() + delay_ns;
	if (!service->timer_armed) {
		ic_service_arm(service);
	} else if (service->due < service->armed_for) {
		service->armed_for = service->due;
		loop_cancel(vmbus_loop(service->bus), &service->timer.operation);
	}
}

void ic_service_stop_timer(struct ic_service *service)
{
	service->due = 0;
	service->remaining = IC_SERVICE_NO_TIMER;
}

int ic_service_offer(struct ic_service *service, const struct ic_service_kind *kind,
		     struct vmbus *bus)
{
	static const uint32_t pipe_mode = VMBUS_PIPE_MODE_MESSAGE;
	struct vmbus_offer offer = {
		.type = kind->type,
		.instance = kind->instance,
		.flags = VMBUS_OFFER_ENUMERATE,
	};

	snprintf(offer.name, sizeof(offer.name), "%s", kind->name);
	memcpy(offer.user_defined, &pipe_mode, sizeof(pipe_mode));
	*service = (struct ic_service){
		.kind = kind,
		.bus = bus,
		.remaining = IC_SERVICE_NO_TIMER,
	};
	service->timer.operation.complete = ic_service_timer;
	return vmbus_channel_offer(bus, &offer, &ic_service_channel_ops, service,
				   &service->channel);
}

void ic_service_free(struct ic_service *service)
{
	loop_assert_thread(vmbus_loop(service->bus));
	assert(!service->timer_armed && service->held == 0 && !service->closing);
	vmbus_channel_free(service->channel);
	service->channel = NULL;
}

/* ---- Inspection ---- */

static struct json_object *inspect_version(struct ic_version version)
{
	char text[16] = "";

	if (version.major || version.minor)
		snprintf(text, sizeof(text), "%u.%u", version.major, version.minor);
	return json_object_new_string(text);
}

struct json_object *ic_service_inspect(const struct ic_service *service)
{
	static const char *const states[] = {
		[IC_SERVICE_CLOSED] = "closed",
		[IC_SERVICE_NEGOTIATING] = "negotiating",
		[IC_SERVICE_CONNECTED] = "connected",
		[IC_SERVICE_REFUSED] = "refused",
	};

	return json_make("state", json_object_new_string(states[service->state]), "framework",
			 inspect_version(service->framework_version), "version",
			 inspect_version(service->version), "waiting",
			 json_object_new_boolean(service->waiting), NULL);
}

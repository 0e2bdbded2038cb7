/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shutdown integration service. */
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <stdlib.h>

struct ic_shutdown {
	struct ic_service service;
	void (*done)(void *data, int result); /* NULL: no request is under way */
	void *data;
};

static const struct ic_version shutdown_versions[] = { { 1, 0 }, { 3, 0 }, { 3, 1 }, { 3, 2 } };

/* What is asked for, and since which version it can be. */
static const struct shutdown_action {
	uint32_t flag;
	struct ic_version version;
} shutdown_actions[] = {
	[IC_SHUTDOWN_ACTION_POWER_OFF] = { 0, { 1, 0 } },
	[IC_SHUTDOWN_ACTION_REBOOT] = { IC_SHUTDOWN_RESTART, { 3, 1 } },
	[IC_SHUTDOWN_ACTION_HIBERNATE] = { IC_SHUTDOWN_HIBERNATE, { 3, 2 } },
};

static struct ic_shutdown *shutdown_of(struct ic_service *service)
{
	return container_of(service, struct ic_shutdown, service);
}

static void shutdown_done(struct ic_shutdown *shutdown, int result)
{
	void (*done)(void *data, int result) = shutdown->done;

	shutdown->done = NULL;
	if (done)
		done(shutdown->data, result);
}

static void shutdown_connected(struct ic_service *service)
{
}

static void shutdown_answered(struct ic_service *service, uint32_t status, const void *body,
			      size_t size)
{
	ic_service_stop_timer(service);
	shutdown_done(shutdown_of(service), status == IC_STATUS_OK ? 0 : IC_E_REFUSED);
}

static void shutdown_disconnected(struct ic_service *service)
{
	shutdown_done(shutdown_of(service), IC_E_GONE);
}

static void shutdown_timer(struct ic_service *service)
{
	ic_service_forget_request(service);
	shutdown_done(shutdown_of(service), IC_E_TIMEOUT);
}

static const struct ic_service_kind shutdown_kind = {
	.name = "shutdown service",
	.type = IC_SHUTDOWN_TYPE,
	.instance = IC_SHUTDOWN_INSTANCE,
	.message_type = IC_MESSAGE_SHUTDOWN,
	.versions = shutdown_versions,
	.version_count = ARRAY_SIZE(shutdown_versions),
	.connected = shutdown_connected,
	.answered = shutdown_answered,
	.disconnected = shutdown_disconnected,
	.timer = shutdown_timer,
};

int ic_shutdown_new(struct vmbus *bus, struct ic_shutdown **ret_shutdown)
{
	struct ic_shutdown *shutdown = calloc(1, sizeof(*shutdown));
	int r;

	if (!shutdown)
		return -ENOMEM;
	r = ic_service_offer(&shutdown->service, &shutdown_kind, bus);
	if (r < 0) {
		free(shutdown);
		return r;
	}
	*ret_shutdown = shutdown;
	return 0;
}

void ic_shutdown_free(struct ic_shutdown *shutdown)
{
	if (!shutdown)
		return;
	ic_service_free(&shutdown->service);
	free(shutdown);
}

struct ic_service *ic_shutdown_service(struct ic_shutdown *shutdown)
{
	return &shutdown->service;
}

int ic_shutdown_request(struct ic_shutdown *shutdown, enum ic_shutdown_action action, bool force,
			void (*done)(void *data, int result), void *data)
{
	const struct shutdown_action *kind = &shutdown_actions[action];
	struct ic_service *service = &shutdown->service;
	struct ic_shutdown_body body = {
		.reason = IC_SHUTDOWN_REASON_PLANNED,
		.flags = force ? IC_SHUTDOWN_FORCE : 0,
	};
	int r;

	if (!ic_service_is_connected(service))
		return -ENOTCONN;
	if (!ic_service_has_version(service, kind->version.major, kind->version.minor))
		return -EOPNOTSUPP;
	body.flags |= kind->flag;
	r = ic_service_request(service, &body, sizeof(body));
	if (r < 0)
		return r;
	shutdown->done = done;
	shutdown->data = data;
	ic_service_start_timer(service, IC_SHUTDOWN_TIMEOUT_NS);
	return 0;
}

struct json_object *ic_shutdown_inspect(const struct ic_shutdown *shutdown)
{
	return ic_service_inspect(&shutdown->service);
}

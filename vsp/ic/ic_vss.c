/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The volume snapshot service.
 *
 *	              freeze           answer
 *	    running --------> freezing -------> frozen
 *	       ^               |     |            | thaw, or the limit
 *	       |  refused      |     | no answer  v
 *	       +---------------+     +-------> thawing
 *	       +---------------------------------/    answered or not
 *
 * To freeze takes two requests: whether a hot backup is possible at all, and the freeze.
 * The thaw that follows a freeze without an answer lies in the ring behind it: Linux takes one
 * request after the other, and looks for the next when it has answered.
 */
#include "vsp/ic/ic_vss.h"

#include "common/base/state.h"
#include "common/wire/ic_vss.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ic_vss {
	struct ic_service service;
	const struct ic_vss_callbacks *callbacks;
	void *data;
	struct ic_vss_options options;

	enum ic_vss_state state;
	enum ic_vss_operation operation; /* of the request under way */
	uint64_t limit_ns;
	void (*done)(void *data, int result); /* NULL: nobody asked */
	void *done_data;
};

static const struct ic_version vss_versions[] = { { 3, 0 }, { 4, 0 }, { 5, 0 } };

static struct ic_vss *vss_of(struct ic_service *service)
{
	return container_of(service, struct ic_vss, service);
}

static void vss_tell(struct ic_vss *vss, int result)
{
	void (*done)(void *data, int result) = vss->done;

	vss->done = NULL;
	if (done)
		done(vss->done_data, result);
}

static int vss_request(struct ic_vss *vss, enum ic_vss_operation operation, uint64_t timeout_ns)
{
	const struct ic_vss_body body = { .operation = (uint8_t)operation };
	int r = ic_service_request(&vss->service, &body, sizeof(body));

	if (r < 0)
		return r;
	vss->operation = operation;
	ic_service_start_timer(&vss->service, timeout_ns);
	return 0;
}

/* The thaw that was asked for, by whomever, has had its answer, or will have none. */
static void vss_end_thaw(struct ic_vss *vss, int result)
{
	bool asked = vss->done;

	ic_service_stop_timer(&vss->service);
	vss->state = IC_VSS_RUNNING;
	if (asked)
		vss_tell(vss, result);
	else
		vss->callbacks->thawed(vss->data, result);
}

static void vss_begin_thaw(struct ic_vss *vss)
{
	vss->state = IC_VSS_THAWING;
	ic_service_forget_request(&vss->service);
	if (vss_request(vss, IC_VSS_THAW, vss->options.timeout_ns) < 0)
		vss_end_thaw(vss, IC_E_TIMEOUT);
}

/* The freeze has come to nothing, or nobody wants it any more. */
static void vss_end_freeze(struct ic_vss *vss, int result)
{
	ic_service_stop_timer(&vss->service);
	vss->state = IC_VSS_RUNNING;
	vss_tell(vss, result);
}

static void vss_freeze_answered(struct ic_vss *vss, uint32_t status)
{
	if (status != IC_STATUS_OK) {
		vss_end_freeze(vss, IC_E_REFUSED);
	} else if (!vss->done && vss->operation == IC_VSS_FREEZE) {
		vss_begin_thaw(vss);
	} else if (!vss->done) {
		vss_end_freeze(vss, IC_E_GONE);
	} else if (vss->operation == IC_VSS_HOT_BACKUP) {
		if (vss_request(vss, IC_VSS_FREEZE, vss->options.freeze_timeout_ns) < 0)
			vss_end_freeze(vss, IC_E_TIMEOUT);
	} else {
		vss->state = IC_VSS_FROZEN;
		ic_service_start_timer(&vss->service, vss->limit_ns);
		vss_tell(vss, 0);
	}
}

static void vss_answered(struct ic_service *service, uint32_t status, const void *body, size_t size)
{
	struct ic_vss *vss = vss_of(service);

	if (vss->state == IC_VSS_FREEZING)
		vss_freeze_answered(vss, status);
	else if (vss->state == IC_VSS_THAWING)
		vss_end_thaw(vss, status == IC_STATUS_OK ? 0 : IC_E_REFUSED);
}

/* Whoever asked for the freeze is told first: from there on, nobody waits for the thaw. */
static void vss_freeze_overdue(struct ic_vss *vss)
{
	bool may_freeze = vss->operation == IC_VSS_FREEZE;

	ic_service_forget_request(&vss->service);
	vss->state = may_freeze ? IC_VSS_THAWING : IC_VSS_RUNNING;
	vss_tell(vss, IC_E_TIMEOUT);
	if (may_freeze)
		vss_begin_thaw(vss);
}

static void vss_timer(struct ic_service *service)
{
	struct ic_vss *vss = vss_of(service);

	switch (vss->state) {
	case IC_VSS_RUNNING:
		break;
	case IC_VSS_FREEZING:
		vss_freeze_overdue(vss);
		break;
	case IC_VSS_FROZEN:
		vss_begin_thaw(vss);
		break;
	case IC_VSS_THAWING:
		ic_service_forget_request(service);
		vss_end_thaw(vss, IC_E_TIMEOUT);
		break;
	}
}

static void vss_connected(struct ic_service *service)
{
}

static void vss_disconnected(struct ic_service *service)
{
	struct ic_vss *vss = vss_of(service);
	bool frozen = vss->state == IC_VSS_FROZEN || (vss->state == IC_VSS_THAWING && !vss->done);

	vss->state = IC_VSS_RUNNING;
	vss_tell(vss, IC_E_GONE);
	if (frozen)
		vss->callbacks->thawed(vss->data, IC_E_GONE);
}

/* ---- State ---- */

struct vss_state {
	uint32_t state;     /* enum ic_vss_state */
	uint32_t operation; /* of the last request; 0, too: there was none */
};
_Static_assert(sizeof(struct vss_state) == 8, "stored format");

static void vss_save(const struct ic_service *service, void *ret_state)
{
	const struct ic_vss *vss = container_of(service, struct ic_vss, service);
	struct vss_state state = { .state = vss->state, .operation = vss->operation };

	memcpy(ret_state, &state, sizeof(state));
}

/* What is not running has its timer, and an answer is awaited but of a guest that is frozen. */
static bool vss_state_is_valid(const struct ic_service *service, const struct vss_state *state)
{
	bool waits = state->state == IC_VSS_FREEZING || state->state == IC_VSS_THAWING;

	if (state->state > IC_VSS_THAWING || state->operation > IC_VSS_AUTO_RECOVER)
		return false;
	if (!ic_service_is_connected(service))
		return state->state == IC_VSS_RUNNING;
	return service->waiting == waits &&
	       (state->state != IC_VSS_RUNNING) == (service->remaining != IC_SERVICE_NO_TIMER);
}

/*
 * Nobody here has asked for what is under way: a guest that was to be frozen is let go, and one that
 * is frozen stays so until its limit, or until somebody has it thawed.
 */
static int vss_restore(struct ic_service *service, const void *from)
{
	struct ic_vss *vss = vss_of(service);
	struct vss_state state;

	memcpy(&state, from, sizeof(state));
	if (!vss_state_is_valid(service, &state))
		return STATE_E_INVALID;
	vss->state = (enum ic_vss_state)state.state;
	vss->operation = (enum ic_vss_operation)state.operation;
	return 0;
}

static const struct ic_service_kind vss_kind = {
	.name = "backup service",
	.type = IC_VSS_TYPE,
	.instance = IC_VSS_INSTANCE,
	.message_type = IC_MESSAGE_VSS,
	.versions = vss_versions,
	.version_count = ARRAY_SIZE(vss_versions),
	.connected = vss_connected,
	.answered = vss_answered,
	.disconnected = vss_disconnected,
	.timer = vss_timer,
	.state_size = sizeof(struct vss_state),
	.save = vss_save,
	.restore = vss_restore,
};

int ic_vss_new(struct vmbus *bus, const struct ic_vss_options *options,
	       const struct ic_vss_callbacks *callbacks, void *data, struct ic_vss **ret_vss)
{
	struct ic_vss *vss = calloc(1, sizeof(*vss));
	int r;

	if (!vss)
		return -ENOMEM;
	vss->callbacks = callbacks;
	vss->data = data;
	if (options)
		vss->options = *options;
	if (!vss->options.freeze_timeout_ns)
		vss->options.freeze_timeout_ns = IC_VSS_FREEZE_TIMEOUT_NS;
	if (!vss->options.timeout_ns)
		vss->options.timeout_ns = IC_VSS_TIMEOUT_NS;
	r = ic_service_offer(&vss->service, &vss_kind, bus);
	if (r < 0) {
		free(vss);
		return r;
	}
	*ret_vss = vss;
	return 0;
}

void ic_vss_free(struct ic_vss *vss)
{
	if (!vss)
		return;
	ic_service_free(&vss->service);
	free(vss);
}

struct ic_service *ic_vss_service(struct ic_vss *vss)
{
	return &vss->service;
}

bool ic_vss_is_connected(const struct ic_vss *vss)
{
	return ic_service_is_connected(&vss->service);
}

enum ic_vss_state ic_vss_state(const struct ic_vss *vss)
{
	return vss->state;
}

const char *ic_vss_state_name(enum ic_vss_state state)
{
	static const char *const names[] = {
		[IC_VSS_RUNNING] = "running",
		[IC_VSS_FREEZING] = "freezing",
		[IC_VSS_FROZEN] = "frozen",
		[IC_VSS_THAWING] = "thawing",
	};

	return names[state];
}

int ic_vss_freeze(struct ic_vss *vss, uint64_t limit_ns, void (*done)(void *data, int result),
		  void *data)
{
	int r;

	if (!ic_service_is_connected(&vss->service))
		return -ENOTCONN;
	if (vss->state != IC_VSS_RUNNING)
		return -EALREADY;
	if (!ic_service_has_version(&vss->service, 5, 0))
		return -EOPNOTSUPP;
	r = vss_request(vss, IC_VSS_HOT_BACKUP, vss->options.timeout_ns);
	if (r < 0)
		return r;
	vss->state = IC_VSS_FREEZING;
	vss->limit_ns = limit_ns;
	vss->done = done;
	vss->done_data = data;
	return 0;
}

int ic_vss_thaw(struct ic_vss *vss, void (*done)(void *data, int result), void *data)
{
	int r;

	if (!ic_service_is_connected(&vss->service))
		return -ENOTCONN;
	if (vss->state != IC_VSS_FROZEN)
		return -EALREADY;
	r = vss_request(vss, IC_VSS_THAW, vss->options.timeout_ns);
	if (r < 0)
		return r;
	vss->state = IC_VSS_THAWING;
	vss->done = done;
	vss->done_data = data;
	return 0;
}

struct json_object *ic_vss_inspect(const struct ic_vss *vss)
{
	return ic_service_inspect(&vss->service);
}

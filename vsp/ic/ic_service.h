/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The framework of the integration services: pipe, negotiation, requests and their answers.
 *
 * A service embeds a struct ic_service and fills a const struct ic_service_kind. The framework
 * offers the channel, negotiates when it is opened, and matches answers to requests. One request
 * is under way at a time: Linux's services read one packet per interrupt.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/loop.h"
#include "common/wire/ic.h"
#include "vsp/ic/ic.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_BODY_MAX 13284 /* with both headers, what Hyper-V's own services send at most */

struct ic_service;

struct ic_service_kind {
	const char *name; /* for people */
	struct guid type, instance;
	uint16_t message_type;
	const struct ic_version *versions; /* of the service, oldest first */
	unsigned version_count;

	/* The guest agreed on a version: service->version. */
	void (*connected)(struct ic_service *service);

	/*
	 * The answer to the last request; body: guest data, a private copy, `size` bytes. A request
	 * may be sent from here.
	 */
	void (*answered)(struct ic_service *service, uint32_t status, const void *body,
			 size_t size);

	/* The guest closed the channel or left; the last request will not be answered. Follows
	 * `connected`. */
	void (*disconnected)(struct ic_service *service);

	/* ic_service_start_timer() has run out. */
	void (*timer)(struct ic_service *service);

	/*
	 * What it adds to the service's state: a plain struct of this size, at most 64 bytes. What all
	 * services have is restored before; restoring returns 0 or STATE_E_INVALID. Optional.
	 */
	size_t state_size;
	void (*save)(const struct ic_service *service, void *state);
	int (*restore)(struct ic_service *service, const void *state);
};

#define IC_SERVICE_NO_TIMER UINT64_MAX

enum ic_service_stage {
	IC_SERVICE_CLOSED,
	IC_SERVICE_NEGOTIATING,
	IC_SERVICE_CONNECTED,
	IC_SERVICE_REFUSED, /* no version in common, or the guest does not follow the protocol */
};

struct ic_service {
	const struct ic_service_kind *kind;
	struct vmbus *bus;
	struct vmbus_channel *channel;
	enum ic_service_stage state;
	struct ic_version framework_version, version; /* as agreed */
	bool waiting;                                 /* a request is under way */
	uint8_t transaction_id;                       /* of the last request */
	struct loop_timer timer;
	uint64_t due, armed_for; /* by loop_now(); due 0: the timer is not to call */
	bool timer_armed, closing;
	bool quiet;         /* the timer stands still */
	uint64_t remaining; /* ns, while it does; or IC_SERVICE_NO_TIMER */
	unsigned held;
};

/* Offers the service. Return: 0, -errno. */
int ic_service_offer(struct ic_service *service, const struct ic_service_kind *kind,
		     struct vmbus *bus) MUST_CHECK;

/* After vmbus_reset() is done: the embedding struct may be freed. */
void ic_service_free(struct ic_service *service);

static inline bool ic_service_is_connected(const struct ic_service *service)
{
	return service->state == IC_SERVICE_CONNECTED;
}

/* Whether the version agreed on is at least this one. */
bool ic_service_has_version(const struct ic_service *service, uint16_t major, uint16_t minor);

/*
 * Sends a request. Return: 0; -ENOTCONN; -EALREADY: the last is not answered; -EAGAIN: no room in
 * the ring.
 */
int ic_service_request(struct ic_service *service, const void *body, size_t size) MUST_CHECK;

/* Whether both versions are such as the service offers. */
bool ic_service_knows(const struct ic_service_kind *kind, struct ic_version framework,
		      struct ic_version version);

/* The last request's answer is not waited for any more; should it come, it is ignored. */
void ic_service_forget_request(struct ic_service *service);

/* Calls kind->timer once after delay_ns, if the channel is open then, instead of when it was to. */
void ic_service_start_timer(struct ic_service *service, uint64_t delay_ns);
void ic_service_stop_timer(struct ic_service *service);

/*
 * How far the guest has come, and on which versions it agreed. New reference; NULL without memory.
 */
struct json_object;
struct json_object *ic_service_inspect(const struct ic_service *service);

/*
 * For a service with an operation of its own on the loop: between the two the channel does not
 * finish closing, and so the service is not freed.
 */
void ic_service_hold(struct ic_service *service);
void ic_service_release(struct ic_service *service);

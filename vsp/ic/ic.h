/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The integration services: what a host asks of a guest's operating system. Here are shutdown and
 * heartbeat; time, key-value pairs, snapshots and file copy have headers of their own (vsp/ic/ic_*.h).
 *
 * Each service is one channel. It is offered from `new` to `free`, to every guest that comes;
 * between two guests, and while a guest has not answered yet or its driver is not loaded, the
 * service is not connected.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/wire/ic.h"
#include "vsp/ic/ic_file_copy.h"
#include "vsp/ic/ic_kvp.h"
#include "vsp/ic/ic_time.h"
#include "vsp/ic/ic_vss.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

/* What becomes of what a guest is asked. */
enum {
	_IC_E_OK,
	IC_E_REFUSED, /* the guest would not, or could not */
	IC_E_TIMEOUT, /* it did not answer in time */
	IC_E_GONE,    /* it closed the service, or was reset, before it answered */
	IC_E_ABSENT,  /* it has no such thing */
	IC_E_INVALID, /* its answer makes no sense */
};

/* ---- What all services have ---- */

struct ic_service;
struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two the service's time stands still. */
void ic_service_quiesce(struct ic_service *service);
void ic_service_resume(struct ic_service *service);

/*
 * The state of a service that is quiet, as a record of that name; and a service that was just made,
 * on a bus that was restored, becomes as that one was, and is quiet. Return: 0; STATE_E_ of
 * common/base/state.h.
 */
void ic_service_save(const struct ic_service *service, const char *name,
		     struct state_writer *writer);
int ic_service_restore(struct ic_service *service, const char *name,
		       const struct state_reader *reader) MUST_CHECK;

/* ---- Shutdown ---- */

struct ic_shutdown;

#define IC_SHUTDOWN_TIMEOUT_NS (30ull * 1000 * 1000 * 1000)

/* Borrows the bus. Return: 0, -errno. */
int ic_shutdown_new(struct vmbus *bus, struct ic_shutdown **ret_shutdown) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_shutdown_free(struct ic_shutdown *shutdown);
DEFINE_CLEANUP(struct ic_shutdown *, ic_shutdown_free)

struct ic_service *ic_shutdown_service(struct ic_shutdown *shutdown);

/* As ic_service_inspect(). */
struct json_object;
struct json_object *ic_shutdown_inspect(const struct ic_shutdown *shutdown);

enum ic_shutdown_action {
	IC_SHUTDOWN_ACTION_POWER_OFF,
	IC_SHUTDOWN_ACTION_REBOOT,
	IC_SHUTDOWN_ACTION_HIBERNATE,
};

/*
 * Asks the guest to shut down. `done` is called once, later: with 0 if the guest said it would (it
 * takes its time from there), or with an IC_E_. force: it need not ask its users.
 * Return: 0; -ENOTCONN: the service is not connected; -EALREADY: the last request is not answered;
 * -EOPNOTSUPP: the guest's version of the service has no such action; -EAGAIN: no room to ask.
 */
int ic_shutdown_request(struct ic_shutdown *shutdown, enum ic_shutdown_action action, bool force,
			void (*done)(void *data, int result), void *data) MUST_CHECK;

/* ---- Heartbeat ---- */

struct ic_heartbeat;

enum ic_heartbeat_status {
	IC_HEARTBEAT_UNKNOWN, /* not connected */
	IC_HEARTBEAT_OK,
	IC_HEARTBEAT_LOST, /* IC_HEARTBEAT_MISSED_MAX beats went unanswered */
};

#define IC_HEARTBEAT_INTERVAL_NS (2ull * 1000 * 1000 * 1000)
#define IC_HEARTBEAT_MISSED_MAX  5

struct ic_heartbeat_callbacks {
	/* Status or application state are not what they were. */
	void (*changed)(void *data, enum ic_heartbeat_status status,
			enum ic_application_state application);
};

/* Borrows bus and callbacks. interval_ns: 0: IC_HEARTBEAT_INTERVAL_NS. Return: 0, -errno. */
int ic_heartbeat_new(struct vmbus *bus, uint64_t interval_ns,
		     const struct ic_heartbeat_callbacks *callbacks, void *data,
		     struct ic_heartbeat **ret_heartbeat) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_heartbeat_free(struct ic_heartbeat *heartbeat);
DEFINE_CLEANUP(struct ic_heartbeat *, ic_heartbeat_free)

struct ic_service *ic_heartbeat_service(struct ic_heartbeat *heartbeat);

/* As ic_service_inspect(). */
struct json_object *ic_heartbeat_inspect(const struct ic_heartbeat *heartbeat);

enum ic_heartbeat_status ic_heartbeat_status(const struct ic_heartbeat *heartbeat);
const char *ic_heartbeat_status_name(enum ic_heartbeat_status status); /* "ok", "lost", "unknown" */

/* While the vps do not run by our own doing, no beat is missed. */
void ic_heartbeat_pause(struct ic_heartbeat *heartbeat);
void ic_heartbeat_resume(struct ic_heartbeat *heartbeat);

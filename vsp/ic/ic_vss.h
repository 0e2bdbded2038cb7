/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The volume snapshot service: has the guest freeze its file systems for a backup, and thaws them.
 *
 * A guest does not stay frozen for ever: when the limit that came with the freeze has run out, it
 * is thawed, whoever asked for the freeze. A guest that did not answer is told to thaw, too, as it
 * may freeze yet.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct ic_vss;

enum ic_vss_state {
	IC_VSS_RUNNING,
	IC_VSS_FREEZING,
	IC_VSS_FROZEN,
	IC_VSS_THAWING,
};

/* For the answers to freeze, and to all others. A guest writes all it has before it is frozen. */
#define IC_VSS_FREEZE_TIMEOUT_NS (120ull * 1000 * 1000 * 1000)
#define IC_VSS_TIMEOUT_NS        (40ull * 1000 * 1000 * 1000)

struct ic_vss_options {
	uint64_t freeze_timeout_ns, timeout_ns; /* 0: as above */
};

struct ic_vss_callbacks {
	/*
	 * The guest is not frozen any more, and nobody asked for that. result: 0: it was thawed, as
	 * its limit had run out; IC_E_GONE: it left; other IC_E_: it was told to thaw, and what it
	 * did is not known.
	 */
	void (*thawed)(void *data, int result);
};

/* Borrows bus and callbacks; options may be NULL. Return: 0, -errno. */
int ic_vss_new(struct vmbus *bus, const struct ic_vss_options *options,
	       const struct ic_vss_callbacks *callbacks, void *data,
	       struct ic_vss **ret_vss) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_vss_free(struct ic_vss *vss);
DEFINE_CLEANUP(struct ic_vss *, ic_vss_free)

/* For what all services have, vsp/ic/ic.h. */
struct ic_service;
struct ic_service *ic_vss_service(struct ic_vss *vss);

/* As ic_service_inspect(). */
struct json_object;
struct json_object *ic_vss_inspect(const struct ic_vss *vss);

bool ic_vss_is_connected(const struct ic_vss *vss);
enum ic_vss_state ic_vss_state(const struct ic_vss *vss);
const char *ic_vss_state_name(enum ic_vss_state state); /* "running", "freezing", … */

/*
 * Asks whether the guest can be backed up while it runs, and freezes it. `done` is called once,
 * later: with 0 when it is frozen, from when on limit_ns count; or with an IC_E_: it is not, or
 * will be thawed. Return: 0; -ENOTCONN: the service is not connected; -EALREADY: it is not
 * running; -EOPNOTSUPP: the guest's version of the service has no freeze; -EAGAIN: no room to ask.
 */
int ic_vss_freeze(struct ic_vss *vss, uint64_t limit_ns, void (*done)(void *data, int result),
		  void *data) MUST_CHECK;

/*
 * Thaws a frozen guest. `done` is called once, later, with 0 or an IC_E_. Return: 0; -ENOTCONN;
 * -EALREADY: it is not frozen; -EAGAIN: no room to ask, and the limit stands.
 */
int ic_vss_thaw(struct ic_vss *vss, void (*done)(void *data, int result), void *data) MUST_CHECK;

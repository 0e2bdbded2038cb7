/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The services that ask little: heartbeat, shutdown, time, snapshots.
 *
 * Each says in its struct what the host has asked for; what is to be done about it, and when, is up
 * to the program. Source: Linux drivers/hv/hv_util.c, drivers/hv/hv_snapshot.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ic.h"
#include "common/wire/ic_time.h"
#include "common/wire/ic_vss.h"
#include "guest-vsc/ic_client.h"

#include <stdbool.h>
#include <stdint.h>

extern const struct ic_client_kind ic_heartbeat_client_kind, ic_shutdown_client_kind,
	ic_time_client_kind, ic_vss_client_kind;

struct ic_heartbeat_client {
	struct ic_client ic;
	enum ic_application_state application; /* what is answered; the program's */
	uint64_t sequence;                     /* of the last beat */
};

enum ic_shutdown_client_action {
	IC_SHUTDOWN_CLIENT_NONE,
	IC_SHUTDOWN_CLIENT_POWER_OFF,
	IC_SHUTDOWN_CLIENT_RESTART,
};

/* The answer is sent before ic_client_poll() returns; then the program is to do it. */
struct ic_shutdown_client {
	struct ic_client ic;
	enum ic_shutdown_client_action asked;
	bool force;
};

/* Times of day as IC_TIME_UNIX_EPOCH says. */
struct ic_time_client {
	struct ic_client ic;
	uint64_t host_time, reference_time; /* what the host said last, both of one moment */
	uint64_t syncs, samples;            /* how many of each have come */
	uint64_t deviation; /* the most that a message was off from the one before */
};

/* The time of day; 0: the host has told none yet. */
uint64_t ic_time_client_now(const struct ic_time_client *time);

/* While frozen, the program changes nothing on its disks. */
struct ic_vss_client {
	struct ic_client ic;
	bool frozen;
	bool restless; /* the program's: to be frozen is refused */
	uint64_t freezes, thaws;
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The integration services that a machine's guest is offered beside shutdown and heartbeat, as the
 * definition has them: time, key-value pairs, snapshots, file copy and Hyper-V sockets.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vsp/ic/ic.h"
#include "vsp/socket/sockets.h"
#include "vsp/vmbus/vmbus.h"

struct guest_services_callbacks {
	/* As ic_kvp_callbacks. */
	void (*guest)(void *data, const struct ic_kvp_guest *guest);
	void (*guest_refreshed)(void *data);

	/* As ic_vss_callbacks.thawed; reason: "limit", "gone" or "unknown". */
	void (*thawed)(void *data, const char *reason);

	/* As sockets_callbacks.connect. */
	void (*socket)(void *data, uint32_t request, uint32_t port);
};

struct guest_services {
	const struct guest_services_callbacks *callbacks;
	void *data;
	/* NULL: not offered. */
	struct ic_time *time;
	struct ic_kvp *kvp;
	struct ic_vss *vss;
	struct ic_file_copy *file_copy;
	struct sockets *sockets;
	struct socket_listener *listener;
};

/* bus and callbacks are borrowed. Return: 0, -errno. */
int guest_services_new(struct vmbus *bus, const struct definition *definition,
		       const struct guest_services_callbacks *callbacks, void *data,
		       struct guest_services **ret_services) MUST_CHECK;

/*
 * The host reaches ports of the guest through this listening socket, which is taken over, on
 * failure too; without Hyper-V sockets it is closed. The loop has something to wait for from here
 * on. -1: there is none. Return: 0, -errno.
 */
int guest_services_listen(struct guest_services *services, struct loop *loop, int fd) MUST_CHECK;

/* The machine has stopped. */
void guest_services_free(struct guest_services *services);
DEFINE_CLEANUP(struct guest_services *, guest_services_free)

/* The vps stop, and run again, by our own doing. */
void guest_services_pause(struct guest_services *services);
void guest_services_resume(struct guest_services *services);

/* Which are connected, and whether the guest is frozen. New reference; NULL without memory. */
struct json_object *guest_services_status(const struct guest_services *services);

/* Those that are offered, by name, as ic_service_inspect() has them. Likewise. */
struct json_object *guest_services_inspect(const struct guest_services *services);

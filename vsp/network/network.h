/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic network adapters for a guest.
 *
 * An adapter is one offer on the bus, with as many sub-channels as the guest asks for, one channel
 * per vp unless told otherwise. It is connected to one network at a time,
 *vsp/network/net_backend.h, or to none: then the guest sees no link.
 *
 *	network_adapter_new(bus, &options, &adapter);
 *	net_tap_new(loop, fds, fd_count, &backend);
 *	network_adapter_connect(adapter, backend);
 *
 * At tear-down: vmbus_reset(), network_adapter_disconnect() and its `done`; network_adapter_free();
 * vmbus_free(). Where the loop is not to run any more, network_adapter_free() does without.
 *
 * Thread: the loop's. The callbacks may call anything here but network_adapter_free().
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "vsp/network/net_backend.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct network_adapter;

#define NETWORK_MAC_SIZE 6
#define NETWORK_NAME_MAX 63 /* bytes of ASCII */

struct network_options {
	struct guid instance; /* which the guest sees */
	uint8_t mac[NETWORK_MAC_SIZE];
	const char *name;     /* which the guest sees; copied, and cut if it is too long */
	unsigned channel_max; /* from 1 to NET_QUEUE_MAX */
	unsigned mtu;         /* that the guest begins with; it may choose another */
	bool mac_changeable;  /* by the guest */

	/* The network has ended by itself; the adapter is disconnected now. Optional. */
	void (*ended)(void *data);
	void *data;
};

struct network_counters {
	uint64_t sent_frames, sent_bytes, sent_dropped;
	uint64_t received_frames, received_bytes, received_dropped;
	uint64_t refused; /* malformed messages and packets */
	unsigned channels;
	unsigned lent;    /* slots of the receive buffer that the guest has not given back */
	unsigned sending; /* packets from the guest that are under way */
};

/* Offers an adapter without a link. Return: 0; -ENOSPC; -ENOMEM; -errno. */
int network_adapter_new(struct vmbus *bus, const struct network_options *options,
			struct network_adapter **ret_adapter) MUST_CHECK;

/* Only after vmbus_reset() is done; frees the network, too. Accepts NULL. */
void network_adapter_free(struct network_adapter *adapter);
DEFINE_CLEANUP(struct network_adapter *, network_adapter_free)

/* Takes over the back end, in place of the one there is. The guest sees the link come up. */
void network_adapter_connect(struct network_adapter *adapter, struct net_backend *backend);

/* The guest sees the link go down, and the back end is closed. */
void network_adapter_disconnect(struct network_adapter *adapter);

/*
 * Takes the adapter from the guest, which has timeout_ns to let go of it, and takes an 80th part
 * of that at least. done(data), which may be NULL, is called when all of it has ended and the
 * adapter is freed, perhaps before this returns.
 */
void network_adapter_remove(struct network_adapter *adapter, uint64_t timeout_ns,
			    void (*done)(void *data), void *data);

/* "tap", "socket", "null"; "none" without a link. */
const char *network_adapter_backend(const struct network_adapter *adapter);

/* The one it was made with; and the one that the guest uses now, which may be its own choice. */
const uint8_t *network_adapter_mac(const struct network_adapter *adapter);
const uint8_t *network_adapter_current_mac(const struct network_adapter *adapter);

void network_adapter_counters(const struct network_adapter *adapter,
			      struct network_counters *ret_counters);

/* The adapter as it is now, as JSON. New reference; NULL without memory. */
struct json_object;
struct json_object *network_adapter_inspect(const struct network_adapter *adapter);

/* ---- State ---- */

struct guid network_adapter_instance(const struct network_adapter *adapter);

struct state_reader;
struct state_writer;

/* The vps have stopped: done(data) when the network has given back all it has. And they run again. */
void network_adapter_quiesce(struct network_adapter *adapter, void (*done)(void *data), void *data);
void network_adapter_resume(struct network_adapter *adapter);

/*
 * The state of an adapter that is quiet, as a record of that name; and one that was just made with
 * the same options, on a bus that was restored, becomes as that one was, and is quiet; its guest is
 * told of the link when it goes on, which makes it announce itself. One that cannot be restored is
 * only to be freed, after vmbus_reset(). Return: 0; STATE_E_ of common/base/state.h; -errno; -EBUSY:
 * it is being removed.
 */
int network_adapter_save(const struct network_adapter *adapter, const char *name,
			 struct state_writer *writer) MUST_CHECK;
int network_adapter_restore(struct network_adapter *adapter, const char *name,
			    const struct state_reader *reader) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMBus host: offers channels to a guest, and carries packets over their rings.
 *
 * A bus serves one guest. A VSP offers channels on it, and is told when the guest opens, signals
 * and closes them. Channel messages, GPADLs and rings are the bus's business; a VSP sees packets.
 * Protocol versions 2.4 to 5.3. Sources: TLFS 11; Linux include/linux/hyperv.h, drivers/hv.
 *
 * Thread: everything here belongs to the loop's thread, and so do all callbacks.
 *
 * Errors: negative errno is a host fault. What a guest can cause is a VMBUS_E_ code.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/gpa.h"
#include "common/base/guid.h"
#include "common/base/loop.h"
#include "common/wire/ring.h"
#include "common/wire/vmbus.h"
#include "vsp/vmbus/device_channels.h"
#include "vsp/vmbus/host.h"
#include "vsp/vmbus/vmbus_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct vmbus;
struct vmbus_channel;

enum {
	_VMBUS_E_OK,
	VMBUS_E_EMPTY,   /* no packet to receive */
	VMBUS_E_FULL,    /* no room in the ring: `writable` will be called */
	VMBUS_E_CORRUPT, /* the guest broke the ring: the channel takes and gives no more packets */
	VMBUS_E_INVALID, /* a range of the packet is not guest RAM; a packet too big for the ring */
};

#define VMBUS_CHANNEL_MAX    2047  /* relids 1 to 2047 */
#define VMBUS_PACKET_MAX     16384 /* bytes of payload that a packet may carry to us */
#define VMBUS_RANGE_PAGE_MAX 2049  /* pages of a packet's GPA-direct ranges: 8 MiB, an offset */
#define VMBUS_TRANSFER_MAX   375   /* ranges of a transfer-page packet that guests are ready for */

/* ---- The bus ---- */

struct vmbus_callbacks {
	/* The guest connected with this protocol version (major << 16 | minor), or 0: it left. */
	void (*connected)(void *data, uint32_t version);
};

/* host and callbacks are borrowed. */
int vmbus_new(struct loop *loop, const struct vsp_host *host,
	      const struct vmbus_callbacks *callbacks, void *data,
	      struct vmbus **ret_bus) MUST_CHECK;

/* Every channel must have been freed, and the loop must not run again: it is free to be freed. */
void vmbus_free(struct vmbus *bus);
DEFINE_CLEANUP(struct vmbus *, vmbus_free)

/* A message of type 1 that the guest posted on connection id 1 or 4. payload: a private copy. */
void vmbus_receive_message(struct vmbus *bus, uint32_t connection_id, const void *payload,
			   size_t size);

/* The VMBus slot of a vp may be free: what waits is sent. */
void vmbus_slot_free(struct vmbus *bus, uint32_t vp);

/*
 * The guest is gone (machine reset or stop; its vps do not run): closes every channel, forgets
 * GPADLs and the connection, and calls done once no VSP holds guest memory any more, perhaps
 * before returning. The offers stay, for the guest that comes next. Not again before `done`.
 */
void vmbus_reset(struct vmbus *bus, void (*done)(void *data), void *data);

/* ---- Quiet, and state ---- */

/*
 * The vps have stopped. From now on, and until vmbus_resume(), nothing is taken from the rings:
 * vmbus_channel_receive() finds them empty. Devices may still send what ends their work, which the
 * guest is told of at once. done(data) is called when no channel is closing any more, perhaps
 * before returning; then all that was read or written is published.
 */
void vmbus_quiesce(struct vmbus *bus, void (*done)(void *data), void *data);

/* Every open ring is looked at, as a doorbell may have been lost. */
void vmbus_resume(struct vmbus *bus);

/*
 * The connection, channels, GPADLs and waiting messages of a bus that is quiet, as the record
 * "vmbus". Ring indices are in the guest's memory, as far as the guest knows them.
 * Return: 0; -EBUSY: a channel is closing, or was withdrawn and is still open.
 */
struct state_reader;
struct state_writer;
int vmbus_save(const struct vmbus *bus, struct state_writer *writer) MUST_CHECK;

/*
 * Makes a bus like that, on which no guest has been; it is quiet. Channels that are offered already
 * are found again by type, instance and index, and keep their devices; sub-channels and the like
 * are offered by their devices afterwards, and are then open if they were. `open` is called for
 * none: what the device made of it is in the device's own record. On failure the bus is to be reset.
 * Return: 0; STATE_E_ of common/base/state.h; -errno.
 */
int vmbus_restore(struct vmbus *bus, const struct state_reader *reader) MUST_CHECK;

/*
 * All devices have been restored. Sockets end: the guest is asked to let go of them. Return: 0;
 * STATE_E_INVALID: a channel has no device here, and ret_type and ret_instance say which.
 */
int vmbus_restored(struct vmbus *bus, struct guid *ret_type, struct guid *ret_instance) MUST_CHECK;

/* ---- Waiting for packets ---- */

/*
 * From now on the loop watches rings for some microseconds before it sleeps, where that has paid:
 * guests then answer without a doorbell, and sooner. For hosts with a CPU to spare for it.
 */
void vmbus_busy_poll(struct vmbus *bus);

/*
 * From now on a guest that rings goes on for some microseconds before the loop looks at its ring,
 * where that has paid: it then sends several packets by one doorbell, and gets one interrupt for
 * all. For hosts that have a single CPU for guest and loop.
 */
void vmbus_moderate(struct vmbus *bus);

/* The protocol version that the guest which is connected speaks; 0: none is. */
uint32_t vmbus_version(const struct vmbus *bus);

/*
 * The connection as it is now, and an array of the channels of relids from `first` on, at most
 * `count`, as JSON. Rings are the guest's memory: of their indices as it shows them nothing is
 * believed. *ret_next: where the rest begins; 0: this was all. New reference; NULL without memory.
 */
struct json_object;
struct json_object *vmbus_inspect(const struct vmbus *bus);
struct json_object *vmbus_inspect_channels(const struct vmbus *bus, uint32_t first, unsigned count,
					   uint32_t *ret_next);

/*
 * The same of the lists of pages that the guest has laid open, from the one that `first` counts to.
 */
struct json_object *vmbus_inspect_gpadls(const struct vmbus *bus, uint32_t first, unsigned count,
					 uint32_t *ret_next);

const struct vsp_host *vmbus_host(const struct vmbus *bus);
struct loop *vmbus_loop(const struct vmbus *bus);

/* ---- Offers ---- */

/* What a VSP does; one const table per VSP. All required but where it says optional. */
struct vmbus_channel_ops {
	/*
	 * The guest opened the channel; rings are mapped and packets may flow. user_data: what the
	 * guest passed along, VMBUS_USER_DATA_SIZE bytes. Return: 0, or -errno to refuse.
	 */
	int (*open)(void *device, struct vmbus_channel *channel, const uint8_t *user_data);

	/*
	 * The guest closed the channel, left or crashed. No packet can be received or sent any
	 * more. The device ends what it has under way and calls vmbus_channel_closed(), perhaps at
	 * once; until then guest memory stays mapped, the channel does not open again, and the
	 * guest's GPADL teardown is not answered.
	 */
	void (*close)(void *device, struct vmbus_channel *channel);

	/*
	 * There may be packets: receive until VMBUS_E_EMPTY. A device that cannot take more may
	 * stop before, and receives again when it can; it is not called for the packets it left.
	 */
	void (*readable)(void *device, struct vmbus_channel *channel);

	/* There is room again after VMBUS_E_FULL. Optional for devices that never fill a ring. */
	void (*writable)(void *device, struct vmbus_channel *channel);

	/*
	 * After vmbus_channel_rescind() or vmbus_channel_withdraw(), perhaps before they return:
	 * the bus has forgotten the device, and `channel` is no longer valid.
	 */
	void (*released)(void *device, struct vmbus_channel *channel);
};

#define VMBUS_CHANNEL_NAME_SIZE 64

struct vmbus_offer {
	struct guid type, instance;
	uint16_t flags; /* VMBUS_OFFER_ of common/wire/vmbus.h */
	uint16_t mmio_megabytes;
	uint16_t sub_channel_index;
	uint8_t user_defined[VMBUS_USER_DATA_SIZE];
	char name[VMBUS_CHANNEL_NAME_SIZE]; /* for people; the guest does not see it */
};

/*
 * Offers a channel, to the guest that is connected and to every later one. `device` is the first
 * argument of the operations. Return: 0; -ENOSPC (2047 are offered already); -errno.
 */
int vmbus_channel_offer(struct vmbus *bus, const struct vmbus_offer *offer,
			const struct vmbus_channel_ops *ops, void *device,
			struct vmbus_channel **ret_channel) MUST_CHECK;

/*
 * Takes an offer back: the guest is told, the channel is closed, and `released` is called when the
 * device is done with it. What the guest never gives back is the relid alone.
 */
void vmbus_channel_rescind(struct vmbus_channel *channel);

/*
 * Likewise, but an open channel stays open, and packets flow, until the guest closes it or goes:
 * there are drivers that let go of their device when all that they have sent is answered.
 * vmbus_channel_rescind() ends the wait for a guest that does not.
 */
void vmbus_channel_withdraw(struct vmbus_channel *channel);

/* At tear-down, after vmbus_reset() is done: frees an offer without a guest. Accepts NULL. */
void vmbus_channel_free(struct vmbus_channel *channel);

/* The device has ended everything after `close`. */
void vmbus_channel_closed(struct vmbus_channel *channel);

bool vmbus_channel_is_open(const struct vmbus_channel *channel);
uint32_t vmbus_channel_relid(const struct vmbus_channel *channel);

/* ---- Connections that the guest asks for ---- */

struct vmbus_connect_handler {
	/*
	 * The guest asks for a channel of this type (a service of the host's) and instance.
	 * Return: whether an offer or vmbus_refuse_connect() will answer it; else it is refused.
	 */
	bool (*requested)(void *data, const struct guid *service, const struct guid *endpoint);

	/* The guest is gone, and what it has asked for is not wanted any more. */
	void (*left)(void *data);
};

/* One at a time, borrowed; without one the guest is refused. NULL: none from now on. */
void vmbus_set_connect_handler(struct vmbus *bus, const struct vmbus_connect_handler *handler,
			       void *data);

/* To be said once, of a request of the guest that is connected. */
void vmbus_refuse_connect(struct vmbus *bus, const struct guid *service,
			  const struct guid *endpoint);

/* ---- Packets ---- */

/* A packet, copied out of the ring into memory of the channel that the next receive overwrites. */
struct vmbus_packet {
	uint16_t type; /* RING_PACKET_ of common/wire/ring.h */
	bool completion_requested;
	uint64_t transaction_id;
	const uint8_t *payload; /* size bytes, 8-aligned */
	uint32_t size;
	/* GPA-direct packets: ranges of guest memory, for vmbus_packet_map(). */
	uint32_t range_count;  /* 0: none */
	uint32_t range_size;   /* bytes in all ranges together */
	uint32_t page_count;   /* pages that they touch */
	const uint8_t *ranges; /* as struct ring_gpa_range; checked */
};

/* Return: 0; VMBUS_E_EMPTY; VMBUS_E_CORRUPT. */
int vmbus_channel_receive(struct vmbus_channel *channel,
			  struct vmbus_packet *ret_packet) MUST_CHECK;

/* A piece of guest memory. */
struct vmbus_extent {
	gpa_t gpa;
	uint32_t size;
};

/*
 * Turns the packet's ranges, one after the other, into host addresses, merging neighbours, and
 * tells which extent each is, unless `extents` is NULL. Both arrays hold `iov_max`; page_count are
 * always enough. Return: 0; VMBUS_E_INVALID.
 */
int vmbus_packet_map(struct vmbus_channel *channel, const struct vmbus_packet *packet,
		     struct iovec *iov, struct vmbus_extent *extents, unsigned iov_max,
		     unsigned *ret_iov_count) MUST_CHECK;

/*
 * Sends a packet; the interrupt, if the guest wants one, goes out once per iteration of the loop.
 * Return: 0; VMBUS_E_FULL; VMBUS_E_CORRUPT (also when not open); VMBUS_E_INVALID.
 */
int vmbus_channel_send(struct vmbus_channel *channel, uint16_t type, bool completion_requested,
		       uint64_t transaction_id, const void *payload, size_t size) MUST_CHECK;

/*
 * Sends a transfer-page packet, which asks for a completion: ranges, at most VMBUS_TRANSFER_MAX of
 * them, of memory that both ends know as set_id. Return: as vmbus_channel_send().
 */
int vmbus_channel_send_ranges(struct vmbus_channel *channel, uint16_t set_id,
			      const struct ring_transfer_range *ranges, unsigned range_count,
			      uint64_t transaction_id, const void *payload, size_t size) MUST_CHECK;

/* A completion packet for a received one. Return: as vmbus_channel_send(). */
int vmbus_channel_complete(struct vmbus_channel *channel, uint64_t transaction_id,
			   const void *payload, size_t size) MUST_CHECK;

/*
 * Likewise, where the guest is not likely to wait for it: it sees the completion when it looks, but
 * is interrupted for it only with others, after a bounded number of them, or when it does not go on
 * by itself. held: bytes that it keeps until then.
 */
int vmbus_channel_complete_without_interrupt(struct vmbus_channel *channel, uint64_t transaction_id,
					     const void *payload, size_t size,
					     size_t held) MUST_CHECK;

/* Counters, since the offer was made. signals_awaited: spared the guest by vmbus_busy_poll(). */
struct vmbus_channel_counters {
	uint64_t packets_in, packets_out, signals_in, signals_out, signals_spared, signals_awaited,
		ring_full, corrupt;
};
void vmbus_channel_counters(const struct vmbus_channel *channel,
			    struct vmbus_channel_counters *ret_counters);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside a network adapter: what its files share.
 *
 *   network.c         the adapter as the worker sees it
 *   netvsp.c          channels, messages, and the negotiation
 *   netvsp_receive.c  the receive buffer, its slots, and the network's buffers in it
 *   netvsp_arrival.c  frames to the guest
 *   netvsp_control.c  control messages to the guest
 *   netvsp_send.c     the send buffer, and packets and frames from the guest
 *   netvsp_state.c    its state as a record
 *   rndis*.c          what the messages and frames are wrapped in
 *
 * An adapter's state, as a copy of the VM would need it, is plain data:
 *
 * As it is: options; state, version, frame_size, capabilities; struct rndis, whole; the GPADL ids
 * of both buffers, receive_id, slot_size, and whose each slot is; fragment_id; which channels there
 * are, by index and relid, and which are open; `pending`, sub_channels_wanted, table_wanted.
 *
 * After net_backend_withdraw(), by which the network gives back what it has: of packets under way,
 * completions without room, each a transaction id and an answer; control messages that wait, as
 * bytes; packets that are gathered, as slots.
 *
 * Found again: the mappings of both buffers, from their GPADLs; the hash's table, from the key;
 * free lists and iovecs, from what is not in use; the back end, which its owner opens. An adapter
 * that is being removed is waited for.
 */
#pragma once

#include "common/base/list.h"
#include "common/wire/nvsp.h"
#include "common/wire/ring.h"
#include "vsp/network/net_backend.h"
#include "vsp/network/net_offload.h"
#include "vsp/network/network.h"
#include "vsp/network/rndis.h"
#include "vsp/vmbus/vmbus.h"

#define NETVSP_MTU_MIN     68
#define NETVSP_MTU_MAX     9216
#define NETVSP_MTU_DEFAULT 1500

/* ---- To the guest ---- */

#define NETVSP_RECEIVE_BUFFER_MAX (64u << 20) /* bytes */
#define NETVSP_SLOT_MAX           65536       /* slots in use, however many would fit */
#define NETVSP_FRAGMENT_MAX       9           /* of the largest frame */
#define NETVSP_BUFFER_MAX         256         /* that are given to the network at once */
#define NETVSP_BATCH_MAX          128         /* ranges of one packet to the guest */
#define NETVSP_SLOT_RESERVE       8  /* slots kept for control messages; a quarter, if few */
#define NETVSP_SLOT_LARGE         64 /* slots, at least, for large frames to make sense */
#define NETVSP_CONTROL_MAX        32 /* control messages that wait for the guest */
#define NETVSP_SLOT_NONE          UINT32_MAX

/* Whose a slot of the receive buffer is. */
enum netvsp_slot_state {
	NETVSP_SLOT_FREE,
	NETVSP_SLOT_HELD,  /* ours: to be filled, or waiting to be told of */
	NETVSP_SLOT_FIRST, /* the guest's: the first of a packet, whose transaction id it is */
	NETVSP_SLOT_LENT,  /* the guest's: another one of that packet */
};

struct netvsp_slot {
	uint32_t next; /* of the free ones, or of the packet */
	uint8_t state; /* enum netvsp_slot_state */
	uint8_t channel;
};

/* Room for a frame, in slots of the receive buffer. */
struct netvsp_buffer {
	struct net_buffer buffer;
	struct network_adapter *adapter;
	struct list link; /* of free ones */
	unsigned slot_count;
	uint32_t slots[NETVSP_FRAGMENT_MAX];
	struct iovec iov[1 + NETVSP_FRAGMENT_MAX * 5];
};

/* A packet to the guest in the making. */
struct netvsp_batch {
	uint32_t first, last; /* slots; NETVSP_SLOT_NONE: it is empty */
	unsigned range_count;
	struct ring_transfer_range ranges[NETVSP_BATCH_MAX];
};

/* What the guest is to be told as soon as there is a control message for it. */
#define NETVSP_PENDING_LINK     0x1u
#define NETVSP_PENDING_OFFLOADS 0x2u

struct netvsp_control {
	struct list link; /* waiting, or free */
	size_t size;
	uint8_t bytes[RNDIS_CONTROL_MAX] __attribute__((aligned(8)));
};

/* ---- From the guest ---- */

#define NETVSP_SEND_BUFFER_MAX (64u << 20) /* bytes */
#define NETVSP_SECTION_SIZE    6144        /* of the send buffer; Hyper-V's */
#define NETVSP_PACKET_MAX      256         /* packets under way in one adapter */
#define NETVSP_FRAME_MAX       512         /* frames under way in one adapter */
#define NETVSP_MESSAGE_MAX     16          /* frames of one packet */
#define NETVSP_PAGE_MAX        64          /* guest pages of one packet */
#define NETVSP_STREAM_MAX      (NETVSP_PAGE_MAX + 3)

/* A packet from the guest, until it is completed. */
struct netvsp_packet {
	struct list link; /* of free ones, or of those that wait for room in the ring */
	struct netvsp_channel *channel;
	uint64_t transaction_id;
	bool completion_requested;
	unsigned frames_left; /* not sent yet */
	bool datagrams;       /* and nothing else */
	uint32_t size;        /* bytes of its frames */
	uint32_t answer_size; /* 0: the completion has no message */
	struct nvsp_message answer;
};

struct netvsp_frame {
	struct net_frame frame;
	struct list link; /* of free ones */
	struct network_adapter *adapter;
	struct netvsp_packet *packet;
	uint32_t size; /* bytes, without a tag put in */
	struct net_head head;
	struct iovec iov[2 + NETVSP_STREAM_MAX];
};
_Static_assert(1 + NETVSP_STREAM_MAX <= NET_FRAME_PIECES, "what back ends are ready for");

/* ---- The adapter ---- */

struct netvsp_channel {
	struct device_channel base;
	struct network_adapter *adapter;
	bool open;
	struct netvsp_batch batch;
	bool blocked; /* the batch found no room */
};
_Static_assert(offsetof(struct netvsp_channel, base) == 0, "the device of its operations");

/* How far the guest has come on the primary channel. Bits, so that a handler can accept several. */
enum netvsp_state {
	NETVSP_CLOSED = 0x1,
	NETVSP_OPENED = 0x2,
	NETVSP_VERSIONED = 0x4,
};

struct network_adapter {
	struct vmbus *bus;
	struct loop *loop;
	struct network_options options;
	struct loop_deferred iteration;

	enum netvsp_state state;
	uint32_t version;      /* NVSP_VERSION_ */
	uint32_t frame_size;   /* of the guest's MTU, see netvsp_frame_max() */
	uint64_t capabilities; /* NVSP_CAPABILITY_ of the guest */
	struct rndis rndis;

	struct netvsp_channel *primary; /* NULL once it was taken away */
	struct netvsp_channel *by_index[NET_QUEUE_MAX];
	struct device_channels channels;
	unsigned sub_channels_wanted;
	bool table_wanted; /* the guest is to be told how to spread what it sends */

	/* The network. */
	struct net_backend *backend; /* NULL: no link */
	unsigned closing_backends;
	bool network_ended; /* the owner is to be told */

	/* The receive buffer. */
	struct vmbus_buffer *receive_buffer;
	bool receive_revoked;
	uint16_t receive_id; /* the guest's name for it */
	uint32_t slot_size, slot_count;
	struct netvsp_slot *slots;
	uint32_t free_slot; /* the first; NETVSP_SLOT_NONE */
	uint32_t free_count, lent_count;
	unsigned fragments; /* that a frame may take */
	bool withdrawing;   /* buffers are on their way back */
	struct netvsp_buffer *buffers;
	struct list free_buffers;
	unsigned fresh_buffer; /* those from here on were never used */
	unsigned buffers_out;
	unsigned queue_out[NET_QUEUE_MAX]; /* buffers that each queue has */
	uint16_t fragment_id;
	struct net_toeplitz *toeplitz; /* of the guest's key */
	struct netvsp_control controls[NETVSP_CONTROL_MAX];
	struct list control_free, control_waiting;
	unsigned pending; /* NETVSP_PENDING_ */

	/* The send buffer. */
	struct vmbus_buffer *send_buffer;
	bool send_revoked;
	struct netvsp_packet packets[NETVSP_PACKET_MAX];
	struct netvsp_frame *frames; /* NETVSP_FRAME_MAX */
	struct list free_packets, free_frames;
	unsigned fresh_frame; /* those from here on were never used */
	unsigned frame_count; /* under way */

	/* The end. */
	bool removing;
	uint64_t timeout_ns; /* with a guest that does not let go */
	struct loop_timer removal_timer;
	bool removal_timer_runs;
	unsigned looks_left; /* whether it is quiet; 0: it has been told */
	uint64_t packets_seen;
	void (*removed)(void *data);
	void *removed_data;

	/* Quiet, and state. */
	bool quiet;    /* nothing is begun */
	bool still;    /* and nothing is under way */
	bool restored; /* the guest is to be told of the link when it goes on */
	void (*quiet_done)(void *data);
	void *quiet_data;
};

/* ---- network.c ---- */

/* Frees the adapter that is being removed, if all of it has ended. */
void netvsp_end_removal(struct network_adapter *adapter);

/* ---- netvsp.c ---- */

int netvsp_channel_new(struct network_adapter *adapter, unsigned index,
		       struct netvsp_channel **ret_channel) MUST_CHECK;

/* Takes their offers from the guest: by vmbus_channel_withdraw(), or vmbus_channel_rescind(). */
void netvsp_take_back_sub_channels(struct network_adapter *adapter,
				   void (*take_back)(struct vmbus_channel *channel));

/* What is left to do after this iteration's callbacks. */
void netvsp_iteration(struct loop_deferred *deferred);

static inline void netvsp_defer(struct network_adapter *adapter)
{
	loop_defer(adapter->loop, &adapter->iteration);
}

/* Bytes of a message in the version negotiated. */
size_t netvsp_message_size(const struct network_adapter *adapter);

/* ---- netvsp_receive.c ---- */

/* Return: 0, -ENOMEM. */
int netvsp_receive_init(struct network_adapter *adapter) MUST_CHECK;
void netvsp_receive_free(struct network_adapter *adapter);

/* The guest's receive buffer. Return: NVSP_STATUS_. */
uint32_t netvsp_receive_start(struct network_adapter *adapter, uint32_t gpadl);

/* Gives the network what buffers there are slots for. */
void netvsp_receive_post(struct network_adapter *adapter);

/* The buffers come back; those that were given with other settings are replaced. */
void netvsp_receive_withdraw(struct network_adapter *adapter);

/* Lets go of a buffer that was revoked, once the network has. Return: whether it is gone. */
bool netvsp_receive_settle(struct network_adapter *adapter);

/* The guest has completed a packet. */
void netvsp_receive_returned(struct netvsp_channel *channel, uint64_t transaction_id);

/* Tells the guest of the frames gathered. */
void netvsp_receive_flush(struct netvsp_channel *channel);

/* What the guest's settings came to. */
void netvsp_receive_configure(struct network_adapter *adapter);

/* Tells the network what the guest can take. */
void netvsp_apply_offloads(struct network_adapter *adapter);

/* Whether frames may lie in several slots. */
static inline bool netvsp_takes_large_frames(const struct network_adapter *adapter)
{
	return adapter->rndis.rsc_ipv4 && adapter->rndis.rsc_ipv6 &&
	       adapter->slot_count >= NETVSP_SLOT_LARGE;
}

/*
 * Bytes of the largest frame that the guest is given, with a tag. Linux 3.10 and FreeBSD 10 tell
 * their MTU where later ones tell the size with the Ethernet header; none minds 14 bytes more.
 */
static inline uint32_t netvsp_frame_max(const struct network_adapter *adapter)
{
	return adapter->frame_size + NET_ETHERNET_SIZE + NET_VLAN_SIZE;
}

/* Bytes of a frame that a slot holds. */
static inline uint32_t netvsp_slot_room(const struct network_adapter *adapter)
{
	return adapter->slot_size - RNDIS_ENVELOPE_MAX;
}

/* There must be a free one. */
uint32_t netvsp_slot_take(struct network_adapter *adapter);
void netvsp_slot_put(struct network_adapter *adapter, uint32_t slot);

/*
 * Lends the slots that are linked from `first` on, in one packet. Return: 0; VMBUS_E_FULL: later;
 * another VMBUS_E_: never.
 */
int netvsp_receive_lend(struct netvsp_channel *channel, uint32_t rndis_channel,
			const struct ring_transfer_range *ranges, unsigned count,
			uint32_t first) MUST_CHECK;

/* `size` bytes of the frame in the buffer, from `offset` on, have been written. */
void netvsp_receive_mark(const struct netvsp_buffer *buffer, uint32_t offset, uint32_t size);

/* ---- netvsp_arrival.c ---- */

/* A frame of `size` bytes has come into a buffer. Return: how many of its slots are taken. */
unsigned netvsp_arrival_deliver(struct netvsp_buffer *buffer, uint32_t size);

/* ---- netvsp_control.c ---- */

/* The link has gone up or down: the guest is told, if it listens. */
void netvsp_link_changed(struct network_adapter *adapter);

/* The guest is told which offloads are in use. */
void netvsp_indicate_offloads(struct network_adapter *adapter);

/* A control message for the guest, filled by the caller; NULL: too many are waiting. */
struct netvsp_control *netvsp_control_take(struct network_adapter *adapter);
void netvsp_control_send(struct network_adapter *adapter, struct netvsp_control *control);
void netvsp_control_free(struct network_adapter *adapter, struct netvsp_control *control);
void netvsp_control_flush(struct network_adapter *adapter);

/* ---- netvsp_state.c ---- */

/* Tells who waits for that that the adapter is quiet, if it is. */
void netvsp_state_settle(struct network_adapter *adapter);

/* ---- netvsp_send.c ---- */

/* Return: 0, -ENOMEM. */
int netvsp_send_init(struct network_adapter *adapter) MUST_CHECK;
void netvsp_send_free(struct network_adapter *adapter);

uint32_t netvsp_send_start(struct network_adapter *adapter, uint32_t gpadl);
bool netvsp_send_settle(struct network_adapter *adapter);

/* Whether another packet can be taken, with all the frames it may have. */
bool netvsp_send_has_room(const struct network_adapter *adapter);

/*
 * A packet from the guest, in parts: it is completed, with its answer, when each has been put. The
 * first part is the caller's. There must be room.
 */
struct netvsp_packet *netvsp_packet_take(struct netvsp_channel *channel,
					 const struct vmbus_packet *vmbus_packet);
void netvsp_packet_put(struct netvsp_packet *packet);

/* SEND_RNDIS_PACKET. */
void netvsp_send_packet(struct netvsp_channel *channel, const struct vmbus_packet *vmbus_packet,
			const struct nvsp_message *message);

extern const struct device_channels_ops netvsp_answer_ops; /* completions */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake guest's network driver: sets an adapter up as Linux does, sends and receives frames; and
 * a network for the other side of the adapter, which keeps what was sent and hands out what comes.
 */
#pragma once

#include "common/wire/nvsp.h"
#include "common/wire/rndis.h"
#include "tests/fake/fake.h"
#include "vsp/network/net_backend.h"

#define NETVSC_RECEIVE_PAGES 512 /* 2 MiB */
#define NETVSC_SEND_PAGES    24  /* 16 sections */
#define NETVSC_CHANNEL_MAX   8
#define NETVSC_RING_PAGES    17
#define NETVSC_RANGE_MAX     375

/* ---- The guest ---- */

struct netvsc {
	struct fake *fake;
	struct fake_channel channels[NETVSC_CHANNEL_MAX];
	unsigned channel_count;
	uint32_t version;
	size_t message_size;
	uint64_t receive_pfns[NETVSC_RECEIVE_PAGES], send_pfns[NETVSC_SEND_PAGES], page_pfns[32];
	uint32_t receive_gpadl, send_gpadl;
	uint32_t receive_pages; /* 0: all of them */
	uint32_t slot_size, slot_count, section_size;
	uint32_t next_request;
	bool keep; /* do not complete what was received */
	bool lax;  /* the buffer may have changed meanwhile: its bounds alone are looked at */

	/* The packet last received in a transfer-page packet. */
	uint64_t transaction_id;
	unsigned channel, range_count;
	struct ring_transfer_range ranges[NETVSC_RANGE_MAX];
	struct nvsp_message message; /* the last message, of any packet */
	uint64_t message_id;
	uint32_t payload_size; /* of the last packet */
	uint8_t reply[1024];   /* the last RNDIS control message */
	size_t reply_size;
	unsigned tables;      /* indirection tables received */
	uint8_t offload[256]; /* the offloads in use, as last told */
	unsigned offloads;    /* how often that was */
};

extern const struct guid netvsc_type;

/* Opens the primary channel. */
bool netvsc_open(struct netvsc *netvsc, struct fake *fake);

/* Sends a message and waits for its completion. Return: whether one came, into ->message. */
bool netvsc_call(struct netvsc *netvsc, const struct nvsp_message *message);
/* … or does not ask for one. */
bool netvsc_tell(struct netvsc *netvsc, const struct nvsp_message *message);

bool netvsc_init(struct netvsc *netvsc, uint32_t version);
bool netvsc_configure(struct netvsc *netvsc, uint32_t mtu, uint64_t capabilities);
bool netvsc_give_buffers(struct netvsc *netvsc);

/* A control message, and its answer into ->reply. Return: whether one came. */
bool netvsc_control(struct netvsc *netvsc, const void *message, size_t size);
bool netvsc_initialize(struct netvsc *netvsc);
/* Return: the status; *ret_size bytes of the value are in `value`. */
uint32_t netvsc_query(struct netvsc *netvsc, uint32_t oid, void *value, size_t *size);
uint32_t netvsc_set(struct netvsc *netvsc, uint32_t oid, const void *value, size_t size);

/* All of it, up to the packet filter. rsc: large frames are taken. */
bool netvsc_start(struct netvsc *netvsc, struct fake *fake, uint32_t version, bool rsc);

/* Asks for sub-channels and opens them. Return: how many channels there are now. */
unsigned netvsc_open_sub_channels(struct netvsc *netvsc, unsigned count);

/* Toeplitz over the key of Microsoft's examples, entry i of the table being i % channels. */
uint32_t netvsc_enable_rss(struct netvsc *netvsc, unsigned channels);

/* Writes an RNDIS packet with one value of per-packet information (size 0: none). Return: bytes. */
size_t netvsc_wrap(uint8_t *out, const void *frame, size_t size, uint32_t info_type,
		   const uint32_t *info);

/* Sends RNDIS messages, through the send buffer or from pages of their own. */
bool netvsc_send_section(struct netvsc *netvsc, unsigned channel, uint64_t id, uint32_t section,
			 const void *bytes, size_t size);
bool netvsc_send_pages(struct netvsc *netvsc, unsigned channel, uint64_t id, const void *bytes,
		       size_t size);
/* Waits for the completion of a sent packet. Return: its status; 0: none came. */
uint32_t netvsc_await_sent(struct netvsc *netvsc, unsigned channel, uint64_t id);

/* Takes whatever packet has come on a channel. Return: its type; 0: none. */
uint16_t netvsc_poll(struct netvsc *netvsc, unsigned channel);
/* Waits for a transfer-page packet on a channel. */
bool netvsc_receive(struct netvsc *netvsc, unsigned channel);
void netvsc_complete(struct netvsc *netvsc, unsigned channel, uint64_t id);

/* Byte `offset` of the receive buffer. */
uint8_t *netvsc_received(struct netvsc *netvsc, uint32_t offset);

/* The data of range `index`. Return: its size. */
uint32_t netvsc_data(struct netvsc *netvsc, unsigned index, uint8_t **ret_data);

/* The value of per-packet information of range `index`. */
bool netvsc_info(struct netvsc *netvsc, unsigned index, uint32_t type, uint32_t *ret_value);

/* ---- The network ---- */

#define FAKE_NETWORK_FRAMES 64

struct fake_network {
	struct net_backend backend;
	struct list buffers[NET_QUEUE_MAX], held;
	unsigned buffer_count[NET_QUEUE_MAX];
	bool hold; /* sent frames stay under way, and are looked at when they are let go */
	bool slow; /* what is withdrawn stays until fake_network_return() */
	bool withdrawn;
	unsigned sent_count;
	const uint8_t *ram; /* the guest's, to tell what of a frame lies elsewhere; or NULL */
	size_t ram_size;
	struct fake_network_frame {
		const struct net_frame *frame; /* while it is held */
		struct virtio_net_hdr header;
		unsigned queue;
		uint32_t size;
		uint32_t own; /* bytes that do not lie in the guest's memory */
		uint8_t *bytes;
	} sent[FAKE_NETWORK_FRAMES]; /* the last ones: number n is at n % FAKE_NETWORK_FRAMES */
	unsigned offloads;
	bool *freed; /* set when the network goes */
};

struct fake_network *fake_network_new(unsigned queue_count);

/* The frame sent last. */
const struct fake_network_frame *fake_network_last(const struct fake_network *network);
void fake_network_release(struct fake_network *network); /* what was held */
void fake_network_return(struct fake_network *network);  /* what was withdrawn */

/* A frame comes. Return: whether there was a buffer. */
bool fake_network_deliver(struct fake_network *network, unsigned queue,
			  const struct virtio_net_hdr *header, const void *frame, size_t size);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the VMBus host: the structs that its files share.
 *
 *   bus.c      the connection: contact, offers, unload, reset
 *   message.c  the table of messages from the guest, and their handlers
 *   outbox.c   messages to the guest
 *   gpadl.c    GPA descriptor lists
 *   channel.c  offers, opening and closing, rescinding
 *   packet.c   packets over an open channel, doorbells and interrupts
 *   bus_state.c  the bus as records, and made anew from them
 *
 * A channel message is refused, answered with a failure or ignored where it is read; nothing a
 * guest sends can make these functions fail otherwise.
 */
#pragma once

#include "common/base/list.h"
#include "common/wire/ring.h"
#include "common/wire/vmbus.h"
#include "vsp/vmbus/backoff.h"
#include "vsp/vmbus/gpadl.h"
#include "vsp/vmbus/outbox.h"
#include "vsp/vmbus/vmbus.h"

/* ---- The bus ---- */

enum bus_state {
	BUS_DISCONNECTED,
	BUS_CONNECTED,
	BUS_LEAVING, /* channels are closing; bus->next says what comes then */
};

/* What to do when every channel is closed. A machine reset overrides what a guest asked for. */
enum bus_next {
	BUS_NEXT_NOTHING,
	BUS_NEXT_CONTACT,
	BUS_NEXT_UNLOAD,
	BUS_NEXT_RESET,
};

/* Channels that are waited for, of which all are looked at when the timer has run out. */
struct moderation_wait {
	struct loop_timer timer;
	bool runs;
	struct list channels; /* they are masked */
};

/* Waiting for packets: vsp/vmbus/moderation.c. */
struct moderation {
	bool on;
	struct moderation_wait first, following;
	uint64_t iteration_ns; /* from a doorbell for one packet to its flush, or 0 */
};

struct vmbus {
	struct loop *loop;
	const struct vsp_host *host;
	const struct vmbus_callbacks *callbacks;
	void *data;
	const struct vmbus_connect_handler *connect_handler; /* or NULL */
	void *connect_data;

	enum bus_state state;
	uint32_t version; /* while connected */
	uint32_t target_vp;
	uint32_t connection_id; /* on which the guest posts */
	bool offers_requested;

	enum bus_next next;
	uint32_t next_version, next_target_vp; /* of BUS_NEXT_CONTACT */
	void (*reset_done)(void *data);
	void *reset_data;

	bool quiet;                   /* vmbus_quiesce(): nothing is taken from the rings */
	void (*quiesced)(void *data); /* to be called when no channel is closing */
	void *quiesced_data;
	struct loop_deferred quiescing;

	struct outbox outbox;
	struct gpadl_table gpadls;
	struct vmbus_channel *channels[VMBUS_CHANNEL_MAX + 1]; /* by relid; 0 is unused */
	unsigned closing_count;                                /* channels in CHANNEL_CLOSING */
	struct list doorbells;

	bool busy_polls;
	struct loop_idle idle;
	struct list busy_polled; /* channels whose rings are watched */
	struct backoff busy_poll_backoff;
	struct moderation moderation;
};

/* Sends what waits in the outbox, as far as the guest takes it. */
void bus_send(struct vmbus *bus);

/* Sends a reply for which there is a reservation. */
void bus_reply(struct vmbus *bus, const void *message, size_t size);

/* The guest asks for this protocol version, or leaves. */
bool bus_knows_version(uint32_t version);
void bus_contact(struct vmbus *bus, uint32_t version, uint32_t target_vp, bool acceptable);
void bus_request_offers(struct vmbus *bus);
void bus_unload(struct vmbus *bus);

/* A channel has closed: whoever waits for the last one goes on. */
void bus_channel_closed(struct vmbus *bus);

/* ---- Channels ---- */

enum channel_state {
	CHANNEL_CLOSED,
	CHANNEL_OPEN,
	CHANNEL_CLOSING, /* the device ends what it has under way */
};

/*
 * The eventfd behind a connection id, and the loop's poll of it. It outlives its channel until the
 * loop lets go of the operation.
 */
struct doorbell {
	struct loop_operation operation;
	struct list link; /* in bus->doorbells */
	struct loop *loop;
	int event_fd;
	struct vmbus_channel *channel; /* NULL: no longer wanted */
};

struct vmbus_channel {
	struct vmbus *bus;
	struct vmbus_offer offer;
	const struct vmbus_channel_ops *ops; /* NULL once released: only the relid is left */
	void *device;
	uint32_t relid, connection_id;

	/* What the guest knows. */
	bool offered;          /* it was sent the offer */
	bool rescinded;        /* we took the offer back */
	bool unclaimed;        /* restored, and no device has offered it again yet */
	struct list announced; /* in the outbox: an offer or its rescission is to be sent */

	enum channel_state state;
	uint32_t target_vp;
	struct gpadl *gpadl;      /* of the rings */
	uint8_t **pages;          /* of the rings, guest's sending ring first */
	struct ring in, out;      /* from and to the guest */
	uint32_t downstream_page; /* index in pages where `out` begins */
	void *buffer;             /* the packet last received */
	uint32_t buffer_size;
	struct doorbell *doorbell; /* kept from the first open on */

	/* Packets of this iteration of the loop. */
	struct loop_deferred flush;
	unsigned budget;              /* packets that may still be received in this iteration */
	uint32_t completions_pending; /* completions that the guest asked for and has not got */
	bool masked;                  /* the guest need not signal */
	bool broken;                  /* the guest broke a ring */
	bool kick;                    /* look again next iteration */
	bool interrupt;               /* the guest is to be interrupted at the flush */
	bool urgent;      /* what was sent in this iteration is not to wait for others */
	bool pending;     /* the guest sleeps on what was sent */
	uint32_t blocked; /* bytes a sender waits for, or 0 */
	uint32_t marked;  /* up to where out's data is known to dirty tracking */

	struct list busy_poll; /* in bus->busy_polled; such a channel is masked */
	struct backoff busy_poll_backoff;
	struct list moderated; /* in a moderation_wait; such a channel is masked */
	bool followed;         /* by moderation_follow() */
	unsigned idle_looks;   /* in a row, that found nothing while it was */
	struct backoff moderation_backoff, following_backoff;
	unsigned quiet_count; /* completions since the last interrupt that can wait */
	size_t quiet_size;    /* bytes that the guest keeps for them */
	uint64_t iteration_begun,
		iteration_first_packet; /* of an iteration that is measured, or 0 */

	struct vmbus_channel_counters counters;
};

/* Whether both offer the same channel of the same device. */
static inline bool vmbus_offer_is_same(const struct vmbus_offer *a, const struct vmbus_offer *b)
{
	return a->sub_channel_index == b->sub_channel_index && guid_equal(&a->type, &b->type) &&
	       guid_equal(&a->instance, &b->instance);
}

struct vmbus_channel *channel_find(struct vmbus *bus, uint32_t relid);

/* Return: a VMBUS_STATUS_. */
uint32_t channel_open(struct vmbus_channel *channel,
		      const struct vmbus_message_open_channel *message);
uint32_t channel_modify(struct vmbus_channel *channel, uint32_t target_vp);

/* The guest closed the channel, gave back the relid, or has gone altogether. */
void channel_close(struct vmbus_channel *channel);
void channel_guest_released(struct vmbus_channel *channel);
void channel_guest_gone(struct vmbus_channel *channel);

/* It has, or is to have, another one than it was given; and the connection id that goes with it. */
void channel_set_relid(struct vmbus_channel *channel, uint32_t relid);

/*
 * Maps the rings of a channel that is open, and connects its doorbell, without a word to the guest.
 * Return: 0; VMBUS_E_INVALID; -errno.
 */
struct channel_rings {
	uint32_t gpadl, downstream_page, target_vp;
	uint32_t in_position, out_position;
};
int channel_restore(struct vmbus_channel *channel, const struct channel_rings *rings) MUST_CHECK;

/* No device has claimed it: the guest is to let go of it. */
void channel_abandon(struct vmbus_channel *channel);

/* Frees a list that is to go and has no users left, and says so if the guest waits for it. */
void channel_settle_gpadl(struct vmbus *bus, struct gpadl *gpadl);

/* ---- Busy polling ---- */

void busy_poll_init(struct vmbus *bus);

/* The guest was sent something, and may answer soon. */
void busy_poll_begin(struct vmbus_channel *channel);

/* ---- Moderation ---- */

void moderation_init(struct vmbus *bus);

/* The guest rang. Return: whether it will be looked after later. */
bool moderation_begin(struct vmbus_channel *channel);

/* The iteration is over. */
void moderation_end(struct vmbus_channel *channel);

/* The guest sleeps on completions that can wait. Return: whether it will be told of them later. */
bool moderation_follow(struct vmbus_channel *channel);

/* It is told of something at once, and may answer. */
void moderation_unfollow(struct vmbus_channel *channel);

/* ---- Packets ---- */

int doorbell_new(struct vmbus_channel *channel, struct doorbell **ret_doorbell) MUST_CHECK;

/* The channel goes; the doorbell follows when the loop lets go of it. */
void doorbell_detach(struct doorbell *doorbell);

/* The loop will not run again. */
void doorbell_free(struct doorbell *doorbell);

void packet_init(struct vmbus_channel *channel);

/*
 * The guest need not signal, and has to again. packet_unmask() leaves the ring masked, and returns
 * true, if there are packets that the guest may not announce.
 */
void packet_mask(struct vmbus_channel *channel);
bool packet_unmask(struct vmbus_channel *channel) MUST_CHECK;

/* The guest signalled, or there is reason to look: hands packets to the device. */
void packet_look(struct vmbus_channel *channel);

/* The rings are mapped, and from packet_stop() on not touched any more. */
void packet_start(struct vmbus_channel *channel);
void packet_stop(struct vmbus_channel *channel);

/* The bus falls quiet: what was read and written is published; and it is not any more. */
void packet_quiesce(struct vmbus_channel *channel);
void packet_resume(struct vmbus_channel *channel);

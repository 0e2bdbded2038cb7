/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest without a virtual machine: RAM from malloc, the hypervisor's part of it (message slots,
 * event flags, connections), and a VMBus client that does by calls what guest drivers do.
 *
 * The host under test and the guest share one thread. Host code runs inside fake_run() and what
 * calls it; between two calls the guest is alone, and may do to its memory what it likes. A wait
 * that lasts longer than FAKE_TIMEOUT_NS ends, and says so by what it returns; to see that nothing
 * comes, fake_settle(). A fault of the fake itself (out of guest memory, say) aborts.
 *
 * The host must mark what it writes to guest memory, after it has written it and before it tells
 * the guest. That is checked at each interrupt, at each message and at the end of each iteration;
 * where it has not, the fake aborts (write_watch.h).
 *
 * Typical:
 *	fake = fake_new(2, 4 << 20);
 *	vsp_offer(fake->bus, …);
 *	fake_connect(fake, VMBUS_VERSION_5_3);
 *	fake_request_offers(fake);
 *	offer = fake_find_offer(fake, &type, NULL, 0);
 *	fake_open(fake, offer, 8, 8, 0, &channel);
 *	fake_send(&channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1, &request, …);
 *	fake_receive(&channel, &packet);
 *	…
 *	fake_stop(fake);
 *	free the devices
 *	fake_free(fake);
 */
#pragma once

#include "common/base/gpa.h"
#include "common/base/loop.h"
#include "common/wire/ring.h"
#include "common/wire/vmbus.h"
#include "vsp/vmbus/host.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_TIMEOUT_NS     (60ull * 1000 * 1000 * 1000)
#define FAKE_VP_MAX         64
#define FAKE_CONNECTION_MAX 2048
#define FAKE_RING_PAGE_MAX  256

struct fake_message {
	size_t size;
	uint8_t bytes[VMBUS_MESSAGE_MAX];
} __attribute__((aligned(8)));

struct fake {
	struct loop *loop;
	struct vsp_host host; /* with `fake` behind it */
	struct vmbus *bus;    /* of this host; freed by fake_free() */

	/* Guest RAM, from GPA 0 on. */
	uint8_t *ram; /* the guest's mapping: the host has one of its own */
	int ram_fd;
	uint64_t ram_size, ram_used;
	gpa_t seam; /* not 0: RAM is mapped up to here, and from here on, but not across */
	gpa_t hole; /* hole_size bytes at `hole` are no RAM */
	uint64_t hole_size;
	bool *written;                /* per page: the host said it wrote there */
	bool scatter;                 /* leave a gap after every page allocated */
	int add_error;                /* not 0: what `add` returns, which else takes the hole */
	int discard_error;            /* not 0: what `discard` returns */
	uint64_t discards, discarded; /* calls of it; bytes that went back to the host */

	/* Pages that the host has written, and not marked before the guest heard of it. */
	struct write_watch *watch; /* NULL: this machine's kernel cannot tell */
	bool expect_unmarked;      /* count them; else they are the end of the test */
	uint64_t unmarked;         /* the last of them */
	unsigned unmarked_count;

	/* SynIC. */
	struct fake_message slots[FAKE_VP_MAX]; /* size 0: free */
	bool hold_slots;                        /* fake_run() leaves messages in their slots */
	bool deaf[FAKE_VP_MAX];                 /* the vp takes no messages: VSP_HOST_E_NOT_READY */
	uint8_t events[FAKE_VP_MAX][2048 / 8];  /* event flags */
	unsigned interrupts;                    /* event flags set that were clear */
	struct fake_connection {
		uint32_t id;
		int event_fd;
	} connections[FAKE_CONNECTION_MAX];
	unsigned connection_count;
	int connection_error; /* not 0: what connection_add returns */
	uint64_t reference_time;

	/* The VMBus client. */
	uint32_t version, connection_id, target_vp;
	unsigned connected_count, left_count; /* calls of the bus's callback */
	uint32_t connected_version;           /* its last argument */
	struct fake_message *inbox;           /* messages taken from the slots, but no offers */
	size_t inbox_count;
	struct vmbus_message_offer_channel *offers; /* not rescinded since */
	size_t offer_count;
	uint32_t next_gpadl;
};

struct fake *fake_new(uint32_t vp_count, uint64_t ram_size);

/*
 * The vps stop: resets the bus, and waits until no device holds guest memory. The client forgets
 * everything, and may connect again; or the devices are freed.
 */
void fake_stop(struct fake *fake);

/*
 * The bus has been reset by other means. Also what fake_stop() ends with: no host has guest memory
 * mapped, which makes the looks at what it writes cheap again.
 */
void fake_was_reset(struct fake *fake);

/*
 * The guest moves to another machine, and does not notice: fake_leave() resets the bus behind its
 * back, as when a machine ends whose state was saved; its devices are then freed; fake_arrive()
 * makes a new bus, for new devices, which are restored.
 */
void fake_leave(struct fake *fake);
void fake_arrive(struct fake *fake);

/*
 * The bus in that: its record, the first of a writer that is made, when it has fallen quiet; taken
 * over on the other machine, with a reader for the records of the devices (Return: as
 * vmbus_restore()); and when those are restored, it goes on, before they do.
 */
struct state_reader;
struct state_writer;
void fake_save_bus(struct fake *fake, struct state_writer *writer);
int fake_restore_bus(struct fake *fake, const struct state_writer *writer,
		     struct state_reader *ret_reader);
void fake_go_on(struct fake *fake);

/* Frees the bus, the loop and RAM, after fake_stop(). */
void fake_free(struct fake *fake);

/* ---- Memory ---- */

/* Zeroed, page-aligned. pfns: NULL, or where the frame numbers go. Return: the first page. */
gpa_t fake_alloc(struct fake *fake, uint32_t page_count, uint64_t *pfns);
void *fake_memory(struct fake *fake, gpa_t gpa, uint64_t size);

/* Where the host has RAM mapped, fake->ram_size bytes of it. */
uint8_t *fake_host_memory(struct fake *fake);

/* ---- Running the host ---- */

/*
 * Aborts if the host has written to guest memory and not marked it: for tests that run the loop
 * themselves.
 */
void fake_check_marks(struct fake *fake);

/* One turn of the host's loop, without waiting; takes messages from the slots. */
void fake_run(struct fake *fake);

/*
 * Runs the host until `done` returns true, or the time-out ends. Return: what `done` returned last.
 */
bool fake_run_until(struct fake *fake, bool (*done)(void *data), void *data);

/* Runs the host until a few iterations have brought no message and no interrupt. */
void fake_settle(struct fake *fake);

/* Frees the slot of a vp, as EOM does. Return: whether there was a message, copied to *ret. */
bool fake_take_message(struct fake *fake, uint32_t vp, struct fake_message *ret_message);

/* Whether the host set the event flag; clears it. */
bool fake_take_event(struct fake *fake, uint32_t vp, uint32_t flag);

/*
 * For fuzzers, whose fake serves many inputs, while no channel is open: the last byte of the input
 * says whether this bus waits for packets as a worker's does (vmbus_busy_poll(), vmbus_moderate()). It is
 * read, not taken, so that no input means something else than before.
 */
void fake_choose_waits(struct fake *fake, const uint8_t *input, size_t size);

/* ---- Channel messages ---- */

void fake_post(struct fake *fake, const void *message, size_t size);

/* Waits for a message of a type, and takes it from the inbox. Return: false: none came. */
bool fake_await(struct fake *fake, uint32_t type, void *ret_message, size_t size);

/* Whether a message of a type is in the inbox, without waiting. */
bool fake_has_message(const struct fake *fake, uint32_t type);

/* Return: whether the host supports the version. */
bool fake_connect(struct fake *fake, uint32_t version);

/* Return: whether all offers were delivered. */
bool fake_request_offers(struct fake *fake);

/* instance: NULL: any. Waits for an offer if there is none yet. */
const struct vmbus_message_offer_channel *fake_find_offer(struct fake *fake,
							  const struct guid *type,
							  const struct guid *instance,
							  uint16_t sub_channel_index);

/* Whether there is one now; it waits for none. */
bool fake_has_offer(const struct fake *fake, const struct guid *type);

/* Return: whether the host answered. */
bool fake_unload(struct fake *fake);

/*
 * Describes pages to the host, in a header and as many bodies as it takes; byte_count 0: all of
 * the pages. Return: the status of the reply, or UINT32_MAX if there was none.
 */
uint32_t fake_gpadl_create(struct fake *fake, uint32_t relid, const uint64_t *pfns,
			   uint32_t page_count, uint32_t byte_count, uint32_t *ret_gpadl);

/* Posts the teardown. Return: whether the host answered. */
bool fake_gpadl_teardown(struct fake *fake, uint32_t relid, uint32_t gpadl);

/* ---- Channels ---- */

struct fake_channel {
	struct fake *fake;
	uint32_t relid, connection_id, gpadl, target_vp;
	uint64_t pfns[FAKE_RING_PAGE_MAX];
	uint8_t *pages[FAKE_RING_PAGE_MAX];
	uint32_t out_pages, page_count; /* of the guest's sending ring; of both */
	struct ring out, in;
	uint64_t buffer[4096 * 16 / sizeof(uint64_t)]; /* of fake_receive() */
};

/*
 * Opens a channel with rings of out_pages and in_pages (control page and data). Return: the status
 * of the first reply that was a failure, UINT32_MAX if there was none, or 0.
 */
uint32_t fake_open(struct fake *fake, const struct vmbus_message_offer_channel *offer,
		   uint32_t out_pages, uint32_t in_pages, uint32_t target_vp,
		   struct fake_channel *channel);

/* Only the message, with these rings laid out in *channel. Return: as fake_open(). */
uint32_t fake_open_rings(struct fake_channel *channel, uint32_t downstream_page,
			 const uint8_t user_data[VMBUS_USER_DATA_SIZE]);

/* Closes and tears down. Return: whether the teardown was answered. */
bool fake_close(struct fake_channel *channel);

/*
 * Writes a packet and signals the host as Linux does. Return: false: the ring is full.
 * fake_send_ranges: with GPA-direct ranges, described by `extension` as the wire has them.
 */
bool fake_send(struct fake_channel *channel, uint16_t type, uint16_t flags, uint64_t transaction_id,
	       const void *payload, uint32_t size);
bool fake_send_ranges(struct fake_channel *channel, uint16_t flags, uint64_t transaction_id,
		      const void *extension, uint32_t extension_size, const void *payload,
		      uint32_t size);

/* The usual: one range of `size` bytes at `offset` into the pages. */
bool fake_send_range(struct fake_channel *channel, uint16_t flags, uint64_t transaction_id,
		     const uint64_t *pfns, uint32_t offset, uint32_t range_size,
		     const void *payload, uint32_t size);

/* Stages a packet without telling the host, and tells it of all staged. */
bool fake_stage(struct fake_channel *channel, const struct ring_packet *packet);
void fake_publish(struct fake_channel *channel);

/* HvCallSignalEvent on the channel's connection id. */
void fake_signal(struct fake_channel *channel);

/*
 * Waits for a packet from the host, valid until the next. Return: false: none came, or the host
 * broke the ring (which aborts).
 */
bool fake_receive(struct fake_channel *channel, struct ring_packet *ret_packet);

/* As fake_receive(), without running the host. */
bool fake_receive_now(struct fake_channel *channel, struct ring_packet *ret_packet);

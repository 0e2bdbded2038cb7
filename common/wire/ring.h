/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMBus rings: their layout in guest memory, and how packets are written and read.
 *
 * A ring has one writer and one reader: the guest and the host, or the other way round. It is a
 * control page, then data pages; the pages are guest memory and may lie scattered. The same code
 * serves both ends of both rings of a channel; struct ring is one end's private view of one ring.
 *
 * The peer may be hostile. Of the shared memory an end reads only what the peer owns, copies it
 * before looking at it, and never reads back what it wrote itself. A ring the peer has broken is
 * RING_E_CORRUPT, for good: the caller gives it up.
 *
 * Writing and reading are staged: ring_write() and ring_read() move a private position, and
 * ring_publish_*() tell the peer of all of it at once, and say whether to interrupt the peer.
 *
 * Freestanding. Thread: one at a time per struct ring.
 * Source: Linux include/linux/hyperv.h (struct hv_ring_buffer, struct vmpacket_descriptor),
 * drivers/hv/ring_buffer.c.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define RING_PAGE_SIZE 4096u

/* ---- Layout ---- */

/* Indices are offsets into the data area, in bytes, multiples of 8. Equal: the ring is empty. */
struct ring_control {
	uint32_t write_index;       /* the writer's */
	uint32_t read_index;        /* the reader's */
	uint32_t interrupt_mask;    /* the reader's: not 0, do not interrupt me */
	uint32_t pending_send_size; /* the writer's: interrupt me when more than that is free */
	uint32_t reserved[12];
	uint32_t feature_bits; /* RING_FEATURE_ */
	uint8_t reserved2[RING_PAGE_SIZE - 68];
};
_Static_assert(sizeof(struct ring_control) == RING_PAGE_SIZE, "wire format");
_Static_assert(offsetof(struct ring_control, feature_bits) == 64, "wire format");

#define RING_FEATURE_PENDING_SEND_SIZE 1u

enum ring_packet_type {
	RING_PACKET_INBAND = 0x6,
	RING_PACKET_TRANSFER_PAGES = 0x7,
	RING_PACKET_GPADL = 0x8,
	RING_PACKET_GPA_DIRECT = 0x9,
	RING_PACKET_CANCEL = 0xa,
	RING_PACKET_COMPLETION = 0xb,
};

#define RING_FLAG_COMPLETION_REQUESTED 1u

/* A packet: the descriptor, an extension that depends on the type, the payload, a footer. */
struct ring_descriptor {
	uint16_t type;
	uint16_t offset8; /* of the payload, in units of 8 bytes */
	uint16_t length8; /* of the packet without its footer */
	uint16_t flags;   /* RING_FLAG_ */
	uint64_t transaction_id;
};
_Static_assert(sizeof(struct ring_descriptor) == 16, "wire format");

struct ring_footer {
	uint32_t reserved;
	uint32_t start; /* the index at which the packet begins */
};
_Static_assert(sizeof(struct ring_footer) == 8, "wire format");

/* Extension of RING_PACKET_GPA_DIRECT, followed by range_count struct ring_gpa_range. */
struct ring_gpa_direct {
	uint32_t reserved;
	uint32_t range_count;
};
_Static_assert(sizeof(struct ring_gpa_direct) == 8, "wire format");

struct ring_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset; /* into the first page */
	uint64_t pfns[];
};
_Static_assert(sizeof(struct ring_gpa_range) == 8, "wire format");

/* Extension of RING_PACKET_TRANSFER_PAGES, followed by range_count struct ring_transfer_range. */
struct ring_transfer_pages {
	uint16_t set_id; /* of the memory that the ranges lie in */
	uint8_t sender_owns_set;
	uint8_t reserved;
	uint32_t range_count;
};
_Static_assert(sizeof(struct ring_transfer_pages) == 8, "wire format");

struct ring_transfer_range {
	uint32_t byte_count;
	uint32_t byte_offset;
};
_Static_assert(sizeof(struct ring_transfer_range) == 8, "wire format");

/* ---- One end of a ring ---- */

enum {
	_RING_E_OK,
	RING_E_EMPTY,   /* nothing to read */
	RING_E_FULL,    /* no room to write */
	RING_E_TOO_BIG, /* the packet is, for this ring or for the buffer to read to */
	RING_E_CORRUPT, /* the peer broke the ring */
};

struct ring {
	struct ring_control *control;
	uint8_t *const *pages; /* the data area's pages, size / RING_PAGE_SIZE of them */
	uint8_t *flat;         /* the data area, if its pages follow each other here; or NULL */
	uint32_t size;         /* bytes of the data area */
	uint32_t position;     /* where this end writes or reads next */
	uint32_t published;    /* the value of position that the peer knows */
	uint32_t peer;         /* the peer's index when last looked at */
};

/* A packet to write, or one that was read. */
struct ring_packet {
	uint16_t type;
	uint16_t flags;
	uint64_t transaction_id;
	const void *extension;
	const void *payload;
	uint32_t extension_size; /* bytes, a multiple of 8 */
	uint32_t payload_size;   /* bytes; read ones are padded to a multiple of 8 */
};

/*
 * Sets up the writer's or the reader's end of a ring whose indices the guest has initialised,
 * announces flow control, and clears what an earlier owner of this end may have left: Linux reuses
 * rings without clearing them. pages[0] is the control page; pages is borrowed. page_count: 2 or
 * more. Return: 0; RING_E_CORRUPT: an index is not one.
 */
int ring_init_writer(struct ring *ring, uint8_t *const *pages, uint32_t page_count) MUST_CHECK;
int ring_init_reader(struct ring *ring, uint8_t *const *pages, uint32_t page_count) MUST_CHECK;

/*
 * The same end as it was at `position`, when all that it had done was published: nothing is written
 * to the ring. Return: 0; RING_E_CORRUPT: an index is not one.
 */
int ring_restore_writer(struct ring *ring, uint8_t *const *pages, uint32_t page_count,
			uint32_t position) MUST_CHECK;
int ring_restore_reader(struct ring *ring, uint8_t *const *pages, uint32_t page_count,
			uint32_t position) MUST_CHECK;

/* Bytes of the ring that a packet takes. */
static inline uint32_t ring_packet_size(uint32_t extension_size, uint32_t payload_size)
{
	return (uint32_t)sizeof(struct ring_descriptor) + extension_size +
	       ALIGN_UP(payload_size, 8u) + (uint32_t)sizeof(struct ring_footer);
}

/* ---- The writer ---- */

/* Stages a packet. Return: 0; RING_E_FULL; RING_E_TOO_BIG; RING_E_CORRUPT. */
int ring_write(struct ring *ring, const struct ring_packet *packet) MUST_CHECK;

/* Tells the reader of what was staged. Return: whether to interrupt it. */
bool ring_publish_written(struct ring *ring) MUST_CHECK;

/*
 * Asks the reader for an interrupt when a packet of `size` bytes (ring_packet_size()) fits. What is
 * staged must be published before the writer sleeps. Return: true if it fits already, and nothing
 * was asked for.
 */
bool ring_await_space(struct ring *ring, uint32_t size) MUST_CHECK;

/* Withdraws that request. */
void ring_forget_space(struct ring *ring);

/* Whether a packet of `size` bytes fits. */
bool ring_has_space(const struct ring *ring, uint32_t size) MUST_CHECK;

/* ---- The reader ---- */

/*
 * Copies the next packet into `buffer` (8-aligned), and describes it by pointers into there.
 * Return: 0; RING_E_EMPTY; RING_E_TOO_BIG; RING_E_CORRUPT. After an error nothing was consumed.
 */
int ring_read(struct ring *ring, void *buffer, uint32_t buffer_size,
	      struct ring_packet *ret_packet) MUST_CHECK;

/* Gives the writer the room of what was read. Return: whether to interrupt it. */
bool ring_publish_read(struct ring *ring) MUST_CHECK;

/* While masked, the writer need not interrupt. */
void ring_mask(struct ring *ring);

/* Publish first. Return: true if there are packets that the writer may not announce: read them. */
bool ring_unmask(struct ring *ring) MUST_CHECK;

bool ring_has_packets(const struct ring *ring) MUST_CHECK;

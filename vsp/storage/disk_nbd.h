/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a disk that a server has share:
 *
 *   disk_nbd.c      the disk, and one connection after the other
 *   nbd_transfer.c  requests and replies over one connection
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/wire/nbd.h"
#include "vsp/storage/disk.h"

#define NBD_SLOTS          64u
#define NBD_PIECE_SIZE     (1u << 20)
#define NBD_PIECE_VECTORS  500u /* of a piece's memory */
#define NBD_GATHER_VECTORS (NBD_PIECE_VECTORS + 1)

enum nbd_slot_state {
	NBD_SLOT_FREE,
	NBD_SLOT_QUEUED,
	NBD_SLOT_SENDING,
	NBD_SLOT_SENT,
};

struct nbd_slot {
	enum nbd_slot_state state;
	struct disk_request *request;
	struct list link; /* in `queued` or `sending` */
	struct nbd_request header;
	uint32_t piece;  /* bytes of the request that are under way */
	uint64_t covers; /* of a flush: `written` before it was sent */
};

struct disk_nbd {
	struct disk disk;
	struct loop *loop;
	int fd;
	uint32_t piece_size; /* bytes that one request to the server moves at most */
	struct disk_nbd_owner owner;
	bool waits; /* for another connection, when this one has ended */
	bool broken, freed;
	int next_fd; /* another connection, when the kernel has let go of this one; -1: none yet */
	bool read_only;

	/*
	 * Writes that the server has acknowledged, and how many of them a flush came after. The
	 * others may have been in the memory of a server that died.
	 */
	uint64_t written, flushed;

	bool completing; /* a request's owner is being told, and may free the disk */
	struct loop_deferred iteration;
	struct loop_timer timer; /* while the server may finish what was abandoned */
	bool timer_runs;
	struct list waiting; /* requests without a slot */
	struct nbd_slot slots[NBD_SLOTS];
	unsigned used; /* slots that are not free */

	struct loop_operation send;
	bool is_sending;
	struct list queued, sending; /* slots, oldest first */
	struct iovec gather[NBD_GATHER_VECTORS], *out;
	unsigned out_count;

	struct loop_operation receive;
	bool is_receiving;
	struct nbd_slot *replied; /* whose data are coming */
	uint32_t data_left;
	size_t header_size; /* bytes of `reply` that have come */
	struct nbd_reply reply;
	struct iovec vectors[NBD_GATHER_VECTORS], *in;
	unsigned in_count;
};

/* disk_nbd.c */

/* What is to be done next is looked at in the loop's next iteration. */
void nbd_defer(struct disk_nbd *nbd);

/* Ends the connection; why: as disk_nbd_owner.broken tells. What is under way is cancelled. */
void nbd_break(struct disk_nbd *nbd, const char *why);

/* Tells the owner of a request, who may free the disk. */
void nbd_complete(struct disk_nbd *nbd, struct disk_request *request, int result);

/* nbd_transfer.c */

static inline bool nbd_moves_data(const struct disk_request *request)
{
	return request->operation == DISK_READ || request->operation == DISK_WRITE;
}

/* How much of the request's memory goes into one piece: whole sectors; 0: not one. */
uint32_t nbd_measure(const struct disk_nbd *nbd, const struct disk_request *request);

/* The slot's request, or its next piece, is to be sent; and is at its end, the slot free. */
void nbd_slot_queue(struct disk_nbd *nbd, struct nbd_slot *slot);
void nbd_slot_complete(struct disk_nbd *nbd, struct nbd_slot *slot, int result);

/* Sends what is queued, if nothing is being sent. */
void nbd_send_queued(struct disk_nbd *nbd);

/* Receives on, or takes the reply whose head is there, if nothing is being received. */
void nbd_receive(struct disk_nbd *nbd);

/* A connection begins: the next that comes is the head of a reply. */
void nbd_transfer_begin(struct disk_nbd *nbd);

/* Of a disk that is made. */
void nbd_transfer_init(struct disk_nbd *nbd);

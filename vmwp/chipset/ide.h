/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One IDE channel with up to two disks or DVD drives: the registers, and the commands that a BIOS and
 * the drivers of boot loaders and old systems give.
 *
 * What takes the disk is a request, which the host carries out and answers by ide_complete(); until
 * then the channel is busy. By programmed I/O a request has at most IDE_BUFFER_SECTORS, and its data
 * pass through the channel's buffer. By DMA the host moves the data of the whole command between
 * disk and guest memory, where the bus master's table says. A drive's packets are carried out by the
 * host, by programmed I/O alone, and reads of many blocks in pieces that the buffer holds. Sources:
 * ATA-6 (T13/1410D), chapters 6 to 9; SFF-8038i for the bus master; SFF-8020i for packets.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define IDE_SECTOR         512u
#define IDE_BUFFER_SECTORS 16u /* of one DRQ block, too, by READ and WRITE MULTIPLE */
#define IDE_DEVICES        2u
#define IDE_SERIAL         20 /* bytes */

#define IDE_BUFFER_SIZE (IDE_BUFFER_SECTORS * IDE_SECTOR)
#define IDE_PACKET_SIZE 12u

enum ide_operation { IDE_NONE, IDE_READ, IDE_WRITE, IDE_FLUSH, IDE_PACKET };

/* What the host is to do. */
struct ide_request {
	enum ide_operation operation;
	unsigned device;
	uint64_t sector;
	uint32_t count;  /* sectors; 0 for a flush */
	bool dma;        /* else to or from the buffer */
	uint32_t table;  /* dma: the guest-physical address of the bus master's table */
	uint32_t serial; /* another request's is another, also after a reset */
	uint8_t packet[IDE_PACKET_SIZE]; /* IDE_PACKET: the SCSI command, which may read a buffer */
};

/* What came of a packet. */
struct ide_outcome {
	uint32_t sense; /* key << 16 | code << 8 | qualifier; 0: it went well, and the data are: */
	uint32_t size;  /* bytes, at most IDE_BUFFER_SIZE */
};

/* A disk, or a DVD drive; the host's. Neither sectors nor dvd: there is none. */
struct ide_disk {
	uint64_t sectors;
	bool dvd;
	char serial[IDE_SERIAL + 1];
};

/* What the channel waits for. */
enum ide_phase {
	IDE_IDLE,
	IDE_WAITS_FOR_HOST,   /* busy: there is a request */
	IDE_WAITS_FOR_MASTER, /* busy: a DMA command, and the bus master was not started */
	IDE_READS,            /* the guest reads what is in the buffer */
	IDE_WRITES,           /* the guest fills the buffer */
	IDE_TAKES_PACKET,     /* the guest writes a packet */
	IDE_WAITS_FOR_DRIVE,  /* busy: the packet is a request */
	IDE_GIVES_DATA,       /* the guest reads what came of it */
	_IDE_PHASES,
};

/* A register that takes two bytes, one after the other, for 48-bit commands. */
struct ide_pair {
	uint8_t now, before;
};

struct ide_registers {
	struct ide_pair features, count, low, middle, high;
	uint8_t device, status, error, control;
	uint8_t multiple[IDE_DEVICES]; /* sectors in a block, a power of two; 0: not set */
	uint8_t interrupt;             /* 1: it is asserted, unless the guest masks it */
	uint8_t master_command, master_status, zero;
	uint32_t master_table;
};

/* The command under way. */
struct ide_transfer {
	uint8_t phase;     /* enum ide_phase */
	uint8_t operation; /* enum ide_operation */
	uint8_t dma, identify;
	uint32_t block;    /* sectors in a DRQ block */
	uint64_t sector;   /* of the first in the buffer, or of the request */
	uint32_t left;     /* sectors from there to the end of the command */
	uint32_t count;    /* sectors of the request, or in the buffer */
	uint32_t position; /* bytes of the buffer that the guest has moved */
	uint32_t zero;

	/*
	 * Of a packet: `block` has the most bytes of a DRQ block, as the guest wants it, `sector` and
	 * `left` blocks of the medium, where it reads such, and `count` the bytes in the buffer.
	 */
};

/* Why the last packet failed. All zeros: it did not. */
struct ide_sense {
	uint8_t key, code, qualifier;
};

struct ide {
	struct ide_registers registers;
	struct ide_transfer transfer;
	uint8_t buffer[IDE_BUFFER_SECTORS * IDE_SECTOR];

	struct ide_sense sense[IDE_DEVICES];

	/* The host's. */
	struct ide_disk disks[IDE_DEVICES];
	uint32_t serial; /* of the request, or the next one */
	bool taken;      /* ide_take() has told of it */
};

/* As after power-on; disks stay. */
void ide_reset(struct ide *ide);

/* Registers, by their offset from the first port; the data port, offset 0, takes 2 or 4 bytes. */
uint64_t ide_read(struct ide *ide, unsigned offset, unsigned size);
void ide_write(struct ide *ide, unsigned offset, unsigned size, uint32_t value);

/* The control port. */
uint8_t ide_read_status(const struct ide *ide);
void ide_write_control(struct ide *ide, uint8_t value);

/* The bus master's 8 registers, as bytes, or 4 bytes for the table's address. */
uint64_t ide_read_master(const struct ide *ide, unsigned offset);
void ide_write_master(struct ide *ide, unsigned offset, unsigned size, uint32_t value);

bool ide_interrupt(const struct ide *ide);

/* Whether a request waits that was not taken. */
bool ide_has_request(const struct ide *ide);

/* The next request. Return: whether there was one. */
bool ide_take(struct ide *ide, struct ide_request *ret_request);

/* What was taken will not be completed: it is there to be taken again. */
void ide_give_back(struct ide *ide, uint32_t serial);

/* Whether it is what the channel waits for: a reset may have come between. */
bool ide_is_current(const struct ide *ide, uint32_t serial);

/* Where the data of a request by programmed I/O come from or go to: request.count sectors. */
static inline void *ide_data(struct ide *ide)
{
	return ide->buffer;
}

/* Ends a request that is current, of a disk or of a drive. */
void ide_complete(struct ide *ide, bool failed);
void ide_complete_packet(struct ide *ide, const struct ide_outcome *outcome);

/* Whether the registers and the command are such as a guest can bring about. */
bool ide_is_valid(const struct ide *ide);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The packet commands of a DVD drive at an IDE channel. SFF-8020i; ATA-6, 9.8; MMC-6.
 *
 * A packet is a SCSI command, which the host carries out on the unit that VMBus has, too. It sends at
 * most the buffer: a read of blocks is asked for in as many pieces as it takes, and of all else what
 * is longer is cut off there, which no command's answer is. The sense of the last one is kept here,
 * since each way to the unit has its own.
 */
#include "vmwp/chipset/ide_command.h"

#include "common/base/cc.h"

#include <assert.h>
#include <string.h>

#define BLOCK         2048u /* bytes of the medium's */
#define BLOCKS_MAX    (IDE_BUFFER_SIZE / BLOCK)
#define LIMIT_MAX     0xfffeu
#define SENSE_SIZE    18u
#define SENSE_FIXED   0x70
#define SENSE_ABORTED 0x0b0000u
#define FEATURE_DMA   0x01u
#define FEATURE_LATE  0x02u /* overlapped */

enum { REQUEST_SENSE = 0x03, READ_10 = 0x28, READ_12 = 0xa8 };

/* ---- IDENTIFY PACKET DEVICE ---- */

static const struct {
	uint8_t word;
	uint16_t value;
} identity_words[] = {
	{ 0, 0x85c0 },  /* ATAPI, a CD or DVD, removable, DRQ at once, packets of 12 bytes */
	{ 49, 0x0a00 }, /* LBA, IORDY; no DMA */
	{ 53, 0x0002 }, /* words 64 to 70 are valid */
	{ 64, 0x0003 }, { 67, 120 },    { 68, 120 },    { 80, 0x0070 }, /* ATA-4 to 6 */
	{ 82, 0x4210 }, /* NOP, DEVICE RESET, packets */
	{ 83, 0x4000 }, { 84, 0x4000 }, { 85, 0x4210 }, { 87, 0x4000 },
};

void ide_identify_packet(struct ide *ide)
{
	const struct ide_disk *disk = &ide->disks[ide_selected(ide)];

	memset(ide->buffer, 0, IDE_SECTOR);
	for (size_t i = 0; i < ARRAY_SIZE(identity_words); i++)
		ide_identify_word(ide->buffer, identity_words[i].word, identity_words[i].value);
	ide_identify_text(ide->buffer + 20, disk->serial, IDE_SERIAL);
	ide_identify_text(ide->buffer + 46, "1.0", 8);
	ide_identify_text(ide->buffer + 54, "Virtual CD", 40); /* what Hyper-V's are called */
}

/* ---- The way of a packet ---- */

static void packet_end(struct ide *ide, uint32_t sense)
{
	struct ide_sense *kept = &ide->sense[ide_selected(ide)];
	uint8_t key = (uint8_t)(sense >> 16 & 0xf);

	*kept = (struct ide_sense){ key, (uint8_t)(sense >> 8), (uint8_t)sense };
	ide_end(ide, sense == 0 ? 0 : (uint8_t)(key << 4 | IDE_E_ABORTED));
	ide->registers.count.now = IDE_REASON_COMMAND | IDE_REASON_IN;
}

void ide_begin_packet(struct ide *ide)
{
	const struct ide_registers *registers = &ide->registers;
	uint32_t limit = (uint32_t)registers->high.now << 8 | registers->middle.now;

	if (registers->features.now & (FEATURE_DMA | FEATURE_LATE)) {
		ide_end(ide, IDE_E_ABORTED);
		return;
	}
	memset(ide->buffer, 0, sizeof(ide->buffer));
	ide->transfer = (struct ide_transfer){
		.phase = IDE_TAKES_PACKET,
		.operation = IDE_PACKET,
		.block = limit ? limit : LIMIT_MAX,
		.count = IDE_PACKET_SIZE,
	};
	ide->registers.count.now = IDE_REASON_COMMAND;
	ide->registers.status = IDE_READY | IDE_DATA;
}

/* An odd limit is good for all of the data alone. */
uint32_t ide_packet_block(const struct ide_transfer *transfer)
{
	if (transfer->block >= transfer->count)
		return transfer->count + transfer->count % 2;
	return MAX(transfer->block & ~1u, 2u);
}

void ide_packet_offer(struct ide *ide)
{
	struct ide_transfer *transfer = &ide->transfer;
	uint32_t size = MIN(ide_packet_block(transfer), transfer->count - transfer->position);

	transfer->phase = IDE_GIVES_DATA;
	ide->registers.count.now = IDE_REASON_IN;
	ide->registers.middle.now = (uint8_t)size;
	ide->registers.high.now = (uint8_t)(size >> 8);
	ide->registers.status = IDE_READY | IDE_DATA;
	ide->registers.interrupt = 1;
}

static void packet_ask(struct ide *ide)
{
	ide->transfer.phase = IDE_WAITS_FOR_DRIVE;
	ide->transfer.position = 0;
	ide->transfer.count = 0;
	ide->registers.status = IDE_BUSY;
	ide->taken = false;
	ide->serial++;
}

static void packet_request_sense(struct ide *ide)
{
	struct ide_sense *sense = &ide->sense[ide_selected(ide)];
	uint32_t size = MIN((uint32_t)ide->buffer[4], SENSE_SIZE);

	memset(ide->buffer, 0, IDE_PACKET_SIZE);
	if (size == 0) {
		packet_end(ide, 0);
		return;
	}
	ide->buffer[0] = SENSE_FIXED;
	ide->buffer[2] = sense->key;
	ide->buffer[7] = SENSE_SIZE - 8;
	ide->buffer[12] = sense->code;
	ide->buffer[13] = sense->qualifier;
	memset(ide->buffer + size, 0, SENSE_SIZE - size);
	*sense = (struct ide_sense){ 0 };
	ide->transfer.count = size;
	ide->transfer.position = 0;
	ide_packet_offer(ide);
}

static uint32_t get_32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

void ide_packet_taken(struct ide *ide)
{
	const uint8_t *packet = ide->buffer;

	if (packet[0] == REQUEST_SENSE) {
		packet_request_sense(ide);
		return;
	}
	ide->sense[ide_selected(ide)] = (struct ide_sense){ 0 };
	if (packet[0] == READ_10 || packet[0] == READ_12) {
		ide->transfer.sector = get_32(packet + 2);
		ide->transfer.left = packet[0] == READ_12 ? get_32(packet + 6)
							  : (uint32_t)packet[7] << 8 | packet[8];
	}
	packet_ask(ide);
}

/* Blocks in the next piece of a read. */
static uint32_t packet_blocks(const struct ide_transfer *transfer)
{
	return MIN(transfer->left, BLOCKS_MAX);
}

void ide_packet_given(struct ide *ide)
{
	struct ide_transfer *transfer = &ide->transfer;
	uint32_t blocks = packet_blocks(transfer);

	memset(ide->buffer, 0, sizeof(ide->buffer));
	transfer->sector += blocks;
	transfer->left -= blocks;
	if (transfer->left > 0)
		packet_ask(ide);
	else
		packet_end(ide, 0);
}

/* The packet is in the buffer; of a read it is made anew for each piece. */
void ide_packet_request(const struct ide *ide, struct ide_request *request)
{
	const struct ide_transfer *transfer = &ide->transfer;
	uint32_t blocks = packet_blocks(transfer);

	memcpy(request->packet, ide->buffer, sizeof(request->packet));
	if (blocks == 0)
		return;
	memset(request->packet, 0, sizeof(request->packet));
	request->packet[0] = READ_10;
	for (unsigned i = 0; i < 4; i++)
		request->packet[2 + i] = (uint8_t)(transfer->sector >> (24 - 8 * i));
	request->packet[8] = (uint8_t)blocks;
}

void ide_complete_packet(struct ide *ide, const struct ide_outcome *outcome)
{
	struct ide_transfer *transfer = &ide->transfer;
	uint32_t blocks = packet_blocks(transfer);

	assert(transfer->phase == IDE_WAITS_FOR_DRIVE && ide->taken);
	assert(outcome->size <= IDE_BUFFER_SIZE);
	ide->taken = false;
	if (outcome->sense == 0 && blocks > 0 && outcome->size != blocks * BLOCK) {
		packet_end(ide, SENSE_ABORTED);
		return;
	}
	if (outcome->sense != 0 || outcome->size == 0) {
		packet_end(ide, outcome->sense);
		return;
	}
	transfer->count = outcome->size;
	transfer->position = 0;
	ide_packet_offer(ide);
}

/* ---- State ---- */

bool ide_packet_is_valid(const struct ide *ide)
{
	const struct ide_transfer *transfer = &ide->transfer;
	uint32_t blocks = packet_blocks(transfer);

	if (!ide->disks[ide_selected(ide)].dvd || transfer->operation != IDE_PACKET ||
	    transfer->dma || transfer->identify || transfer->block == 0 ||
	    transfer->block > UINT16_MAX || transfer->sector > UINT64_C(2) * UINT32_MAX)
		return false;
	switch (transfer->phase) {
	case IDE_TAKES_PACKET:
		return transfer->left == 0 && transfer->sector == 0 &&
		       transfer->count == IDE_PACKET_SIZE && transfer->position < transfer->count &&
		       transfer->position % 2 == 0;
	case IDE_WAITS_FOR_DRIVE:
		return transfer->count == 0 && transfer->position == 0;
	case IDE_GIVES_DATA:
		return transfer->count > 0 && transfer->count <= IDE_BUFFER_SIZE &&
		       (blocks == 0 || transfer->count == blocks * BLOCK) &&
		       transfer->position < transfer->count && transfer->position % 2 == 0;
	}
	return false;
}

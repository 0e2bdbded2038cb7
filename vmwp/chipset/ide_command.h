/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of an IDE channel (vmwp/chipset/ide_command.c), and the bits that they use. */
#pragma once

#include "vmwp/chipset/ide.h"

/* Status. */
#define IDE_ERROR 0x01u
#define IDE_DATA  0x08u /* the guest is to move data */
#define IDE_READY 0x50u /* there, and its heads are where they belong */
#define IDE_BUSY  0x80u

/* What the sector count says of a packet command. */
#define IDE_REASON_COMMAND 0x01u
#define IDE_REASON_IN      0x02u

/* Error. */
#define IDE_E_ABORTED       0x04u
#define IDE_E_NOT_FOUND     0x10u
#define IDE_E_UNCORRECTABLE 0x40u

/* Device. */
#define IDE_DEVICE_SECOND 0x10u
#define IDE_DEVICE_LBA    0x40u
#define IDE_DEVICE_ONES   0xa0u /* always set when it is read */

/* Control. */
#define IDE_CONTROL_NO_INTERRUPT 0x02u
#define IDE_CONTROL_RESET        0x04u
#define IDE_CONTROL_BEFORE       0x80u /* the first of two bytes is read */
#define IDE_CONTROL_VALID        0x86u

#define IDE_COUNT_MAX   65536u
#define IDE_SECTORS_MAX (UINT64_C(1) << 48)

static inline unsigned ide_selected(const struct ide *ide)
{
	return ide->registers.device & IDE_DEVICE_SECOND ? 1 : 0;
}

static inline bool ide_is_there(const struct ide_disk *disk)
{
	return disk->sectors > 0 || disk->dvd;
}

/* Begins one, of a channel that is idle and has a disk. */
void ide_command(struct ide *ide, uint8_t command);

/* ide.c: the steps of a command. */
void ide_sign(struct ide *ide);                       /* as what is selected */
void ide_idle(struct ide *ide);                       /* without an interrupt */
void ide_end(struct ide *ide, uint8_t error);         /* with an interrupt; 0: well */
void ide_ask_host(struct ide *ide);                   /* for what `transfer` says */
void ide_ask_master(struct ide *ide);                 /* the same, once the bus master is started */
void ide_offer_data(struct ide *ide, bool interrupt); /* the buffer is the guest's */

/* ide_packet.c: a drive's commands. */
void ide_identify_packet(struct ide *ide);
void ide_begin_packet(struct ide *ide);
void ide_packet_taken(struct ide *ide); /* all of it was written */
void ide_packet_given(struct ide *ide); /* all that is in the buffer was read */
uint32_t ide_packet_block(const struct ide_transfer *transfer); /* bytes of a DRQ block */
void ide_packet_offer(struct ide *ide);                         /* the next of them */
void ide_packet_request(const struct ide *ide, struct ide_request *request);
bool ide_packet_is_valid(const struct ide *ide);
void ide_identify_word(uint8_t *identity, unsigned word, uint16_t value);
void ide_identify_text(uint8_t *target, const char *text, size_t size);

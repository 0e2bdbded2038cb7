/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of an IDE disk. ATA-6, chapter 8. */
#include "vmwp/chipset/ide_command.h"

#include "common/base/cc.h"

#include <string.h>

/* The geometry that every large disk claims; where a BIOS asks, it goes by sectors. */
#define HEADS         16u
#define TRACK_SECTORS 63u
#define CYLINDERS_MAX 16383u
#define LBA28_SECTORS 0x0fffffffu

/* ---- IDENTIFY DEVICE ---- */

/* The first character is in the upper half of a word. */
void ide_identify_text(uint8_t *target, const char *text, size_t size)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < size; i++)
		target[i ^ 1] = i < length ? (uint8_t)text[i] : ' ';
}

void ide_identify_word(uint8_t *identity, unsigned word, uint16_t value)
{
	identity[2 * word] = (uint8_t)value;
	identity[2 * word + 1] = (uint8_t)(value >> 8);
}

static void identify_number(uint8_t *identity, unsigned word, unsigned words, uint64_t value)
{
	for (unsigned i = 0; i < words; i++)
		ide_identify_word(identity, word + i, (uint16_t)(value >> 16 * i));
}

/* Words whose value is the same for all disks. */
static const struct {
	uint8_t word;
	uint16_t value;
} identity_words[] = {
	{ 0, 0x0040 }, /* ATA, not removable */
	{ 3, HEADS },   { 6, TRACK_SECTORS },  { 47, 0x8000 | IDE_BUFFER_SECTORS },
	{ 49, 0x0f00 }, /* DMA, LBA, IORDY */
	{ 53, 0x0007 }, /* words 54 to 58, 64 to 70 and 88 are valid */
	{ 55, HEADS },  { 56, TRACK_SECTORS }, { 63, 0x0007 }, /* multiword DMA up to mode 2 */
	{ 64, 0x0003 },                                        /* PIO modes 3 and 4 */
	{ 65, 120 },    { 66, 120 },           { 67, 120 },
	{ 68, 120 },    { 80, 0x0070 }, /* ATA-4 to 6 */
	{ 82, 0x4020 },                 /* NOP, write cache */
	{ 83, 0x7400 },                 /* FLUSH CACHE, EXT, 48 bits */
	{ 84, 0x4000 }, { 85, 0x4020 },        { 86, 0x3400 },
	{ 87, 0x4000 }, { 88, 0x203f }, /* Ultra DMA up to mode 5, which is chosen */
	{ 93, 0x600b },                 /* a cable that is good for it */
};

static void identify_fill(const struct ide *ide, const struct ide_disk *disk, uint8_t *identity)
{
	uint64_t cylinders = MIN(disk->sectors / (HEADS * TRACK_SECTORS), CYLINDERS_MAX);
	uint8_t multiple = ide->registers.multiple[ide_selected(ide)];

	memset(identity, 0, IDE_SECTOR);
	for (size_t i = 0; i < ARRAY_SIZE(identity_words); i++)
		ide_identify_word(identity, identity_words[i].word, identity_words[i].value);
	ide_identify_word(identity, 1, (uint16_t)cylinders);
	ide_identify_word(identity, 54, (uint16_t)cylinders);
	identify_number(identity, 57, 2, cylinders * HEADS * TRACK_SECTORS);
	identify_number(identity, 60, 2, MIN(disk->sectors, LBA28_SECTORS));
	identify_number(identity, 100, 4, disk->sectors);
	if (multiple > 0)
		ide_identify_word(identity, 59, 0x100 | multiple);
	ide_identify_text(identity + 20, disk->serial, IDE_SERIAL);
	ide_identify_text(identity + 46, "1.0", 8);
	ide_identify_text(identity + 54, "Virtual HD", 40); /* what Hyper-V's are called */
}

static void command_identify(struct ide *ide, uint8_t command)
{
	identify_fill(ide, &ide->disks[ide_selected(ide)], ide->buffer);
	ide->transfer = (struct ide_transfer){
		.operation = IDE_READ, .identify = 1, .block = 1, .left = 1, .count = 1
	};
	ide_offer_data(ide, true);
}

/* ---- Where and how much ---- */

static bool is_48_bits(uint8_t command)
{
	return command == 0x24 || command == 0x25 || command == 0x29 || command == 0x34 ||
	       command == 0x35 || command == 0x39 || command == 0x42;
}

static uint64_t address_48(const struct ide_registers *registers)
{
	return (uint64_t)registers->high.before << 40 | (uint64_t)registers->middle.before << 32 |
	       (uint64_t)registers->low.before << 24 | (uint64_t)registers->high.now << 16 |
	       (uint64_t)registers->middle.now << 8 | registers->low.now;
}

static uint64_t address_28(const struct ide_registers *registers)
{
	unsigned cylinder = registers->high.now << 8u | registers->middle.now;
	unsigned head = registers->device & 0xf;

	if (registers->device & IDE_DEVICE_LBA)
		return head << 24 | cylinder << 8 | registers->low.now;
	if (registers->low.now == 0 || registers->low.now > TRACK_SECTORS)
		return UINT64_MAX; /* sectors of a track begin with 1 */
	return (uint64_t)(cylinder * HEADS + head) * TRACK_SECTORS + registers->low.now - 1;
}

/* Return: whether all of it is on the disk. */
static bool find_range(const struct ide *ide, uint8_t command, uint64_t *ret_sector,
		       uint32_t *ret_count)
{
	const struct ide_registers *registers = &ide->registers;
	uint64_t sectors = ide->disks[ide_selected(ide)].sectors;
	uint32_t count = registers->count.now;

	if (is_48_bits(command)) {
		count |= (uint32_t)registers->count.before << 8;
		*ret_count = count ? count : IDE_COUNT_MAX;
		*ret_sector = address_48(registers);
	} else {
		*ret_count = count ? count : 256;
		*ret_sector = address_28(registers);
	}
	return *ret_sector < sectors && *ret_count <= sectors - *ret_sector;
}

/* ---- Reading, writing ---- */

static void command_transfer(struct ide *ide, uint8_t command, enum ide_operation operation,
			     bool dma, uint32_t block)
{
	uint64_t sector;
	uint32_t count;

	if (block == 0) {
		ide_end(ide, IDE_E_ABORTED);
		return;
	}
	if (!find_range(ide, command, &sector, &count)) {
		ide_end(ide, IDE_E_NOT_FOUND);
		return;
	}
	ide->transfer = (struct ide_transfer){ .operation = (uint8_t)operation,
					       .dma = dma,
					       .block = block,
					       .sector = sector,
					       .left = count };
	if (dma)
		ide_ask_master(ide);
	else if (operation == IDE_READ)
		ide_ask_host(ide);
	else
		ide_offer_data(ide, false);
}

static void command_read(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_READ, false, 1);
}

static void command_read_multiple(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_READ, false, ide->registers.multiple[ide_selected(ide)]);
}

static void command_read_dma(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_READ, true, 1);
}

static void command_write(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_WRITE, false, 1);
}

static void command_write_multiple(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_WRITE, false,
			 ide->registers.multiple[ide_selected(ide)]);
}

static void command_write_dma(struct ide *ide, uint8_t command)
{
	command_transfer(ide, command, IDE_WRITE, true, 1);
}

static void command_flush(struct ide *ide, uint8_t command)
{
	ide->transfer = (struct ide_transfer){ .operation = IDE_FLUSH, .block = 1 };
	ide_ask_host(ide);
}

/* ---- Others ---- */

/* What is there reads well when it is read. */
static void command_verify(struct ide *ide, uint8_t command)
{
	uint64_t sector;
	uint32_t count;

	ide_end(ide, find_range(ide, command, &sector, &count) ? 0 : IDE_E_NOT_FOUND);
}

static void command_set_multiple(struct ide *ide, uint8_t command)
{
	uint8_t count = ide->registers.count.now;

	if (count > IDE_BUFFER_SECTORS || (count & (count - 1)) != 0) {
		ide_end(ide, IDE_E_ABORTED);
		return;
	}
	ide->registers.multiple[ide_selected(ide)] = count;
	ide_end(ide, 0);
}

static void command_set_features(struct ide *ide, uint8_t command)
{
	static const uint8_t known[] = {
		0x02, 0x82, /* write cache */
		0x03,       /* transfer mode */
		0x55, 0xaa, /* look ahead */
		0x66, 0xcc, /* what a reset changes */
	};

	ide_end(ide, memchr(known, ide->registers.features.now, sizeof(known)) ? 0 : IDE_E_ABORTED);
}

static void command_diagnostic(struct ide *ide, uint8_t command)
{
	ide_sign(ide);
	ide_end(ide, 0);
	ide->registers.error = 1; /* passed */
}

static void command_check_power(struct ide *ide, uint8_t command)
{
	ide->registers.count.now = 0xff; /* active */
	ide_end(ide, 0);
}

/* There is nothing to be done for it. */
static void command_accept(struct ide *ide, uint8_t command)
{
	ide_end(ide, 0);
}

/* ---- A drive's ---- */

static void drive_identify(struct ide *ide, uint8_t command)
{
	ide_identify_packet(ide);
	ide->transfer = (struct ide_transfer){
		.operation = IDE_READ, .identify = 1, .block = 1, .left = 1, .count = 1
	};
	ide_offer_data(ide, true);
}

static void drive_packet(struct ide *ide, uint8_t command)
{
	ide_begin_packet(ide);
}

static void drive_reset(struct ide *ide, uint8_t command)
{
	ide_sign(ide);
	ide_idle(ide);
}

/* By the signature, who tries it knows that there is no disk. */
static void drive_refuse(struct ide *ide, uint8_t command)
{
	ide_sign(ide);
	ide_end(ide, IDE_E_ABORTED);
}

struct command {
	uint8_t command;
	void (*begin)(struct ide *ide, uint8_t command);
};

static const struct command drive_commands[] = {
	{ 0x08, drive_reset },          { 0x90, command_diagnostic },  { 0xa0, drive_packet },
	{ 0xa1, drive_identify },       { 0xe0, command_accept }, /* STANDBY and IDLE */
	{ 0xe1, command_accept },       { 0xe5, command_check_power }, { 0xec, drive_refuse },
	{ 0xef, command_set_features },
};

static const struct command disk_commands[] = {
	{ 0x10, command_accept }, /* RECALIBRATE */
	{ 0x20, command_read },
	{ 0x21, command_read },
	{ 0x24, command_read },
	{ 0x25, command_read_dma },
	{ 0x29, command_read_multiple },
	{ 0x30, command_write },
	{ 0x31, command_write },
	{ 0x34, command_write },
	{ 0x35, command_write_dma },
	{ 0x39, command_write_multiple },
	{ 0x40, command_verify },
	{ 0x41, command_verify },
	{ 0x42, command_verify },
	{ 0x70, command_accept }, /* SEEK */
	{ 0x90, command_diagnostic },
	{ 0x91, command_accept }, /* INITIALIZE DEVICE PARAMETERS */
	{ 0xc4, command_read_multiple },
	{ 0xc5, command_write_multiple },
	{ 0xc6, command_set_multiple },
	{ 0xc8, command_read_dma },
	{ 0xc9, command_read_dma },
	{ 0xca, command_write_dma },
	{ 0xcb, command_write_dma },
	{ 0xe0, command_accept }, /* STANDBY and IDLE */
	{ 0xe1, command_accept },
	{ 0xe2, command_accept },
	{ 0xe3, command_accept },
	{ 0xe5, command_check_power },
	{ 0xe7, command_flush },
	{ 0xea, command_flush },
	{ 0xec, command_identify },
	{ 0xef, command_set_features },
};

void ide_command(struct ide *ide, uint8_t command)
{
	const struct ide_disk *disk = &ide->disks[ide_selected(ide)];
	const struct command *commands = disk->dvd ? drive_commands : disk_commands;
	size_t count = disk->dvd ? ARRAY_SIZE(drive_commands) : ARRAY_SIZE(disk_commands);

	if (!ide_is_there(disk) && command != 0x90)
		return;
	ide->registers.interrupt = 0;
	ide->registers.error = 0;
	for (size_t i = 0; i < count; i++) {
		if (commands[i].command == command) {
			commands[i].begin(ide, command);
			return;
		}
	}
	ide_end(ide, IDE_E_ABORTED);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An IDE channel: its registers, and the way of data and requests. */
#include "vmwp/chipset/ide.h"

#include "vmwp/chipset/ide_command.h"

#include "common/base/cc.h"

#include <assert.h>
#include <string.h>

enum { DATA, FEATURES, COUNT, LOW, MIDDLE, HIGH, DEVICE, COMMAND };

#define MASTER_START       0x01u
#define MASTER_READ        0x08u /* from the disk */
#define MASTER_ACTIVE      0x01u
#define MASTER_INTERRUPT   0x04u
#define MASTER_CAPABLE     0x60u /* two bits that software keeps */
#define MASTER_TABLE_VALID 0xfffffffcu

/* ---- Reset ---- */

#define SIGNATURE_DISK 0x0000u
#define SIGNATURE_DVD  0xeb14u

static void ide_sign_type(struct ide *ide)
{
	unsigned type = ide->disks[ide_selected(ide)].dvd ? SIGNATURE_DVD : SIGNATURE_DISK;

	ide->registers.middle = (struct ide_pair){ .now = (uint8_t)type };
	ide->registers.high = (struct ide_pair){ .now = (uint8_t)(type >> 8) };
}

/* What a disk shows that has just been reset, and passed its diagnostics; and what a drive does. */
void ide_sign(struct ide *ide)
{
	struct ide_registers *registers = &ide->registers;

	registers->error = 1;
	registers->count = registers->low = (struct ide_pair){ .now = 1 };
	ide_sign_type(ide);
	registers->device &= IDE_DEVICE_SECOND;
}

/* Each device has a signature of its own, until the guest writes registers. */
static bool ide_shows_signature(const struct ide_registers *registers)
{
	unsigned type = (unsigned)registers->high.now << 8 | registers->middle.now;

	return registers->error == 1 && registers->count.now == 1 && registers->low.now == 1 &&
	       (type == SIGNATURE_DISK || type == SIGNATURE_DVD);
}

static void ide_select(struct ide *ide, uint8_t device)
{
	bool signature = ide_shows_signature(&ide->registers);

	ide->registers.device = device & (uint8_t)~IDE_DEVICE_ONES;
	if (signature)
		ide_sign_type(ide);
}

static void ide_drop_command(struct ide *ide)
{
	ide->transfer = (struct ide_transfer){ .phase = IDE_IDLE };
	memset(ide->buffer, 0, sizeof(ide->buffer));
	ide->taken = false;
	ide->serial++;
	ide->registers.interrupt = 0;
	ide->registers.status = IDE_READY;
	ide->registers.master_status &= (uint8_t)~MASTER_ACTIVE;
}

static void ide_soft_reset(struct ide *ide)
{
	ide_drop_command(ide);
	ide->registers.device = 0;
	ide_sign(ide);
	memset(ide->sense, 0, sizeof(ide->sense));
	memset(ide->registers.multiple, 0, sizeof(ide->registers.multiple));
}

void ide_reset(struct ide *ide)
{
	ide->registers = (struct ide_registers){ 0 };
	ide_soft_reset(ide);
}

/* ---- The command's end, and its steps ---- */

void ide_idle(struct ide *ide)
{
	ide->transfer = (struct ide_transfer){ .phase = IDE_IDLE };
	memset(ide->buffer, 0, sizeof(ide->buffer));
	ide->registers.status = IDE_READY;
}

void ide_end(struct ide *ide, uint8_t error)
{
	ide_idle(ide);
	ide->registers.error = error;
	ide->registers.status = IDE_READY | (error ? IDE_ERROR : 0);
	ide->registers.interrupt = 1;
	ide->registers.master_status |= MASTER_INTERRUPT;
}

/* Sectors of the next request or buffer. */
static uint32_t ide_step(const struct ide_transfer *transfer)
{
	return transfer->dma ? transfer->left : MIN(transfer->left, IDE_BUFFER_SECTORS);
}

void ide_ask_host(struct ide *ide)
{
	struct ide_transfer *transfer = &ide->transfer;

	if (transfer->operation == IDE_READ || transfer->dma)
		transfer->count = ide_step(transfer);
	transfer->position = 0;
	transfer->phase = IDE_WAITS_FOR_HOST;
	ide->registers.status = IDE_BUSY;
	ide->taken = false;
	ide->serial++;
}

void ide_ask_master(struct ide *ide)
{
	ide->transfer.phase = IDE_WAITS_FOR_MASTER;
	ide->registers.status = IDE_BUSY;
	if (ide->registers.master_command & MASTER_START)
		ide_ask_host(ide);
}

void ide_offer_data(struct ide *ide, bool interrupt)
{
	struct ide_transfer *transfer = &ide->transfer;

	if (transfer->operation == IDE_WRITE) {
		transfer->count = ide_step(transfer);
		memset(ide->buffer, 0, sizeof(ide->buffer));
	}
	transfer->position = 0;
	transfer->phase = transfer->operation == IDE_WRITE ? IDE_WRITES : IDE_READS;
	ide->registers.status = IDE_READY | IDE_DATA;
	ide->registers.interrupt = interrupt;
}

/* The guest has moved all that was in the buffer. */
static void ide_buffer_moved(struct ide *ide)
{
	struct ide_transfer *transfer = &ide->transfer;

	if (transfer->operation == IDE_WRITE) {
		ide_ask_host(ide);
		return;
	}
	transfer->sector += transfer->count;
	transfer->left -= transfer->count;
	if (transfer->left > 0) {
		ide_ask_host(ide);
		return;
	}
	/* The last block that is read ends the command without an interrupt. */
	ide_idle(ide);
}

/* The bytes that the guest moves in this phase. */
static uint32_t ide_size(const struct ide_transfer *transfer)
{
	bool packet = transfer->phase == IDE_TAKES_PACKET || transfer->phase == IDE_GIVES_DATA;

	return packet ? transfer->count : transfer->count * IDE_SECTOR;
}

static void ide_packet_moved(struct ide *ide)
{
	struct ide_transfer *transfer = &ide->transfer;

	if (transfer->phase == IDE_TAKES_PACKET) {
		if (transfer->position == transfer->count)
			ide_packet_taken(ide);
	} else if (transfer->position == transfer->count) {
		ide_packet_given(ide);
	} else if (transfer->position % ide_packet_block(transfer) == 0) {
		ide_packet_offer(ide);
	}
}

static void ide_moved(struct ide *ide, unsigned size)
{
	struct ide_transfer *transfer = &ide->transfer;
	uint32_t block = transfer->block * IDE_SECTOR;

	transfer->position += size;
	if (transfer->operation == IDE_PACKET)
		ide_packet_moved(ide);
	else if (transfer->position == transfer->count * IDE_SECTOR)
		ide_buffer_moved(ide);
	else if (transfer->position % block == 0)
		ide->registers.interrupt = 1;
}

static uint64_t ide_read_data(struct ide *ide, unsigned size)
{
	uint32_t value = 0;

	if ((ide->transfer.phase != IDE_READS && ide->transfer.phase != IDE_GIVES_DATA) || size < 2)
		return UINT64_MAX;
	size = MIN(size, ide_size(&ide->transfer) - ide->transfer.position);
	memcpy(&value, ide->buffer + ide->transfer.position, size);
	ide_moved(ide, size);
	return value;
}

static void ide_write_data(struct ide *ide, unsigned size, uint32_t value)
{
	if ((ide->transfer.phase != IDE_WRITES && ide->transfer.phase != IDE_TAKES_PACKET) ||
	    size < 2)
		return;
	size = MIN(size, ide_size(&ide->transfer) - ide->transfer.position);
	memcpy(ide->buffer + ide->transfer.position, &value, size);
	ide_moved(ide, size);
}

/* ---- Registers ---- */

static bool ide_is_empty(const struct ide *ide)
{
	return !ide_is_there(&ide->disks[0]) && !ide_is_there(&ide->disks[1]);
}

/* What no disk drives is pulled up, but for the uppermost bit; a lone disk answers for the other. */
#define FLOATING 0x7f

uint8_t ide_read_status(const struct ide *ide)
{
	if (ide_is_empty(ide))
		return FLOATING;
	if (ide->registers.control & IDE_CONTROL_RESET)
		return IDE_BUSY;
	if (!ide_is_there(&ide->disks[ide_selected(ide)]))
		return 0;
	return ide->registers.status;
}

static uint8_t pair_read(const struct ide *ide, struct ide_pair pair)
{
	return ide->registers.control & IDE_CONTROL_BEFORE ? pair.before : pair.now;
}

uint64_t ide_read(struct ide *ide, unsigned offset, unsigned size)
{
	const struct ide_registers *registers = &ide->registers;

	if (offset == DATA)
		return ide_read_data(ide, size);
	if (ide_is_empty(ide))
		return offset == COMMAND ? FLOATING : UINT64_MAX;
	switch (offset) {
	case FEATURES:
		return registers->error;
	case COUNT:
		return pair_read(ide, registers->count);
	case LOW:
		return pair_read(ide, registers->low);
	case MIDDLE:
		return pair_read(ide, registers->middle);
	case HIGH:
		return pair_read(ide, registers->high);
	case DEVICE:
		return registers->device | IDE_DEVICE_ONES;
	}
	ide->registers.interrupt = 0;
	return ide_read_status(ide);
}

static void pair_write(struct ide_pair *pair, uint8_t value)
{
	pair->before = pair->now;
	pair->now = value;
}

void ide_write(struct ide *ide, unsigned offset, unsigned size, uint32_t value)
{
	struct ide_registers *registers = &ide->registers;
	struct ide_pair *const pairs[] = { NULL,
					   &registers->features,
					   &registers->count,
					   &registers->low,
					   &registers->middle,
					   &registers->high };

	if (offset == DATA) {
		ide_write_data(ide, size, value);
		return;
	}
	if (ide_is_empty(ide) || ide->transfer.phase != IDE_IDLE ||
	    registers->control & IDE_CONTROL_RESET)
		return;
	registers->control &= (uint8_t)~IDE_CONTROL_BEFORE;
	if (offset < DEVICE)
		pair_write(pairs[offset], (uint8_t)value);
	else if (offset == DEVICE)
		ide_select(ide, (uint8_t)value);
	else
		ide_command(ide, (uint8_t)value);
}

void ide_write_control(struct ide *ide, uint8_t value)
{
	uint8_t before = ide->registers.control;

	ide->registers.control = value & IDE_CONTROL_VALID;
	if (value & IDE_CONTROL_RESET)
		ide_drop_command(ide);
	else if (before & IDE_CONTROL_RESET)
		ide_soft_reset(ide);
}

bool ide_interrupt(const struct ide *ide)
{
	return ide->registers.interrupt && !(ide->registers.control & IDE_CONTROL_NO_INTERRUPT);
}

/* ---- The bus master ---- */

enum { MASTER_COMMAND, MASTER_STATUS = 2, MASTER_TABLE = 4 };

uint64_t ide_read_master(const struct ide *ide, unsigned offset)
{
	switch (offset) {
	case MASTER_COMMAND:
		return ide->registers.master_command;
	case MASTER_STATUS:
		return ide->registers.master_status;
	}
	return offset >= MASTER_TABLE ? ide->registers.master_table >> 8 * (offset - MASTER_TABLE)
				      : 0;
}

static void master_write_command(struct ide *ide, uint8_t value)
{
	struct ide_registers *registers = &ide->registers;
	bool starts = value & MASTER_START && !(registers->master_command & MASTER_START);

	registers->master_command = value & (MASTER_START | MASTER_READ);
	if (!(value & MASTER_START)) {
		registers->master_status &= (uint8_t)~MASTER_ACTIVE;
		return;
	}
	if (starts)
		registers->master_status |= MASTER_ACTIVE;
	if (starts && ide->transfer.phase == IDE_WAITS_FOR_MASTER)
		ide_ask_host(ide);
}

void ide_write_master(struct ide *ide, unsigned offset, unsigned size, uint32_t value)
{
	struct ide_registers *registers = &ide->registers;

	if (offset == MASTER_COMMAND)
		master_write_command(ide, (uint8_t)value);
	else if (offset == MASTER_STATUS)
		registers->master_status =
			(uint8_t)((registers->master_status & MASTER_ACTIVE) |
				  (registers->master_status & ~value & (MASTER_INTERRUPT | 2u)) |
				  (value & MASTER_CAPABLE));
	else if (offset == MASTER_TABLE && size == 4)
		registers->master_table = value & MASTER_TABLE_VALID;
}

/* ---- The host's side ---- */

static bool ide_waits(const struct ide *ide)
{
	return ide->transfer.phase == IDE_WAITS_FOR_HOST ||
	       ide->transfer.phase == IDE_WAITS_FOR_DRIVE;
}

bool ide_has_request(const struct ide *ide)
{
	return ide_waits(ide) && !ide->taken;
}

bool ide_take(struct ide *ide, struct ide_request *ret_request)
{
	const struct ide_transfer *transfer = &ide->transfer;

	if (!ide_has_request(ide))
		return false;
	ide->taken = true;
	*ret_request = (struct ide_request){
		.operation = (enum ide_operation)transfer->operation,
		.device = ide_selected(ide),
		.sector = transfer->sector,
		.count = transfer->count,
		.dma = transfer->dma,
		.table = ide->registers.master_table,
		.serial = ide->serial,
	};
	if (transfer->phase == IDE_WAITS_FOR_DRIVE)
		ide_packet_request(ide, ret_request);
	return true;
}

bool ide_is_current(const struct ide *ide, uint32_t serial)
{
	return ide_waits(ide) && ide->taken && ide->serial == serial;
}

void ide_give_back(struct ide *ide, uint32_t serial)
{
	if (ide_is_current(ide, serial))
		ide->taken = false;
}

void ide_complete(struct ide *ide, bool failed)
{
	struct ide_transfer *transfer = &ide->transfer;

	assert(transfer->phase == IDE_WAITS_FOR_HOST && ide->taken);
	ide->taken = false;
	if (transfer->dma)
		ide->registers.master_status &= (uint8_t)~MASTER_ACTIVE;
	if (failed) {
		ide_end(ide, transfer->operation == IDE_READ ? IDE_E_UNCORRECTABLE : IDE_E_ABORTED);
		return;
	}
	if (transfer->operation == IDE_READ && !transfer->dma) {
		ide_offer_data(ide, true);
		return;
	}
	transfer->sector += transfer->count;
	transfer->left -= transfer->count;
	if (transfer->left > 0)
		ide_offer_data(ide, true);
	else
		ide_end(ide, 0);
}

/* ---- State ---- */

static bool registers_are_valid(const struct ide_registers *registers)
{
	for (unsigned i = 0; i < IDE_DEVICES; i++) {
		unsigned multiple = registers->multiple[i];

		if (multiple > IDE_BUFFER_SECTORS || (multiple & (multiple - 1)) != 0)
			return false;
	}
	return (registers->device & IDE_DEVICE_ONES) == 0 && registers->interrupt <= 1 &&
	       registers->zero == 0 && (registers->control & ~IDE_CONTROL_VALID) == 0 &&
	       (registers->master_command & ~(MASTER_START | MASTER_READ)) == 0 &&
	       (registers->master_status & ~(MASTER_CAPABLE | MASTER_ACTIVE | MASTER_INTERRUPT)) ==
		       0 &&
	       (registers->master_table & ~MASTER_TABLE_VALID) == 0;
}

static bool status_fits(const struct ide *ide)
{
	static const uint8_t status[_IDE_PHASES] = {
		[IDE_WAITS_FOR_HOST] = IDE_BUSY,           [IDE_WAITS_FOR_MASTER] = IDE_BUSY,
		[IDE_READS] = IDE_READY | IDE_DATA,        [IDE_WRITES] = IDE_READY | IDE_DATA,
		[IDE_TAKES_PACKET] = IDE_READY | IDE_DATA, [IDE_WAITS_FOR_DRIVE] = IDE_BUSY,
		[IDE_GIVES_DATA] = IDE_READY | IDE_DATA,
	};
	uint8_t phase = ide->transfer.phase;

	if (phase == IDE_IDLE)
		return ide->registers.status == IDE_READY ||
		       ide->registers.status == (IDE_READY | IDE_ERROR);
	return ide->registers.status == status[phase] &&
	       !(ide->registers.control & IDE_CONTROL_RESET);
}

/* Of a command that moves sectors. What is beyond the disk's end was refused at its beginning. */
static bool transfer_moves_validly(const struct ide *ide)
{
	const struct ide_transfer *transfer = &ide->transfer;
	uint64_t sectors = ide->disks[ide_selected(ide)].sectors;

	if (transfer->left == 0 || transfer->left > IDE_COUNT_MAX ||
	    transfer->sector > IDE_SECTORS_MAX || transfer->count > transfer->left)
		return false;
	if (!transfer->identify &&
	    (transfer->sector >= sectors || transfer->left > sectors - transfer->sector))
		return false;
	if (transfer->dma)
		return transfer->block == 1 && transfer->position == 0 &&
		       transfer->count ==
			       (transfer->phase == IDE_WAITS_FOR_HOST ? transfer->left : 0);
	return transfer->count == ide_step(transfer) && transfer->block >= 1 &&
	       transfer->block <= IDE_BUFFER_SECTORS &&
	       (transfer->block & (transfer->block - 1)) == 0 &&
	       transfer->position < transfer->count * IDE_SECTOR && transfer->position % 2 == 0;
}

static bool phase_is_valid(const struct ide_transfer *transfer)
{
	switch (transfer->phase) {
	case IDE_WAITS_FOR_HOST:
		return transfer->operation != IDE_NONE && !transfer->identify &&
		       transfer->position == 0;
	case IDE_WAITS_FOR_MASTER:
		return transfer->dma && transfer->operation != IDE_NONE && !transfer->identify;
	case IDE_READS:
		return transfer->operation == IDE_READ && !transfer->dma &&
		       (!transfer->identify || (transfer->left == 1 && transfer->sector == 0));
	case IDE_WRITES:
		return transfer->operation == IDE_WRITE && !transfer->dma && !transfer->identify;
	}
	return false;
}

bool ide_is_valid(const struct ide *ide)
{
	static const struct ide_transfer idle = { .phase = IDE_IDLE };
	const struct ide_transfer *transfer = &ide->transfer;

	if (!registers_are_valid(&ide->registers) || transfer->phase >= _IDE_PHASES ||
	    !status_fits(ide) || transfer->dma > 1 || transfer->identify > 1 ||
	    transfer->operation > IDE_PACKET || transfer->zero != 0)
		return false;
	if (transfer->phase == IDE_IDLE)
		return memcmp(transfer, &idle, sizeof(idle)) == 0;
	if (transfer->phase >= IDE_TAKES_PACKET || transfer->operation == IDE_PACKET)
		return ide_packet_is_valid(ide);
	if (!phase_is_valid(transfer))
		return false;
	if (transfer->operation == IDE_FLUSH)
		return transfer->left == 0 && transfer->count == 0 && transfer->sector == 0 &&
		       transfer->dma == 0 && transfer->block == 1;
	return transfer_moves_validly(ide);
}

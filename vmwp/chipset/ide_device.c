/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The IDE channels. */
#include "vmwp/chipset/ide_device.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/pci.h"

#include <string.h>

#define MASTER_REGISTERS 8u /* of each channel */

struct ide_device {
	struct ide channels[IDE_CHANNELS];
	const struct pci *pci;
	const struct chipset_callbacks *callbacks;
	void *data;
};

/* ---- Ports ---- */

static struct ide *channel(void *device, unsigned number)
{
	return &((struct ide_device *)device)->channels[number];
}

static uint64_t read_0(void *device, uint64_t offset, unsigned size)
{
	return ide_read(channel(device, 0), (unsigned)offset, size);
}

static uint64_t read_1(void *device, uint64_t offset, unsigned size)
{
	return ide_read(channel(device, 1), (unsigned)offset, size);
}

static enum power_request write_0(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	ide_write(channel(device, 0), (unsigned)offset, size, (uint32_t)value);
	return POWER_NOTHING;
}

static enum power_request write_1(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	ide_write(channel(device, 1), (unsigned)offset, size, (uint32_t)value);
	return POWER_NOTHING;
}

static uint64_t read_status_0(void *device, uint64_t offset, unsigned size)
{
	return ide_read_status(channel(device, 0));
}

static uint64_t read_status_1(void *device, uint64_t offset, unsigned size)
{
	return ide_read_status(channel(device, 1));
}

static enum power_request write_control_0(void *device, uint64_t offset, unsigned size,
					  uint64_t value)
{
	ide_write_control(channel(device, 0), (uint8_t)value);
	return POWER_NOTHING;
}

static enum power_request write_control_1(void *device, uint64_t offset, unsigned size,
					  uint64_t value)
{
	ide_write_control(channel(device, 1), (uint8_t)value);
	return POWER_NOTHING;
}

/*
 * The ports that PCI functions may be given, of which no other has any. Return: the channel whose
 * register it is, and *offset in its registers; NULL: nobody's.
 */
static struct ide *find_master(struct ide_device *ide_device, uint64_t *offset)
{
	uint16_t base;
	uint64_t port = PLATFORM_PCI_IO_WINDOW + *offset;

	if (!pci_ide_bus_master(ide_device->pci, &base) || port < base ||
	    port >= base + IDE_CHANNELS * MASTER_REGISTERS)
		return NULL;
	*offset = (port - base) % MASTER_REGISTERS;
	return &ide_device->channels[(port - base) / MASTER_REGISTERS];
}

static uint64_t read_master(void *device, uint64_t offset, unsigned size)
{
	const struct ide *ide = find_master(device, &offset);

	return ide ? ide_read_master(ide, (unsigned)offset) : UINT64_MAX;
}

/* Of what is no whole register, each byte goes to where it belongs. */
static enum power_request write_master(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide *ide = find_master(device, &offset);

	if (!ide)
		return POWER_NOTHING;
	if (offset >= 4) {
		ide_write_master(ide, (unsigned)offset, size, (uint32_t)value);
		return POWER_NOTHING;
	}
	for (unsigned i = 0; i < size; i++)
		ide_write_master(ide, (unsigned)offset + i, 1, (uint8_t)(value >> 8 * i));
	return POWER_NOTHING;
}

static bool level_0(const void *device)
{
	return ide_interrupt(&((const struct ide_device *)device)->channels[0]);
}

static bool level_1(const void *device)
{
	return ide_interrupt(&((const struct ide_device *)device)->channels[1]);
}

/* ---- The host's side ---- */

void ide_device_set_disk(void *device, unsigned number, unsigned unit, const struct ide_disk *disk)
{
	channel(device, number)->disks[unit] = *disk;
}

bool ide_device_take(void *device, unsigned number, struct ide_request *ret_request, void *data)
{
	struct ide_device *ide_device = device;
	struct ide *ide = channel(device, number);

	if (!ide_take(ide, ret_request))
		return false;
	if (ret_request->dma && !pci_ide_may_transfer(ide_device->pci)) {
		ide_complete(ide, true);
		return false;
	}
	if (ret_request->operation == IDE_WRITE && !ret_request->dma)
		memcpy(data, ide_data(ide), ret_request->count * IDE_SECTOR);
	return true;
}

bool ide_device_is_current(const void *device, unsigned number, uint32_t serial)
{
	return ide_is_current(&((const struct ide_device *)device)->channels[number], serial);
}

void ide_device_complete(void *device, unsigned number, uint32_t serial, bool failed,
			 const void *data)
{
	struct ide *ide = channel(device, number);

	if (!ide_is_current(ide, serial))
		return;
	if (!failed && ide->transfer.operation == IDE_READ && !ide->transfer.dma)
		memcpy(ide_data(ide), data, ide->transfer.count * IDE_SECTOR);
	ide_complete(ide, failed);
}

void ide_device_complete_packet(void *device, unsigned number, uint32_t serial,
				const struct ide_outcome *outcome, const void *data)
{
	struct ide *ide = channel(device, number);

	if (!ide_is_current(ide, serial))
		return;
	memset(ide->buffer, 0, sizeof(ide->buffer));
	if (outcome->sense == 0)
		memcpy(ide_data(ide), data, outcome->size);
	ide_complete_packet(ide, outcome);
}

void ide_device_give_back(void *device, unsigned number, uint32_t serial)
{
	ide_give_back(channel(device, number), serial);
}

/* ---- The row ---- */

static void ide_device_init(void *device, const struct chipset_config *config)
{
	struct ide_device *ide_device = device;

	ide_device->pci = chipset_devices_get(config->devices, &pci_ops);
	ide_device->callbacks = config->callbacks;
	ide_device->data = config->data;
}

static void ide_device_reset(void *device)
{
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		ide_reset(channel(device, i));
}

static void ide_device_settle(void *device)
{
	struct ide_device *ide_device = device;
	bool has_request = false;

	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		has_request |= ide_has_request(&ide_device->channels[i]);
	if (has_request)
		ide_device->callbacks->disk_request(ide_device->data);
}

static void ide_device_save(const void *device, struct state_writer *writer)
{
	const struct ide_device *ide_device = device;

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		const struct ide *ide = &ide_device->channels[i];
		struct ide_state state = { .registers = ide->registers, .transfer = ide->transfer };

		memcpy(state.buffer, ide->buffer, sizeof(state.buffer));
		memcpy(state.sense, ide->sense, sizeof(state.sense));
		state_put(writer, &state, sizeof(state));
	}
}

static int ide_device_restore(void *device, struct state_record *record)
{
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide *ide = channel(device, i);
		struct ide_state state;

		if (state_get(record, &state, sizeof(state)) != 0 || state.zero[0] != 0 ||
		    state.zero[1] != 0)
			return STATE_E_INVALID;
		ide->registers = state.registers;
		ide->transfer = state.transfer;
		memcpy(ide->buffer, state.buffer, sizeof(ide->buffer));
		memcpy(ide->sense, state.sense, sizeof(ide->sense));
		ide->taken = false;
		ide->serial++;
		if (!ide_is_valid(ide))
			return STATE_E_INVALID;
	}
	return 0;
}

static void ide_device_inspect(const void *device, struct json_object **tree)
{
	static const char *const phases[_IDE_PHASES] = {
		"idle",       "waits for the host", "waits for the bus master", "is read",
		"is written", "takes a packet",     "waits for the drive",      "gives data"
	};
	const struct ide_device *ide_device = device;
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		const struct ide *ide = &ide_device->channels[i];

		json_append(&list,
			    json_make("status", json_make_hex(ide->registers.status), "device",
				      json_make_hex(ide->registers.device), "phase",
				      json_object_new_string(phases[ide->transfer.phase]), "left",
				      json_object_new_int64(ide->transfer.left), NULL));
	}
	json_add(tree, "channels", list);
}

const struct chipset_device_ops ide_device_ops = {
	.name = "ide",
	.size = sizeof(struct ide_device),
	.ports = {
		{ PLATFORM_IDE_PORT_0, 8, 4, read_0, write_0 },
		{ PLATFORM_IDE_PORT_1, 8, 4, read_1, write_1 },
		{ PLATFORM_IDE_CONTROL_0, 1, 1, read_status_0, write_control_0 },
		{ PLATFORM_IDE_CONTROL_1, 1, 1, read_status_1, write_control_1 },
		{ PLATFORM_PCI_IO_WINDOW, PLATFORM_PCI_IO_SIZE, 4, read_master, write_master },
	},
	.lines = { { PLATFORM_IDE_IRQ_0, level_0 }, { PLATFORM_IDE_IRQ_1, level_1 } },
	.init = ide_device_init,
	.reset = ide_device_reset,
	.settle = ide_device_settle,
	.state_version = 2,
	.save = ide_device_save,
	.restore = ide_device_restore,
	.inspect = ide_device_inspect,
};

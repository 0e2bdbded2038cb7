/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chipset: the tables of its devices, their lock, and the host's side of them. */
#include "vmwp/chipset/chipset.h"

#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/firmware_log.h"
#include "vmwp/chipset/flash.h"
#include "vmwp/chipset/fw_cfg.h"
#include "vmwp/chipset/i8042.h"
#include "vmwp/chipset/ide_device.h"
#include "vmwp/chipset/legacy_ports.h"
#include "vmwp/chipset/option_rom.h"
#include "vmwp/chipset/pci.h"
#include "vmwp/chipset/power.h"
#include "vmwp/chipset/rtc_device.h"
#include "vmwp/chipset/serial_device.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* In this order they are made, reset and saved. The clock wakes by way of power management. */
static const struct chipset_device_ops *const synthetic_table[] = {
	&serial_device_ops, &power_ops,          &rtc_device_ops,
	&legacy_ports_ops,  &keyboard_reset_ops, &reset_port_ops,
};

/* The reset port is the host bridge's here. */
static const struct chipset_device_ops *const generation1_table[] = {
	&serial_device_ops, &power_ops,  &rtc_device_ops,   &legacy_ports_ops, &keyboard_reset_ops,
	&pci_ops,           &fw_cfg_ops, &firmware_log_ops, &ide_device_ops,
};

/* What the firmware alone looks for: the bus is of a PC that it knows. */
static const struct chipset_device_ops *const generation2_table[] = {
	&serial_device_ops, &power_ops,  &rtc_device_ops,   &legacy_ports_ops, &pci_ops,
	&i8042_ops,         &fw_cfg_ops, &firmware_log_ops, &option_rom_ops,   &flash_ops,
};

static const struct {
	const struct chipset_device_ops *const *rows;
	size_t count;
} chipset_tables[] = {
	[CHIPSET_SYNTHETIC] = { synthetic_table, ARRAY_SIZE(synthetic_table) },
	[CHIPSET_GENERATION_1] = { generation1_table, ARRAY_SIZE(generation1_table) },
	[CHIPSET_GENERATION_2] = { generation2_table, ARRAY_SIZE(generation2_table) },
};

struct chipset {
	pthread_mutex_t lock; /* of all devices */
	struct chipset_devices *devices;
	void *serial, *rtc; /* of those */
	void *fw_cfg, *ide; /* NULL: this board has none */
};

int chipset_new(enum chipset_board board, const struct chipset_callbacks *callbacks, void *data,
		struct chipset **ret_chipset)
{
	const struct chipset_config config = { .board = board,
					       .callbacks = callbacks,
					       .data = data };
	struct chipset *chipset = calloc(1, sizeof(*chipset));
	int r;

	if (!chipset)
		return -ENOMEM;
	r = chipset_devices_new(chipset_tables[board].rows, chipset_tables[board].count, &config,
				&chipset->devices);
	if (r < 0) {
		free(chipset);
		return r;
	}
	chipset->serial = chipset_devices_get(chipset->devices, &serial_device_ops);
	chipset->rtc = chipset_devices_get(chipset->devices, &rtc_device_ops);
	if (board != CHIPSET_SYNTHETIC)
		chipset->fw_cfg = chipset_devices_get(chipset->devices, &fw_cfg_ops);
	if (board == CHIPSET_GENERATION_1)
		chipset->ide = chipset_devices_get(chipset->devices, &ide_device_ops);
	pthread_mutex_init(&chipset->lock, NULL);
	*ret_chipset = chipset;
	return 0;
}

void chipset_free(struct chipset *chipset)
{
	if (!chipset)
		return;
	pthread_mutex_destroy(&chipset->lock);
	chipset_devices_free(chipset->devices);
	free(chipset);
}

void chipset_reset(struct chipset *chipset)
{
	pthread_mutex_lock(&chipset->lock);
	chipset_devices_reset(chipset->devices);
	pthread_mutex_unlock(&chipset->lock);
}

int chipset_save(struct chipset *chipset, struct state_writer *writer)
{
	pthread_mutex_lock(&chipset->lock);
	chipset_devices_save(chipset->devices, writer);
	pthread_mutex_unlock(&chipset->lock);
	return state_writer_error(writer);
}

int chipset_restore(struct chipset *chipset, const struct state_reader *reader,
		    struct failure *failure)
{
	int r;

	pthread_mutex_lock(&chipset->lock);
	r = chipset_devices_restore(chipset->devices, reader, failure);
	pthread_mutex_unlock(&chipset->lock);
	return r;
}

struct json_object *chipset_inspect(struct chipset *chipset)
{
	struct json_object *tree;

	pthread_mutex_lock(&chipset->lock);
	tree = chipset_devices_inspect(chipset->devices);
	pthread_mutex_unlock(&chipset->lock);
	return tree;
}

/* ---- The guest's side ---- */

static enum power_request chipset_access_ports(struct chipset *chipset, const struct vid_exit *exit)
{
	enum power_request request = POWER_NOTHING;
	uint8_t *bytes = exit->io.data;

	for (uint32_t i = 0; i < exit->io.count && request == POWER_NOTHING; i++)
		request = chipset_devices_access(chipset->devices, CHIPSET_PORTS, exit->io.port,
						 exit->io.size, exit->io.write,
						 &bytes[(size_t)i * exit->io.size]);
	return request;
}

enum power_request chipset_access(struct chipset *chipset, const struct vid_exit *exit)
{
	enum power_request request;

	pthread_mutex_lock(&chipset->lock);
	if (exit->kind == VID_EXIT_IO_PORT)
		request = chipset_access_ports(chipset, exit);
	else
		request =
			chipset_devices_access(chipset->devices, CHIPSET_MMIO, exit->mmio.gpa.value,
					       exit->mmio.size, exit->mmio.write, exit->mmio.data);
	pthread_mutex_unlock(&chipset->lock);
	return request;
}

/* ---- The host's side ---- */

uint64_t chipset_tick(struct chipset *chipset)
{
	uint64_t delay;

	pthread_mutex_lock(&chipset->lock);
	delay = rtc_device_tick(chipset->rtc);
	chipset_devices_settle(chipset->devices, &rtc_device_ops);
	pthread_mutex_unlock(&chipset->lock);
	return delay;
}

void chipset_generation_changed(struct chipset *chipset)
{
	pthread_mutex_lock(&chipset->lock);
	power_generation(chipset_devices_get(chipset->devices, &power_ops));
	chipset_devices_settle(chipset->devices, &power_ops);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_set_firmware(struct chipset *chipset, const struct fw_cfg_items *items)
{
	pthread_mutex_lock(&chipset->lock);
	fw_cfg_set_items(chipset->fw_cfg, items);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_set_flash(struct chipset *chipset, uint8_t *bytes)
{
	pthread_mutex_lock(&chipset->lock);
	flash_set_bytes(chipset_devices_get(chipset->devices, &flash_ops), bytes);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_copy_flash(struct chipset *chipset, uint8_t ret_bytes[static FLASH_SIZE])
{
	pthread_mutex_lock(&chipset->lock);
	flash_copy(chipset_devices_get(chipset->devices, &flash_ops), ret_bytes);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_ide_set_disk(struct chipset *chipset, unsigned channel, unsigned device,
			  const struct ide_disk *disk)
{
	pthread_mutex_lock(&chipset->lock);
	ide_device_set_disk(chipset->ide, channel, device, disk);
	pthread_mutex_unlock(&chipset->lock);
}

bool chipset_ide_take(struct chipset *chipset, unsigned channel, struct ide_request *ret_request,
		      void *data)
{
	bool there;

	pthread_mutex_lock(&chipset->lock);
	there = ide_device_take(chipset->ide, channel, ret_request, data);
	chipset_devices_settle(chipset->devices, &ide_device_ops);
	pthread_mutex_unlock(&chipset->lock);
	return there;
}

bool chipset_ide_is_current(struct chipset *chipset, unsigned channel, uint32_t serial)
{
	bool current;

	pthread_mutex_lock(&chipset->lock);
	current = ide_device_is_current(chipset->ide, channel, serial);
	pthread_mutex_unlock(&chipset->lock);
	return current;
}

void chipset_ide_complete(struct chipset *chipset, unsigned channel, uint32_t serial, bool failed,
			  const void *data)
{
	pthread_mutex_lock(&chipset->lock);
	ide_device_complete(chipset->ide, channel, serial, failed, data);
	chipset_devices_settle(chipset->devices, &ide_device_ops);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_ide_complete_packet(struct chipset *chipset, unsigned channel, uint32_t serial,
				 const struct ide_outcome *outcome, const void *data)
{
	pthread_mutex_lock(&chipset->lock);
	ide_device_complete_packet(chipset->ide, channel, serial, outcome, data);
	chipset_devices_settle(chipset->devices, &ide_device_ops);
	pthread_mutex_unlock(&chipset->lock);
}

void chipset_ide_give_back(struct chipset *chipset, unsigned channel, uint32_t serial)
{
	pthread_mutex_lock(&chipset->lock);
	ide_device_give_back(chipset->ide, channel, serial);
	pthread_mutex_unlock(&chipset->lock);
}

size_t chipset_console_take(struct chipset *chipset, void *buffer, size_t size)
{
	size_t n;

	pthread_mutex_lock(&chipset->lock);
	n = serial_device_take(chipset->serial, buffer, size);
	chipset_devices_settle(chipset->devices, &serial_device_ops);
	pthread_mutex_unlock(&chipset->lock);
	return n;
}

size_t chipset_console_put(struct chipset *chipset, const void *data, size_t size)
{
	size_t n;

	pthread_mutex_lock(&chipset->lock);
	n = serial_device_put(chipset->serial, data, size);
	chipset_devices_settle(chipset->devices, &serial_device_ops);
	pthread_mutex_unlock(&chipset->lock);
	return n;
}

void chipset_console_set_stalled(struct chipset *chipset, bool stalled)
{
	pthread_mutex_lock(&chipset->lock);
	serial_device_set_stalled(chipset->serial, stalled);
	chipset_devices_settle(chipset->devices, &serial_device_ops);
	pthread_mutex_unlock(&chipset->lock);
}

uint32_t chipset_console_written(struct chipset *chipset)
{
	uint32_t written;

	pthread_mutex_lock(&chipset->lock);
	written = serial_device_written(chipset->serial);
	pthread_mutex_unlock(&chipset->lock);
	return written;
}

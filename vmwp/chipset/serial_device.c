/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial port as a row of the chipset's table. */
#include "vmwp/chipset/serial_device.h"

#include "vmwp/base/platform.h"
#include "vmwp/chipset/serial.h"

struct serial_device {
	struct serial serial;
	const struct chipset_callbacks *callbacks;
	void *data;
	bool output_told; /* the console knows that there is output */
	bool input_short; /* the console had more input than there was room */

	/* What the firmware says that has no other port for it, generation 2's. */
	bool listens;
	struct firmware_words words;
	enum firmware_word word; /* that the host has not been told of */
};

/* ---- The guest's end ---- */

static uint64_t serial_device_read(void *device, uint64_t offset, unsigned size)
{
	struct serial_device *serial_device = device;

	return serial_read(&serial_device->serial, (unsigned)offset);
}

static void serial_device_listen(struct serial_device *serial_device, uint8_t byte)
{
	enum firmware_word word = firmware_words_take(&serial_device->words, byte);

	if (word != FIRMWARE_SAYS_NOTHING)
		serial_device->word = word;
}

static enum power_request serial_device_write(void *device, uint64_t offset, unsigned size,
					      uint64_t value)
{
	struct serial_device *serial_device = device;
	uint32_t before = serial_written(&serial_device->serial);

	serial_write(&serial_device->serial, (unsigned)offset, (uint8_t)value);
	if (serial_device->listens && serial_written(&serial_device->serial) != before)
		serial_device_listen(serial_device, (uint8_t)value);
	return POWER_NOTHING;
}

static bool serial_device_level(const void *device)
{
	const struct serial_device *serial_device = device;

	return serial_interrupt(&serial_device->serial);
}

/* ---- The console's end ---- */

static void serial_device_settle(void *device)
{
	struct serial_device *serial_device = device;
	bool has_output = serial_has_output(&serial_device->serial);
	bool told = serial_device->output_told;
	enum firmware_word word = serial_device->word;

	serial_device->output_told = has_output;
	if (has_output && !told)
		serial_device->callbacks->console_output(serial_device->data);
	if (serial_device->input_short && serial_input_room(&serial_device->serial)) {
		serial_device->input_short = false;
		serial_device->callbacks->console_room(serial_device->data);
	}
	serial_device->word = FIRMWARE_SAYS_NOTHING;
	if (word != FIRMWARE_SAYS_NOTHING)
		serial_device->callbacks->firmware_said(serial_device->data, word);
}

size_t serial_device_take(void *device, void *buffer, size_t size)
{
	struct serial_device *serial_device = device;

	return serial_take_output(&serial_device->serial, buffer, size);
}

size_t serial_device_put(void *device, const void *data, size_t size)
{
	struct serial_device *serial_device = device;
	size_t n = serial_put_input(&serial_device->serial, data, size);

	serial_device->input_short = n < size;
	return n;
}

void serial_device_set_stalled(void *device, bool stalled)
{
	struct serial_device *serial_device = device;

	serial_set_stalled(&serial_device->serial, stalled);
}

uint32_t serial_device_written(const void *device)
{
	const struct serial_device *serial_device = device;

	return serial_written(&serial_device->serial);
}

/* ---- The row ---- */

static void serial_device_init(void *device, const struct chipset_config *config)
{
	struct serial_device *serial_device = device;

	serial_device->callbacks = config->callbacks;
	serial_device->data = config->data;
	serial_device->listens = config->board == CHIPSET_GENERATION_2;
}

static void serial_device_reset(void *device)
{
	struct serial_device *serial_device = device;

	serial_reset(&serial_device->serial);
	serial_device->words = (struct firmware_words){ 0 };
	serial_device->word = FIRMWARE_SAYS_NOTHING;
}

static void serial_device_save(const void *device, struct state_writer *writer)
{
	const struct serial_device *serial_device = device;

	serial_save(&serial_device->serial, writer);
}

/* The console has heard nothing of output that the state brings. */
static int serial_device_restore(void *device, struct state_record *record)
{
	struct serial_device *serial_device = device;

	serial_device->output_told = false;
	return serial_restore(&serial_device->serial, record);
}

static void serial_device_inspect(const void *device, struct json_object **tree)
{
	const struct serial *serial = &((const struct serial_device *)device)->serial;

	json_add(tree, "enabled", json_make_hex(serial->ier));
	json_add(tree, "modem", json_make_hex(serial->mcr));
	json_add(tree, "received", json_object_new_int64(serial->fifo_count));
	json_add(tree, "sent",
		 json_object_new_int64((uint32_t)(serial->output_tail - serial->output_head)));
	json_add(tree, "stalled", json_object_new_boolean(serial->stalled));
}

const struct chipset_device_ops serial_device_ops = {
	.name = "serial",
	.size = sizeof(struct serial_device),
	.ports = {
		{ PLATFORM_SERIAL_PORT, SERIAL_REGISTERS, 1, serial_device_read,
		  serial_device_write },
	},
	.lines = { { PLATFORM_SERIAL_IRQ, serial_device_level } },
	.init = serial_device_init,
	.reset = serial_device_reset,
	.settle = serial_device_settle,
	.state_version = 1,
	.save = serial_device_save,
	.restore = serial_device_restore,
	.inspect = serial_device_inspect,
};

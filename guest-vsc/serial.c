/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Serial port output. A port access from ring 3 is dear, so a FIFO's worth of characters goes out
 * by one string instruction.
 */
#include "guest-vsc/serial.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/text.h"

#define SERIAL_BASE 0x3f8
#define SERIAL_FIFO 16

enum {
	SERIAL_DATA,
	SERIAL_INTERRUPT_ENABLE,
	SERIAL_FIFO_CONTROL,
	SERIAL_LINE_CONTROL,
	SERIAL_MODEM_CONTROL,
	SERIAL_LINE_STATUS,
};

#define LINE_CONTROL_8N1  0x03
#define LINE_STATUS_EMPTY 0x20

void serial_initialize(void)
{
	port_write8(SERIAL_BASE + SERIAL_LINE_CONTROL, LINE_CONTROL_8N1);
	port_write8(SERIAL_BASE + SERIAL_INTERRUPT_ENABLE, 0);
	port_write8(SERIAL_BASE + SERIAL_FIFO_CONTROL, 1);
}

void serial_write(const char *text, size_t size)
{
	size_t burst;

	for (; size; size -= burst, text += burst) {
		burst = MIN(size, (size_t)SERIAL_FIFO);
		while (!(port_read8(SERIAL_BASE + SERIAL_LINE_STATUS) & LINE_STATUS_EMPTY))
			machine_pause();
		port_write_string(SERIAL_BASE + SERIAL_DATA, text, burst);
	}
}

void serial_print(const char *format, ...)
{
	char line[202];
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = text_format_list(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[length] = '\n';
	serial_write(line, length + 1);
}

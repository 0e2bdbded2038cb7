/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A 16550A serial port, without the host's side of it.
 *
 * What the guest sends goes into a bounded buffer that the host takes from; while that buffer is
 * full, the transmitter shows itself busy, which holds the guest back. If the host's reader is
 * stalled (serial_set_stalled()), the port accepts everything and forgets the oldest instead.
 * Source: PC16550D data sheet; Linux drivers/tty/serial/8250.
 *
 * No locks and no interrupts of its own: the caller serialises the calls, and looks at
 * serial_interrupt() after each.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_REGISTERS   8
#define SERIAL_FIFO_SIZE   16u
#define SERIAL_OUTPUT_SIZE 16384u /* a power of two */

struct serial {
	uint8_t ier, fcr, lcr, mcr, scratch;
	uint8_t divisor[2];
	bool overrun;
	bool transmitter_empty; /* the THRE interrupt is pending */
	uint8_t fifo[SERIAL_FIFO_SIZE];
	unsigned fifo_head, fifo_count;

	bool stalled;
	uint32_t output_head, output_tail; /* bytes ever taken and put, modulo 2^32 */
	uint8_t output[SERIAL_OUTPUT_SIZE];
};

/* As after power-on. Output that nobody took yet stays. */
void serial_reset(struct serial *serial);

uint8_t serial_read(struct serial *serial, unsigned offset);
void serial_write(struct serial *serial, unsigned offset, uint8_t value);
bool serial_interrupt(const struct serial *serial);

/* The host's side. Return: bytes taken, at most size. */
size_t serial_take_output(struct serial *serial, void *buffer, size_t size);
size_t serial_put_input(struct serial *serial, const void *data, size_t size);
size_t serial_input_room(const struct serial *serial);

/* Bytes written, over all resets, modulo 2^32. */
uint32_t serial_written(const struct serial *serial);

bool serial_has_output(const struct serial *serial);

/* Whether output that does not fit is to be forgotten, for nobody takes it. */
void serial_set_stalled(struct serial *serial, bool stalled);

/* Its state, version 1, without what is the host's. Stored format. */
struct serial_state {
	uint8_t ier, fcr, lcr, mcr, scratch;
	uint8_t divisor[2];
	uint8_t overrun, transmitter_empty; /* 0 or 1 */
	uint8_t fifo_count;
	uint8_t zero[2];
	uint8_t fifo[SERIAL_FIFO_SIZE]; /* received, from the oldest on; zeros behind them */
	uint32_t written;               /* bytes, over all resets, modulo 2^32 */
	uint32_t output_size;           /* bytes that follow: output that the host has not taken */
};
_Static_assert(sizeof(struct serial_state) == 36, "stored format");

/* Return: 0; STATE_E_INVALID: nothing is changed. */
void serial_save(const struct serial *serial, struct state_writer *writer);
int serial_restore(struct serial *serial, struct state_record *record) MUST_CHECK;

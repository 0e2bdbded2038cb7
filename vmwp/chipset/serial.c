/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A 16550A serial port. */
#include "vmwp/chipset/serial.h"

#include "common/base/cc.h"

#include <string.h>

_Static_assert((SERIAL_OUTPUT_SIZE & (SERIAL_OUTPUT_SIZE - 1)) == 0, "indices wrap");

enum { RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

#define IER_RECEIVED    0x01
#define IER_TRANSMITTER 0x02
#define IER_LINE_STATUS 0x04
#define IER_MASK        0x0f

#define IIR_NONE        0x01
#define IIR_TRANSMITTER 0x02
#define IIR_RECEIVED    0x04
#define IIR_LINE_STATUS 0x06
#define IIR_TIMEOUT     0x0c
#define IIR_FIFOS       0xc0

#define FCR_ENABLE         0x01
#define FCR_CLEAR_RECEIVER 0x02

#define LCR_DLAB 0x80

#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08 /* on a PC: lets interrupts through */
#define MCR_LOOPBACK 0x10
#define MCR_MASK     0x1f

#define LSR_DATA_READY  0x01
#define LSR_OVERRUN     0x02
#define LSR_HOLDING     0x20 /* the holding register is empty */
#define LSR_TRANSMITTER 0x40 /* and so is the shift register */

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI  0x40
#define MSR_DCD 0x80

#define DIVISOR_9600 12

void serial_reset(struct serial *serial)
{
	uint32_t head = serial->output_head, tail = serial->output_tail;

	memset(serial, 0, offsetof(struct serial, output));
	serial->output_head = head;
	serial->output_tail = tail;
	serial->divisor[0] = DIVISOR_9600;
}

static uint32_t serial_output_count(const struct serial *serial)
{
	return serial->output_tail - serial->output_head;
}

uint32_t serial_written(const struct serial *serial)
{
	return serial->output_tail;
}

bool serial_has_output(const struct serial *serial)
{
	return serial_output_count(serial) > 0;
}

static bool serial_output_is_full(const struct serial *serial)
{
	/* A guest that has just seen room may send a FIFO's worth without looking again. */
	return serial_output_count(serial) > SERIAL_OUTPUT_SIZE - SERIAL_FIFO_SIZE;
}

static bool serial_is_ready(const struct serial *serial)
{
	return serial->stalled || !serial_output_is_full(serial);
}

static bool serial_fifo_enabled(const struct serial *serial)
{
	return serial->fcr & FCR_ENABLE;
}

static unsigned serial_fifo_capacity(const struct serial *serial)
{
	return serial_fifo_enabled(serial) ? SERIAL_FIFO_SIZE : 1;
}

/* The level at which received data interrupt, FCR bits 7-6. */
static unsigned serial_trigger(const struct serial *serial)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return serial_fifo_enabled(serial) ? levels[serial->fcr >> 6] : 1;
}

static void serial_receive(struct serial *serial, uint8_t byte)
{
	unsigned capacity = serial_fifo_capacity(serial);

	if (serial->fifo_count >= capacity) {
		serial->overrun = true;
		return;
	}
	serial->fifo[(serial->fifo_head + serial->fifo_count++) % SERIAL_FIFO_SIZE] = byte;
}

static uint8_t serial_take_received(struct serial *serial)
{
	uint8_t byte;

	if (!serial->fifo_count)
		return 0;
	byte = serial->fifo[serial->fifo_head];
	serial->fifo_head = (serial->fifo_head + 1) % SERIAL_FIFO_SIZE;
	serial->fifo_count--;
	return byte;
}

static void serial_transmit(struct serial *serial, uint8_t byte)
{
	if (serial->mcr & MCR_LOOPBACK) {
		serial_receive(serial, byte);
	} else {
		if (serial_output_count(serial) == SERIAL_OUTPUT_SIZE)
			serial->output_head++;
		serial->output[serial->output_tail++ % SERIAL_OUTPUT_SIZE] = byte;
	}
	serial->transmitter_empty = serial_is_ready(serial);
}

/* What the interrupt identification register says, FIFO bits aside; highest priority first. */
static uint8_t serial_identify(const struct serial *serial)
{
	if ((serial->ier & IER_LINE_STATUS) && serial->overrun)
		return IIR_LINE_STATUS;
	if ((serial->ier & IER_RECEIVED) && serial->fifo_count)
		return serial->fifo_count >= serial_trigger(serial) ? IIR_RECEIVED : IIR_TIMEOUT;
	if ((serial->ier & IER_TRANSMITTER) && serial->transmitter_empty)
		return IIR_TRANSMITTER;
	return IIR_NONE;
}

bool serial_interrupt(const struct serial *serial)
{
	return (serial->mcr & MCR_OUT2) && serial_identify(serial) != IIR_NONE;
}

static uint8_t serial_read_iir(struct serial *serial)
{
	uint8_t reason = serial_identify(serial);

	if (reason == IIR_TRANSMITTER)
		serial->transmitter_empty = false;
	return reason | (serial_fifo_enabled(serial) ? IIR_FIFOS : 0);
}

static uint8_t serial_read_lsr(struct serial *serial)
{
	uint8_t value = 0;

	if (serial->fifo_count)
		value |= LSR_DATA_READY;
	if (serial->overrun)
		value |= LSR_OVERRUN;
	if (serial_is_ready(serial))
		value |= LSR_HOLDING | LSR_TRANSMITTER;
	serial->overrun = false;
	return value;
}

/* The modem is always there and ready; in loopback it shows our own outputs. */
static uint8_t serial_read_msr(const struct serial *serial)
{
	if (!(serial->mcr & MCR_LOOPBACK))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (serial->mcr & MCR_RTS ? MSR_CTS : 0) | (serial->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (serial->mcr & MCR_OUT1 ? MSR_RI : 0) | (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

uint8_t serial_read(struct serial *serial, unsigned offset)
{
	if ((serial->lcr & LCR_DLAB) && offset < ARRAY_SIZE(serial->divisor))
		return serial->divisor[offset];
	switch (offset) {
	case RBR:
		return serial_take_received(serial);
	case IER:
		return serial->ier;
	case IIR:
		return serial_read_iir(serial);
	case LCR:
		return serial->lcr;
	case MCR:
		return serial->mcr;
	case LSR:
		return serial_read_lsr(serial);
	case MSR:
		return serial_read_msr(serial);
	case SCR:
		return serial->scratch;
	default:
		return 0xff;
	}
}

/* Enabling the transmitter's interrupt while it has nothing to send raises it. */
static void serial_write_ier(struct serial *serial, uint8_t value)
{
	bool enabled = value & ~serial->ier & IER_TRANSMITTER;

	serial->ier = value & IER_MASK;
	if (enabled)
		serial->transmitter_empty = serial_is_ready(serial);
}

static void serial_write_fcr(struct serial *serial, uint8_t value)
{
	bool switched = (value ^ serial->fcr) & FCR_ENABLE;

	serial->fcr = value;
	if (switched || (value & FCR_CLEAR_RECEIVER))
		serial->fifo_count = 0;
}

void serial_write(struct serial *serial, unsigned offset, uint8_t value)
{
	if ((serial->lcr & LCR_DLAB) && offset < ARRAY_SIZE(serial->divisor)) {
		serial->divisor[offset] = value;
		return;
	}
	switch (offset) {
	case THR:
		serial_transmit(serial, value);
		break;
	case IER:
		serial_write_ier(serial, value);
		break;
	case FCR:
		serial_write_fcr(serial, value);
		break;
	case LCR:
		serial->lcr = value;
		break;
	case MCR:
		serial->mcr = value & MCR_MASK;
		break;
	case SCR:
		serial->scratch = value;
		break;
	default:
		break;
	}
}

size_t serial_take_output(struct serial *serial, void *buffer, size_t size)
{
	uint8_t *bytes = buffer;
	bool was_ready = serial_is_ready(serial);
	size_t n = 0;

	while (n < size && serial_has_output(serial))
		bytes[n++] = serial->output[serial->output_head++ % SERIAL_OUTPUT_SIZE];
	if (!was_ready && serial_is_ready(serial))
		serial->transmitter_empty = true;
	return n;
}

size_t serial_input_room(const struct serial *serial)
{
	/* What arrives in loopback is the guest's own. */
	if (serial->mcr & MCR_LOOPBACK)
		return 0;
	return serial_fifo_capacity(serial) - MIN(serial->fifo_count, serial_fifo_capacity(serial));
}

size_t serial_put_input(struct serial *serial, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t n = MIN(size, serial_input_room(serial));

	for (size_t i = 0; i < n; i++)
		serial_receive(serial, bytes[i]);
	return n;
}

void serial_set_stalled(struct serial *serial, bool stalled)
{
	bool was_ready = serial_is_ready(serial);

	serial->stalled = stalled;
	if (!was_ready && serial_is_ready(serial))
		serial->transmitter_empty = true;
}

/* ---- State ---- */

void serial_save(const struct serial *serial, struct state_writer *writer)
{
	struct serial_state state = {
		.ier = serial->ier,
		.fcr = serial->fcr,
		.lcr = serial->lcr,
		.mcr = serial->mcr,
		.scratch = serial->scratch,
		.divisor = { serial->divisor[0], serial->divisor[1] },
		.overrun = serial->overrun,
		.transmitter_empty = serial->transmitter_empty,
		.fifo_count = (uint8_t)serial->fifo_count,
		.written = serial->output_tail,
		.output_size = serial_output_count(serial),
	};

	for (unsigned i = 0; i < serial->fifo_count; i++)
		state.fifo[i] = serial->fifo[(serial->fifo_head + i) % SERIAL_FIFO_SIZE];
	state_put(writer, &state, sizeof(state));
	for (uint32_t i = serial->output_head; i != serial->output_tail; i++)
		state_put(writer, &serial->output[i % SERIAL_OUTPUT_SIZE], 1);
}

static bool serial_is_valid(const struct serial_state *state)
{
	unsigned capacity = state->fcr & FCR_ENABLE ? SERIAL_FIFO_SIZE : 1;

	for (unsigned i = state->fifo_count; i < SERIAL_FIFO_SIZE; i++)
		if (state->fifo[i] != 0)
			return false;
	return (state->ier & ~IER_MASK) == 0 && (state->mcr & ~MCR_MASK) == 0 &&
	       state->overrun <= 1 && state->transmitter_empty <= 1 &&
	       state->fifo_count <= capacity && state->zero[0] == 0 && state->zero[1] == 0 &&
	       state->output_size <= SERIAL_OUTPUT_SIZE;
}

static void serial_restore_registers(struct serial *serial, const struct serial_state *state)
{
	serial->ier = state->ier;
	serial->fcr = state->fcr;
	serial->lcr = state->lcr;
	serial->mcr = state->mcr;
	serial->scratch = state->scratch;
	memcpy(serial->divisor, state->divisor, sizeof(serial->divisor));
	serial->overrun = state->overrun;
	serial->transmitter_empty = state->transmitter_empty;
	memcpy(serial->fifo, state->fifo, sizeof(serial->fifo));
	serial->fifo_head = 0;
	serial->fifo_count = state->fifo_count;
}

int serial_restore(struct serial *serial, struct state_record *record)
{
	struct serial_state state;
	const uint8_t *output;

	if (state_get(record, &state, sizeof(state)) != 0 || !serial_is_valid(&state))
		return STATE_E_INVALID;
	output = state_take(record, state.output_size);
	if (!output)
		return STATE_E_INVALID;
	serial_restore_registers(serial, &state);
	serial->output_head = state.written - state.output_size;
	serial->output_tail = state.written;
	for (uint32_t i = 0; i < state.output_size; i++)
		serial->output[(serial->output_head + i) % SERIAL_OUTPUT_SIZE] = output[i];
	return 0;
}

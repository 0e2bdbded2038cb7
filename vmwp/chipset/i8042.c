/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A keyboard controller, and a keyboard. */
#include "vmwp/chipset/i8042.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/pci.h"

#include <string.h>

/* Of the status. */
#define STATUS_OUTPUT   0x01
#define STATUS_SYSTEM   0x04
#define STATUS_UNLOCKED 0x10

/* Of the command byte. */
#define CONTROL_SYSTEM       0x04
#define CONTROL_KEYBOARD_OFF 0x10
#define CONTROL_MOUSE_OFF    0x20
#define CONTROL_AT_RESET     (CONTROL_KEYBOARD_OFF | CONTROL_MOUSE_OFF)

/* The controller's commands. */
enum {
	READ_CONTROL = 0x20,
	WRITE_CONTROL = 0x60,
	MOUSE_OFF = 0xa7,
	MOUSE_ON = 0xa8,
	TEST_MOUSE = 0xa9,
	TEST_CONTROLLER = 0xaa,
	TEST_KEYBOARD = 0xab,
	KEYBOARD_OFF = 0xad,
	KEYBOARD_ON = 0xae,
	WRITE_OUTPUT_PORT = 0xd1,
	WRITE_AS_KEYBOARD = 0xd2,
	WRITE_AS_MOUSE = 0xd3,
	WRITE_MOUSE = 0xd4,
};

/* The keyboard's. */
enum {
	KEYBOARD_LEDS = 0xed,
	KEYBOARD_ECHO = 0xee,
	KEYBOARD_SET = 0xf0,
	KEYBOARD_IDENTIFY = 0xf2,
	KEYBOARD_RATE = 0xf3,
	KEYBOARD_ENABLE = 0xf4,
	KEYBOARD_DISABLE = 0xf5,
	KEYBOARD_DEFAULTS = 0xf6,
	KEYBOARD_RESET = 0xff,
};

#define CONTROLLER_IS_WELL 0x55
#define PORT_IS_WELL       0x00
#define PORT_IS_DEAD       0x01 /* its clock line stays low: nothing is there */
#define ACKNOWLEDGED       0xfa
#define KEYBOARD_IS_WELL   0xaa
#define SEND_AGAIN         0xfe

struct i8042 {
	const struct pci *pci; /* knows whether there is one any more */
	struct i8042_state state;
};

static void i8042_put(struct i8042 *i8042, uint8_t byte)
{
	struct i8042_state *state = &i8042->state;

	if (state->count < I8042_OUTPUT_MAX)
		state->output[state->count++] = byte;
}

static uint8_t i8042_take(struct i8042 *i8042)
{
	struct i8042_state *state = &i8042->state;

	if (state->count > 0) {
		state->last = state->output[0];
		state->count--;
		memmove(state->output, state->output + 1, state->count);
		state->output[state->count] = 0;
	}
	return state->last;
}

/* ---- The keyboard ---- */

static const struct {
	uint8_t command;
	bool parameter;
	uint8_t count, answer[3];
} keyboard_commands[] = {
	{ KEYBOARD_LEDS, true, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_ECHO, false, 1, { KEYBOARD_ECHO } },
	{ KEYBOARD_SET, true, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_IDENTIFY, false, 3, { ACKNOWLEDGED, 0xab, 0x83 } },
	{ KEYBOARD_RATE, true, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_ENABLE, false, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_DISABLE, false, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_DEFAULTS, false, 1, { ACKNOWLEDGED } },
	{ KEYBOARD_RESET, false, 2, { ACKNOWLEDGED, KEYBOARD_IS_WELL } },
};

static void keyboard_write(struct i8042 *i8042, uint8_t byte)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(keyboard_commands) && keyboard_commands[i].command != byte)
		i++;
	if (i == ARRAY_SIZE(keyboard_commands)) {
		i8042_put(i8042, SEND_AGAIN);
		return;
	}
	for (unsigned j = 0; j < keyboard_commands[i].count; j++)
		i8042_put(i8042, keyboard_commands[i].answer[j]);
	if (keyboard_commands[i].parameter)
		i8042->state.expects = byte;
}

/* ---- The controller ---- */

static const uint8_t parameter_commands[] = {
	WRITE_CONTROL, WRITE_OUTPUT_PORT, WRITE_AS_KEYBOARD, WRITE_AS_MOUSE,
	WRITE_MOUSE,   KEYBOARD_LEDS,     KEYBOARD_SET,      KEYBOARD_RATE,
};

static bool i8042_may_expect(uint8_t command)
{
	return command == 0 ||
	       memchr(parameter_commands, command, sizeof(parameter_commands)) != NULL;
}

static enum power_request i8042_command(struct i8042 *i8042, uint8_t command)
{
	struct i8042_state *state = &i8042->state;

	state->expects = 0;
	switch (command) {
	case READ_CONTROL:
		i8042_put(i8042, state->control);
		break;
	case MOUSE_OFF:
		state->control |= CONTROL_MOUSE_OFF;
		break;
	case MOUSE_ON:
		state->control &= (uint8_t)~CONTROL_MOUSE_OFF;
		break;
	case KEYBOARD_OFF:
		state->control |= CONTROL_KEYBOARD_OFF;
		break;
	case KEYBOARD_ON:
		state->control &= (uint8_t)~CONTROL_KEYBOARD_OFF;
		break;
	case TEST_CONTROLLER:
		state->control |= CONTROL_SYSTEM;
		i8042_put(i8042, CONTROLLER_IS_WELL);
		break;
	case TEST_KEYBOARD:
		i8042_put(i8042, PORT_IS_WELL);
		break;
	case TEST_MOUSE:
		i8042_put(i8042, PORT_IS_DEAD);
		break;
	case PLATFORM_KEYBOARD_RESET:
		return POWER_RESET;
	default:
		if (i8042_may_expect(command) && command < KEYBOARD_LEDS)
			state->expects = command;
	}
	return POWER_NOTHING;
}

static void i8042_data(struct i8042 *i8042, uint8_t byte)
{
	uint8_t expects = i8042->state.expects;

	i8042->state.expects = 0;
	switch (expects) {
	case 0:
		keyboard_write(i8042, byte);
		break;
	case WRITE_CONTROL:
		i8042->state.control = byte;
		break;
	case WRITE_AS_KEYBOARD:
		i8042_put(i8042, byte);
		break;
	case KEYBOARD_LEDS:
	case KEYBOARD_SET:
	case KEYBOARD_RATE:
		i8042_put(i8042, ACKNOWLEDGED);
	}
}

/* When there is none any more, it is as where there never was: not busy, and it resets. */
static bool i8042_is_there(const struct i8042 *i8042)
{
	return !pci_is_handed_over(i8042->pci);
}

static uint64_t i8042_read_data(void *device, uint64_t offset, unsigned size)
{
	return i8042_is_there(device) ? i8042_take(device) : UINT64_MAX;
}

static uint64_t i8042_read_status(void *device, uint64_t offset, unsigned size)
{
	const struct i8042_state *state = &((const struct i8042 *)device)->state;

	if (!i8042_is_there(device))
		return 0;
	return STATUS_UNLOCKED | (state->count > 0 ? STATUS_OUTPUT : 0) |
	       (state->control & CONTROL_SYSTEM ? STATUS_SYSTEM : 0);
}

static enum power_request i8042_write_data(void *device, uint64_t offset, unsigned size,
					   uint64_t value)
{
	if (i8042_is_there(device))
		i8042_data(device, (uint8_t)value);
	return POWER_NOTHING;
}

static enum power_request i8042_write_command(void *device, uint64_t offset, unsigned size,
					      uint64_t value)
{
	if (i8042_is_there(device))
		return i8042_command(device, (uint8_t)value);
	return value == PLATFORM_KEYBOARD_RESET ? POWER_RESET : POWER_NOTHING;
}

/* ---- The row ---- */

static void i8042_init(void *device, const struct chipset_config *config)
{
	((struct i8042 *)device)->pci = chipset_devices_get(config->devices, &pci_ops);
}

static void i8042_reset(void *device)
{
	((struct i8042 *)device)->state = (struct i8042_state){ .control = CONTROL_AT_RESET };
}

static void i8042_save(const void *device, struct state_writer *writer)
{
	const struct i8042 *i8042 = device;

	state_put(writer, &i8042->state, sizeof(i8042->state));
}

static bool i8042_is_valid(const struct i8042_state *state)
{
	static const struct i8042_state none;

	return state->count <= I8042_OUTPUT_MAX && i8042_may_expect(state->expects) &&
	       memcmp(state->zero, none.zero, sizeof(none.zero)) == 0 &&
	       memcmp(state->output + state->count, none.output,
		      (size_t)(I8042_OUTPUT_MAX - state->count)) == 0;
}

static int i8042_restore(void *device, struct state_record *record)
{
	struct i8042_state state;

	if (state_get(record, &state, sizeof(state)) != 0 || !i8042_is_valid(&state))
		return STATE_E_INVALID;
	((struct i8042 *)device)->state = state;
	return 0;
}

static void i8042_inspect(const void *device, struct json_object **tree)
{
	const struct i8042_state *state = &((const struct i8042 *)device)->state;

	json_add(tree, "control", json_make_hex(state->control));
	json_add(tree, "waiting", json_object_new_int64(state->count));
}

const struct chipset_device_ops i8042_ops = {
	.name = "i8042",
	.size = sizeof(struct i8042),
	.ports = {
		{ PLATFORM_KEYBOARD_DATA, 1, 1, i8042_read_data, i8042_write_data },
		{ PLATFORM_KEYBOARD_PORT, 1, 1, i8042_read_status, i8042_write_command },
	},
	.init = i8042_init,
	.reset = i8042_reset,
	.state_version = 1,
	.save = i8042_save,
	.restore = i8042_restore,
	.inspect = i8042_inspect,
};

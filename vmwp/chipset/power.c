/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Power management. */
#include "vmwp/chipset/power.h"

#include "vmwp/base/platform.h"

#include <string.h>
#include <time.h>

/* PM1 status and enable, high byte. */
#define EVENT_RTC 0x04

#define GPE_GENERATION (1u << PLATFORM_GPE_GENERATION)

/* PM1 control, low byte. */
#define CONTROL_SCI_ENABLED 0x01

/* PM1 control, high byte. */
#define CONTROL_SLEEP_TYPE_SHIFT 2
#define CONTROL_SLEEP_TYPE_MASK  0x7
#define CONTROL_SLEEP_ENABLE     0x20 /* write-only */

#define TIMER_HZ  UINT64_C(3579545)
#define SECOND_NS UINT64_C(1000000000)

#define STATE_UNIT_NS 100u
#define ELAPSED_MAX   ((uint64_t)INT64_MAX / STATE_UNIT_NS)

void power_reset(struct power *power, uint64_t now)
{
	/* There is no legacy mode to come from: ACPI is on. */
	*power = (struct power){ .pm1_control = { CONTROL_SCI_ENABLED }, .timer_origin = now };
}

/* The event block: status in bytes 0-1, enable in 2-3. */
static uint8_t power_read_event(const struct power *power, unsigned offset)
{
	return offset < 2 ? power->pm1_status[offset] : power->pm1_enable[offset - 2];
}

static void power_write_event(struct power *power, unsigned offset, uint8_t value)
{
	if (offset >= 2)
		power->pm1_enable[offset - 2] = value;
	else
		power->pm1_status[offset] &= (uint8_t)~value;
}

uint32_t power_read_timer(struct power *power, unsigned offset, uint64_t now)
{
	uint64_t elapsed = now - power->timer_origin;

	if (offset == 0)
		power->timer = (uint32_t)(elapsed / SECOND_NS * TIMER_HZ +
					  elapsed % SECOND_NS * TIMER_HZ / SECOND_NS);
	return power->timer >> 8 * offset;
}

void power_alarm(struct power *power)
{
	power->pm1_status[1] |= EVENT_RTC;
}

void power_generation(struct power *power)
{
	power->gpe_status |= GPE_GENERATION;
}

/* The general-purpose block: status, enable. */
static uint8_t power_read_gpe(const struct power *power, unsigned offset)
{
	return offset == 0 ? power->gpe_status : power->gpe_enable;
}

static void power_write_gpe(struct power *power, unsigned offset, uint8_t value)
{
	if (offset == 0)
		power->gpe_status &= (uint8_t)~value;
	else
		power->gpe_enable = value;
}

/* Whether the SCI is asserted: an event that is enabled has come. */
static bool power_interrupt(const struct power *power)
{
	return power->pm1_status[0] & power->pm1_enable[0] ||
	       power->pm1_status[1] & power->pm1_enable[1] || power->gpe_status & power->gpe_enable;
}

static uint8_t power_read_control(const struct power *power, unsigned offset)
{
	return power->pm1_control[offset];
}

static enum power_request power_write_control(struct power *power, unsigned offset, uint8_t value)
{
	unsigned type = value >> CONTROL_SLEEP_TYPE_SHIFT & CONTROL_SLEEP_TYPE_MASK;

	if (offset == 0) {
		power->pm1_control[0] = value | CONTROL_SCI_ENABLED;
		return POWER_NOTHING;
	}
	power->pm1_control[1] = value & (uint8_t)~CONTROL_SLEEP_ENABLE;
	if (!(value & CONTROL_SLEEP_ENABLE))
		return POWER_NOTHING;
	switch (type) {
	case PLATFORM_SLEEP_TYPE_S4:
		return POWER_HIBERNATED;
	case PLATFORM_SLEEP_TYPE_S5:
		return POWER_OFF;
	}
	return POWER_NOTHING;
}

/* ---- State ---- */

/* Rounded up: the count must never go back. */
static void power_save(const struct power *power, uint64_t now, struct state_writer *writer)
{
	struct power_state state = {
		.timer_elapsed = (now - power->timer_origin + STATE_UNIT_NS - 1) / STATE_UNIT_NS,
		.timer = power->timer,
		.gpe_status = power->gpe_status,
		.gpe_enable = power->gpe_enable,
	};

	memcpy(state.pm1_status, power->pm1_status, sizeof(state.pm1_status));
	memcpy(state.pm1_enable, power->pm1_enable, sizeof(state.pm1_enable));
	memcpy(state.pm1_control, power->pm1_control, sizeof(state.pm1_control));
	state_put(writer, &state, sizeof(state));
}

static bool power_is_valid(const struct power_state *state, unsigned version)
{
	if (version == 1 && (state->gpe_status != 0 || state->gpe_enable != 0))
		return false;
	return state->pm1_status[0] == 0 && (state->pm1_status[1] & ~EVENT_RTC) == 0 &&
	       (state->pm1_control[0] & CONTROL_SCI_ENABLED) &&
	       !(state->pm1_control[1] & CONTROL_SLEEP_ENABLE) &&
	       (state->gpe_status & ~GPE_GENERATION) == 0 && state->timer_elapsed <= ELAPSED_MAX &&
	       state->zero == 0;
}

static int power_restore(struct power *power, uint64_t now, struct state_record *record)
{
	struct power_state state;

	if (state_get(record, &state, sizeof(state)) != 0 ||
	    !power_is_valid(&state, record->version))
		return STATE_E_INVALID;
	memcpy(power->pm1_status, state.pm1_status, sizeof(power->pm1_status));
	memcpy(power->pm1_enable, state.pm1_enable, sizeof(power->pm1_enable));
	memcpy(power->pm1_control, state.pm1_control, sizeof(power->pm1_control));
	power->timer_origin = now - state.timer_elapsed * STATE_UNIT_NS;
	power->timer = state.timer;
	power->gpe_status = state.gpe_status;
	power->gpe_enable = state.gpe_enable;
	return 0;
}

/* ---- The row ---- */

/* Nanoseconds of a clock that is never set. */
static uint64_t power_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t power_event_read(void *device, uint64_t offset, unsigned size)
{
	return power_read_event(device, (unsigned)offset);
}

static enum power_request power_event_write(void *device, uint64_t offset, unsigned size,
					    uint64_t value)
{
	power_write_event(device, (unsigned)offset, (uint8_t)value);
	return POWER_NOTHING;
}

static uint64_t power_control_read(void *device, uint64_t offset, unsigned size)
{
	return power_read_control(device, (unsigned)offset);
}

static enum power_request power_control_write(void *device, uint64_t offset, unsigned size,
					      uint64_t value)
{
	return power_write_control(device, (unsigned)offset, (uint8_t)value);
}

static uint64_t power_gpe_read(void *device, uint64_t offset, unsigned size)
{
	return power_read_gpe(device, (unsigned)offset);
}

static enum power_request power_gpe_write(void *device, uint64_t offset, unsigned size,
					  uint64_t value)
{
	power_write_gpe(device, (unsigned)offset, (uint8_t)value);
	return POWER_NOTHING;
}

static uint64_t power_timer_read(void *device, uint64_t offset, unsigned size)
{
	return power_read_timer(device, (unsigned)offset, offset == 0 ? power_clock() : 0);
}

static bool power_level(const void *device)
{
	return power_interrupt(device);
}

static void power_restart(void *device)
{
	power_reset(device, power_clock());
}

static void power_state_save(const void *device, struct state_writer *writer)
{
	power_save(device, power_clock(), writer);
}

static int power_state_restore(void *device, struct state_record *record)
{
	return power_restore(device, power_clock(), record);
}

static struct json_object *power_register(const uint8_t bytes[2])
{
	return json_make_hex(bytes[0] | (uint64_t)bytes[1] << 8);
}

static void power_inspect(const void *device, struct json_object **tree)
{
	const struct power *power = device;

	json_add(tree, "status", power_register(power->pm1_status));
	json_add(tree, "enable", power_register(power->pm1_enable));
	json_add(tree, "control", power_register(power->pm1_control));
	json_add(tree, "events", json_make_hex(power->gpe_status));
	json_add(tree, "events_enabled", json_make_hex(power->gpe_enable));
}

const struct chipset_device_ops power_ops = {
	.name = "power",
	.size = sizeof(struct power),
	.ports = {
		/* By bytes: the sleep type and the sleep enable bit share one. */
		{ PLATFORM_PM1_EVENT_PORT, 4, 1, power_event_read, power_event_write },
		{ PLATFORM_PM1_CONTROL_PORT, 2, 1, power_control_read, power_control_write },
		{ PLATFORM_PM_TIMER_PORT, 4, 4, power_timer_read, NULL },
		{ PLATFORM_GPE0_PORT, 2, 1, power_gpe_read, power_gpe_write },
	},
	.lines = { { PLATFORM_SCI_IRQ, power_level } },
	.reset = power_restart,
	.state_version = 2,
	.save = power_state_save,
	.restore = power_state_restore,
	.inspect = power_inspect,
};

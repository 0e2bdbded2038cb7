/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports that remember nothing. */
#include "vmwp/chipset/legacy_ports.h"

#include "vmwp/base/platform.h"

static uint64_t legacy_read_nmi_status(void *device, uint64_t offset, unsigned size)
{
	return PLATFORM_NMI_STATUS;
}

/* A keyboard controller that is never busy, so that a guest does not wait before resetting. */
static uint64_t legacy_read_keyboard(void *device, uint64_t offset, unsigned size)
{
	return 0;
}

static enum power_request legacy_write_keyboard(void *device, uint64_t offset, unsigned size,
						uint64_t value)
{
	return value == PLATFORM_KEYBOARD_RESET ? POWER_RESET : POWER_NOTHING;
}

enum power_request reset_port_write(uint8_t value)
{
	return value & PLATFORM_RESET_CPU ? POWER_RESET : POWER_NOTHING;
}

static uint64_t legacy_read_reset(void *device, uint64_t offset, unsigned size)
{
	return 0;
}

static enum power_request legacy_write_reset(void *device, uint64_t offset, unsigned size,
					     uint64_t value)
{
	return reset_port_write((uint8_t)value);
}

const struct chipset_device_ops legacy_ports_ops = {
	.name = "legacy ports",
	.ports = { { PLATFORM_NMI_STATUS_PORT, 1, 1, legacy_read_nmi_status, NULL } },
};

const struct chipset_device_ops keyboard_reset_ops = {
	.name = "keyboard reset",
	.ports = { { PLATFORM_KEYBOARD_PORT, 1, 1, legacy_read_keyboard, legacy_write_keyboard } },
};

const struct chipset_device_ops reset_port_ops = {
	.name = "reset port",
	.ports = { { PLATFORM_RESET_PORT, 1, 1, legacy_read_reset, legacy_write_reset } },
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power management and reset: the PM1a registers and the timer of full ACPI, and the ports by which
 * a guest resets the machine. Source: ACPI 6.4, chapter 4.8.
 *
 * The one event wired to PM1 is the clock's alarm, by which a guest that is suspended wakes. What a
 * power button would do, the shutdown service does. The one general-purpose event says that the VM's
 * generation ID is another one.
 *
 * The timer counts at 3.579545 MHz, in 32 bits. It is there for guests that do not ask Hyper-V for
 * the frequencies of their clocks and have nothing else to measure them by, Linux before 4.14 among
 * them. That it wraps is no event.
 */
#pragma once

#include "common/base/state.h"
#include "vmwp/chipset/chipset_device.h"

#include <stdbool.h>
#include <stdint.h>

/* The row's object. */
struct power {
	uint8_t pm1_status[2], pm1_enable[2];
	uint8_t pm1_control[2];
	uint8_t gpe_status, gpe_enable;
	uint64_t timer_origin; /* nanoseconds of the host's clock: when it was 0 */
	uint32_t timer;        /* as it was when its first byte was read */
};

/* now: the host's clock that never goes back, in nanoseconds. */
void power_reset(struct power *power, uint64_t now);

/* The timer from that byte on. Its bytes belong together when they are read from the first on. */
uint32_t power_read_timer(struct power *power, unsigned offset, uint64_t now);

/* The clock's alarm has gone off. */
void power_alarm(struct power *power);

/* The VM's generation ID is another one. */
void power_generation(struct power *power);

/* Its state, version 2. In version 1 both bytes of the general-purpose events were 0. Stored format. */
struct power_state {
	uint8_t pm1_status[2], pm1_enable[2], pm1_control[2];
	uint8_t gpe_status, gpe_enable;
	uint64_t timer_elapsed; /* since the timer was 0, in units of 100 ns, rounded up */
	uint32_t timer;         /* as it was when its first byte was read */
	uint32_t zero;
};
_Static_assert(sizeof(struct power_state) == 24, "stored format");

extern const struct chipset_device_ops power_ops;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power management and reset: the PM1a registers of full ACPI, and the ports by which a guest
 * resets the machine. Source: ACPI 6.4, chapter 4.8.
 *
 * The one event wired to PM1 is the clock's alarm, by which a guest that is suspended wakes. What a
 * power button would do, the shutdown service does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What the guest asked the machine to do. */
enum power_request {
	POWER_NOTHING,
	POWER_OFF,
	POWER_HIBERNATED, /* off, with what the guest had in memory on a disk of its */
	POWER_RESET,
};

struct power {
	uint8_t pm1_status[2], pm1_enable[2];
	uint8_t pm1_control[2];
};

void power_reset(struct power *power);

/* PM1a event block: status in bytes 0-1, enable in 2-3. */
uint8_t power_read_event(const struct power *power, unsigned offset);
void power_write_event(struct power *power, unsigned offset, uint8_t value);

/* PM1a control block. */
uint8_t power_read_control(const struct power *power, unsigned offset);
enum power_request power_write_control(struct power *power, unsigned offset, uint8_t value);

/* The clock's alarm has gone off. */
void power_alarm(struct power *power);

/* Whether the SCI is asserted: an event that is enabled has come. */
bool power_interrupt(const struct power *power);

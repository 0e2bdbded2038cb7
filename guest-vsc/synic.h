/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic interrupt controller: messages and event flags from the host.
 * Source: TLFS, inter-partition communication.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/tlfs.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Enables the message and the event flags page, and one SINT, which interrupts with
 * MACHINE_INTERRUPT_VECTOR and does not use AutoEOI. Return: false if an MSR faulted.
 */
bool synic_enable(uint32_t sint) MUST_CHECK;

/* The same without interrupts: messages and flags are looked for. */
bool synic_enable_polled(uint32_t sint) MUST_CHECK;
void synic_disable(uint32_t sint);

/*
 * Takes the message out of a SINT's slot, and tells the hypervisor to deliver the next one if it
 * waits. Return: false if there is none.
 */
bool synic_take_message(uint32_t sint, struct hv_message *ret_message);

/* The slot itself, for tests that leave messages there. */
volatile struct hv_message *synic_message_slot(uint32_t sint);

/* Clears an event flag. Return: whether it was set. */
bool synic_take_event(uint32_t sint, uint32_t flag);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hypercalls. Source: TLFS, hypercall interface.
 *
 * All are made through the hypercall page, never by an instruction of our own, so a guest runs
 * alike whatever the hypervisor puts there. They are made in ring 0; but HvCallSignalEvent, the
 * one that is made often, is made in ring 3 where the hypervisor allows that, which the first call
 * finds out.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/tlfs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Identifies the guest and enables the page. Return: false if the hypervisor did not let us. */
bool hypercall_enable(void) MUST_CHECK;
void hypercall_disable(void);

/* Whether HvCallSignalEvent is made in ring 3, as far as that is known. */
bool hypercall_signals_from_user_mode(void);

/* Any hypercall: the input value, RDX and R8. Return: the result value. A fault is a panic. */
uint64_t hypercall(uint64_t control, uint64_t first, uint64_t second);

/* Return: an enum hv_status. size: at most HV_MESSAGE_PAYLOAD_SIZE. */
uint16_t hypercall_post_message(uint32_t connection_id, uint32_t type, const void *payload,
				size_t size);
uint16_t hypercall_signal_event(uint32_t connection_id, uint16_t flag);

/* How many events were signalled since the machine started. */
uint64_t hypercall_signal_count(void);

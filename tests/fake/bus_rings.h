/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages of guest memory are rings of open channels. */
#pragma once

#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the page at that address of the host's is one, of another channel than `except`: what is
 * written to its rings in an iteration of the loop is marked when its own turn comes to an end.
 */
bool bus_has_ring_page(const struct vmbus *bus, const void *page, uint32_t except);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's objects as they are, as the control socket's "inspect" gives them
 * (common/control.h).
 *
 * Nothing stops for it but, for a moment, vps whose registers are read: what else they own is read
 * by atomics or under the locks that they take, what the guest owns is copied as it lies in its
 * memory. So each number is a true one, but two of them may be of different moments.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/control_contract.h"

#include <stdint.h>

struct json_object;
struct worker;

/* Of a worker that has a machine. New reference; NULL without memory. */
struct json_object *inspection_report(const struct worker *worker, enum control_part part,
				      uint32_t first);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest is told of its vps, as the control socket's "processors" gives it
 * (common/control.h).
 *
 * Thread: the loop's.
 */
#pragma once

struct json_object;
struct worker;

/* Of a worker that has a machine. New reference; NULL without memory. */
struct json_object *processors_report(const struct worker *worker);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is counted of a VM while it runs, as the control socket's "statistics" gives it
 * (common/control.h).
 *
 * Thread: the loop's.
 */
#pragma once

struct json_object;
struct vid_vp;
struct worker;

/* Of a worker that has a machine. New reference; NULL without memory. */
struct json_object *statistics_report(const struct worker *worker);

/* Of one vp: "exits" and "kernel_exits", added to *object as json_add() does. */
void statistics_add_exits(const struct vid_vp *vp, struct json_object **object);

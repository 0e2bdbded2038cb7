/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time synchronisation service: tells the guest the host's time of day.
 *
 * When the service connects, and after a resume, the guest is asked to set its clock; from then on
 * it gets a sample every interval, by which a program of its own may discipline the clock. A
 * sample never asks for a step. A guest that does not answer gets no more samples until it does.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct ic_time;

#define IC_TIME_INTERVAL_NS (5ull * 1000 * 1000 * 1000)

/* Borrows the bus. interval_ns: 0: IC_TIME_INTERVAL_NS. Return: 0, -errno. */
int ic_time_new(struct vmbus *bus, uint64_t interval_ns, struct ic_time **ret_time) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_time_free(struct ic_time *time);
DEFINE_CLEANUP(struct ic_time *, ic_time_free)

struct ic_service;
struct ic_service *ic_time_service(struct ic_time *time); /* vsp/ic/ic.h */

/* As ic_service_inspect(). */
struct json_object;
struct json_object *ic_time_inspect(const struct ic_time *time);

bool ic_time_is_connected(const struct ic_time *time);

/* The vps do not run; they run again: the guest is to set its clock. */
void ic_time_pause(struct ic_time *time);
void ic_time_resume(struct ic_time *time);

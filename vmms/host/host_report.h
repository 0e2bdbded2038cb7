/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this host's KVM can do: asked of the worker, which alone knows (`vmwp --probe`).
 *
 * The probe measures, which takes a moment; callers that ask meanwhile share its answer. Thread:
 * the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/base/failure.h"

#include <systemd/sd-event.h>

struct host_report;

/* program, directory: borrowed. */
int host_report_new(sd_event *loop, const char *program, const char *directory,
		    struct host_report **ret_report) MUST_CHECK;

/* Callers that wait are told that there will be no report. */
void host_report_free(struct host_report *report);
DEFINE_CLEANUP(struct host_report *, host_report_free)

/* text: a JSON object, as vmwp(8) describes it; NULL: failure says why there is none. */
typedef void (*host_report_fn)(void *data, const char *text, const struct failure *failure);

/* `done` is called once, from the loop. Return: 0, -errno. */
int host_report_ask(struct host_report *report, host_report_fn done, void *data) MUST_CHECK;

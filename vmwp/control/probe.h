/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this host's KVM can do for us, and what is missing, as JSON:
 *
 *	{
 *	  "kvm": true, "implementation": "kvm_amd", "api_version": 12, "max_vps": 1024,
 *	  "engines": {"in-kernel": true, "user-space": true}, "engine": "in-kernel",
 *	  "kernel_mode": {"native": true, "guest_ns": 0.7, "host_ns": 0.6},
 *	  "runs_stock_kernels": true,
 *	  "missing": ["KVM_CAP_…"],
 *	  "findings": [{"severity": "error|warning|info", "text": "…", "advice": "…"}]
 *	}
 *
 * engine: what "auto" means here, "" if nothing. kernel_mode: nanoseconds of one iteration of a
 * loop of two instructions; measured by running a small guest. Findings are sentences for people.
 */
#pragma once

#include "common/base/json.h"
#include "vid/vid.h"

/* New reference; NULL without memory. Takes some milliseconds. */
struct json_object *probe_report(struct vid *vid);

/* Opens /dev/kvm and prints the report to standard output. Return: an exit status. */
int probe_print(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics of all VMs, as OpenMetrics text, version 1.0.0: what monitoring systems scrape.
 *
 * It is made of what vm->statistics holds: see vmms/vm/statistics.h. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

struct manager;

#define METRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* *ret_text: freed by the caller. Return: 0, -ENOMEM. */
int metrics_format(const struct manager *manager, char **ret_text, size_t *ret_size) MUST_CHECK;

/*
 * Writes a label's value to buffer, escaped twice: what terminals would obey is made visible, then
 * what would end the value. Cut short if it does not fit. buffer_size: at least 1.
 */
void metrics_escape(char *buffer, size_t buffer_size, const char *text);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The partition's reference time. Source: TLFS, timers.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_SECOND 1000000000ull

/* Enables the reference TSC page. Return: false if the hypervisor has none. */
bool clock_enable(void) MUST_CHECK;

/*
 * Nanoseconds, in steps of 100. From the reference TSC page while that is valid, which costs no
 * exit; else from the reference counter, which does.
 */
uint64_t clock_now(void);

/* Whether clock_now() uses the page. */
bool clock_uses_page(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A test guest's report: one line a check on the serial port, read by tests/guest/run.
 *
 *	PASS name
 *	FAIL name: why
 *	NOTE text
 *	DONE passed=N failed=N
 *
 * A report without DONE is a failure, whatever else it says.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>

/* Reports a check, whose `why` is a format. Return: passed. */
bool report(bool passed, const char *name, const char *why, ...) PRINTF_LIKE(3, 4);

/* The same for a function that gives 0 or a code. Return: whether it gave 0. */
bool report_code(int code, const char *name);

/* Something worth knowing that is no check. */
void report_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* The last line. */
void report_done(void);

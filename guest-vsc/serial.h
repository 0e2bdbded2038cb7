/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first serial port (16550 at 0x3f8), for reports. Writing waits until the port has room.
 */
#pragma once

#include "common/base/cc.h"

#include <stdarg.h>
#include <stddef.h>

void serial_initialize(void);
void serial_write(const char *text, size_t size);

/* One line of at most 200 characters, as by text_format(). The line's end is added. */
void serial_print(const char *format, ...) PRINTF_LIKE(1, 2);

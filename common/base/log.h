/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log messages, on standard error.
 *
 * For mains and for the objects they are made of; libraries log at LOG_LEVEL_DEBUG or not at all.
 * A message is one line: whatever it quotes is escaped (common/base/text.h), so a guest cannot
 * forge lines. Where standard error leads to the journal, each line begins with its priority, as
 * sd-daemon(3) has it. errno is left as it was. Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Messages above this level are dropped. At first LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* Whether messages of this level are written. */
bool log_shows(enum log_level level);

/* Goes before every message, as "NAME: "; borrowed for good. NULL: nothing. */
void log_set_name(const char *name);

/* Standard error is the stream to the journal that systemd gave us, and not what took its place. */
bool log_leads_to_journal(void);

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

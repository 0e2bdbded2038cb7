/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An event of a VM's log, as GetLog and Logged give it: read, and printed.
 */
#pragma once

#include "common/base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct log_entry {
	uint64_t sequence, time; /* of CLOCK_REALTIME, microseconds */
	uint8_t priority;        /* as syslog(3) has it */
	const char *event, *message;
};

/* Of "ttyss"; the texts are the message's. Return: 1; 0 at the end; -errno. */
int log_entry_read(sd_bus_message *message, struct log_entry *ret_entry);

/* vm: its name; NULL: it is known. NULL without memory. */
struct json_object *log_entry_to_json(const struct log_entry *entry, const char *vm);

/* A line for people, or a JSON document that is a line. vm: likewise. */
void log_entry_print(const struct log_entry *entry, const char *vm, bool json);

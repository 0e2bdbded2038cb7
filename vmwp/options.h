/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line. */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmwp/base/exit_status.h"

#include <stdbool.h>
#include <sys/types.h>

enum options_mode { OPTIONS_RUN, OPTIONS_CONTROL, OPTIONS_PROBE, OPTIONS_EXIT };

struct options {
	enum options_mode mode;
	int exit_status;        /* OPTIONS_EXIT: all has been said */
	int control_fd;         /* OPTIONS_CONTROL */
	const char *definition; /* OPTIONS_RUN: path */
	const char *serial;     /* "stdio", "null" or a path */
	bool engine_given;
	enum definition_engine engine; /* instead of the definition's */
	bool no_sandbox;
	uid_t user; /* to become; SANDBOX_SAME_USER: none */
	bool print_timings;
	bool verbose;
};

void options_parse(int argc, char **argv, struct options *ret_options);

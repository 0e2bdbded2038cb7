/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's command line, vmms(8), and its file, vmms.conf(5). The command line
 * takes precedence.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/bus/dbus.h"
#include "vmms/units/units.h"
#include "vmms/vm/manager.h"

#include <limits.h>

struct settings {
	struct dbus_settings bus;
	struct manager_settings manager; /* points into the buffers below */
	unsigned metrics_port;           /* of the loopback interface; 0: none */
	bool keep_guests;                /* they run on when the daemon ends */
	enum units_mode units;
	char state_directory[PATH_MAX], runtime_directory[PATH_MAX], worker[PATH_MAX];
	char saved_directory[PATH_MAX];
	char image_guard[PATH_MAX], carrier[PATH_MAX];
	char screen[PATH_MAX];
	char file[PATH_MAX]; /* vmms.conf(5) */
	char *file_text;     /* to which values point; NULL: there is none */
};

enum {
	_SETTINGS_E_OK,
	SETTINGS_E_DONE,  /* --help or --version: all is said */
	SETTINGS_E_USAGE, /* wrong usage: what is wrong is on standard error */
};

/* To be kept as long as the process lives. Return: 0; SETTINGS_E_; -errno. */
int settings_read(int argc, char *argv[], struct settings *ret_settings) MUST_CHECK;

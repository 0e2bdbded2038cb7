/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Profiles of AppArmor, one for each run of a VM: they are loaded by apparmor_parser(8) before the
 * first process of the run starts, taken on by each when its program is executed (struct spawn),
 * and removed when the last has ended.
 *
 * A profile is not a property of a unit: AppArmorProfile= is of services, while workers are in
 * scopes (vmms/units/units.h), and have to be confined where there is no systemd, too.
 *
 * The parser is run by short-lived processes (vmms/base/helper.h), which the daemon does not wait
 * for. Texts are in a folder of the daemon's, until they are removed. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/apparmor/apparmor_profile.h"
#include "vmms/base/helper.h"

#include <limits.h>
#include <stdbool.h>

#define APPARMOR_FOLDER      "apparmor" /* in the runtime directory */
#define APPARMOR_PROBLEM_MAX 512

enum apparmor_mode {
	APPARMOR_AUTO,    /* where it can be had */
	APPARMOR_REQUIRE, /* or a VM does not start */
	APPARMOR_OFF,
};

/* "auto", "require", "off". Return: 0; -EINVAL. */
int apparmor_mode_parse(const char *text, enum apparmor_mode *ret_mode) MUST_CHECK;

/* Why nothing can be confined here; NULL: it can. parser: the path of apparmor_parser(8). */
const char *apparmor_obstacle(const char *parser);

/* All borrowed while a function runs. */
struct apparmor_config {
	const char *parser, *runtime_directory;
	struct apparmor_programs programs;
	unsigned timeout; /* seconds that the parser gets; 0: for ever */
};

/* Of a run that begins now, for its profile's name. */
uint64_t apparmor_next_number(void);

struct apparmor_load;

/* problem: NULL: it is loaded; else why not, as UTF-8. The load is gone when it returns. */
typedef void (*apparmor_loaded_fn)(void *data, const char *problem);

/* Return: 0: `loaded` will be called, not before this has returned; -errno. */
int apparmor_load(struct helpers *helpers, const struct apparmor_config *config, const char *name,
		  apparmor_loaded_fn loaded, void *data,
		  struct apparmor_load **ret_load) MUST_CHECK;

/* It fails soon. */
void apparmor_load_cancel(struct apparmor_load *load);

/* Nobody is told. */
void apparmor_load_free(struct apparmor_load *load);

/*
 * For when no process is under it any more, for such a process would be confined no longer. What
 * goes wrong is logged, and left to a later apparmor_remove_stale().
 */
void apparmor_remove(struct helpers *helpers, const struct apparmor_config *config,
		     const char *name);

/*
 * Removes those that an earlier daemon has left in the folder. is_used: called in another process,
 * which has a copy of all that is in memory now: a VM runs under it. Those that are loaded from now
 * on stay.
 */
void apparmor_remove_stale(struct helpers *helpers, const struct apparmor_config *config,
			   bool (*is_used)(void *data, const char *name), void *data);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting VMs when the daemon has started, as their definitions say ("automatic_start").
 *
 * The first daemon since the host has started starts all that ask for it; a later one those that
 * ran when the one before it ended, or was killed (vmms/vm/run_record.h), and do not run now. So
 * what somebody has stopped stays off, whatever becomes of the daemon.
 *
 * They are started one after another: the next one's delay begins when the one before it runs, or
 * could not be started.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

struct automatic_start;
struct manager;

/* Begins. Return: 0; -errno. */
int automatic_start_new(struct manager *manager, struct automatic_start **ret_start) MUST_CHECK;

/* Those that have not been started yet are not. They stay in the record, for the next daemon. */
void automatic_start_free(struct automatic_start *start);
DEFINE_CLEANUP(struct automatic_start *, automatic_start_free)

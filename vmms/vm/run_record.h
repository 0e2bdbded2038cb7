/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which VMs run, written down where it lasts as long as the host is up: so that the next daemon
 * knows what ran when this one ended, or was killed, and that the host has not started since.
 *
 * In the runtime directory, folder "running": UUID.json for each such VM, and boot.json with the id
 * of the boot that they are of.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"

#include <stdbool.h>

struct run_record;

/* Forgets what was written before the host started. Return: 0; -EBUSY: another daemon; -errno. */
int run_record_open(const char *runtime_directory, struct run_record **ret_record) MUST_CHECK;
void run_record_free(struct run_record *record);
DEFINE_CLEANUP(struct run_record *, run_record_free)

/* This is the first daemon since the host has started. */
bool run_record_is_first(const struct run_record *record);

/* What the first daemon does has been done: from now on it goes by the record, as others do. */
void run_record_settle(struct run_record *record);

bool run_record_has(const struct run_record *record, const struct guid *vm);

/* What cannot be written is logged. name: of the VM, for people. */
void run_record_add(struct run_record *record, const struct guid *vm, const char *name);
void run_record_remove(struct run_record *record, const struct guid *vm);

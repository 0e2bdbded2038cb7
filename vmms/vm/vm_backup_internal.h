/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of backups (vmms/vm/vm_backup*.c) share among themselves.
 */
#pragma once

#include "common/control.h"
#include "common/definition/definition.h"
#include "vmms/vm/vm_backup.h"

#include <stddef.h>

#define BACKUP_FILES_MAX CONTROL_FDS_MAX

/*
 * For each disk that is written: the file of its changes, and one for old bytes. *count: how many are
 * the caller's, also on failure. Return: 0; -errno.
 */
int backup_open_files(const struct vm *vm, int *fds, size_t *count) MUST_CHECK;

/* Bytes for old bytes of each disk. */
uint64_t backup_scratch_size(const struct vm *vm, uint64_t wanted);

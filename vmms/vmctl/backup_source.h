/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk as it was at one instant, read from the VM's worker over the network block device protocol.
 *
 * The worker may be a guest's by now: what it says is checked, and what cannot be is an error. It waits
 * for as long as the worker takes.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BACKUP_READ_MAX (1u << 20) /* bytes */

struct backup_source;

/*
 * socket: connected, taken over. name: of the export. since: the GUID of a point, or NULL. Return: 0;
 * -EPROTO: it does not keep to the protocol; -errno.
 */
int backup_source_new(int socket, const char *name, const char *since,
		      struct backup_source **ret_source) MUST_CHECK;
void backup_source_free(struct backup_source *source);
DEFINE_CLEANUP(struct backup_source *, backup_source_free)

uint64_t backup_source_size(const struct backup_source *source);

/* Whether it is known what has changed since the point. */
bool backup_source_knows(const struct backup_source *source);

/*
 * Whether what is at an offset has changed since, and for how many bytes that is so, at least.
 * Return: 0; -errno.
 */
int backup_source_find(struct backup_source *source, uint64_t offset, bool *ret_changed,
		       uint64_t *ret_size) MUST_CHECK;

/* *ret_zero: all of it is. Return: 0; -EIO: there is no such view any more; -errno. */
int backup_source_read(struct backup_source *source, uint64_t offset, void *buffer, uint32_t size,
		       bool *ret_zero) MUST_CHECK;

/* It will not be read again: the worker need not keep it. Return: 0; -errno. */
int backup_source_release(struct backup_source *source, uint64_t offset, uint64_t size) MUST_CHECK;

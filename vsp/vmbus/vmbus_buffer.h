/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of the guest that a VSP keeps for as long as the guest leaves it: a GPADL, mapped.
 *
 * The list has the buffer as a user: where the guest tears it down meanwhile, it is answered when
 * the buffer is unmapped, which is the VSP's to do when the guest revokes the buffer, and at the
 * latest before vmbus_channel_closed().
 *
 * What lies in the buffer is the guest's to change at any time. Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>
#include <sys/uio.h>

struct vmbus_channel;

struct vmbus_buffer;

/*
 * Maps a list that the guest made for this channel. On a bus that is quiet it may be one that is
 * being torn down, as that of a buffer which was mapped when the state was saved. size_max: bytes; larger ones are refused.
 * Return: 0; VMBUS_E_INVALID: no such list, of another shape, not RAM, or too large; -ENOMEM.
 */
int vmbus_buffer_map(struct vmbus_channel *channel, uint32_t gpadl, uint32_t size_max,
		     struct vmbus_buffer **ret_buffer) MUST_CHECK;

/* Accepts NULL. */
void vmbus_buffer_unmap(struct vmbus_buffer *buffer);

/* The guest's name for it. */
uint32_t vmbus_buffer_gpadl(const struct vmbus_buffer *buffer);

uint32_t vmbus_buffer_size(const struct vmbus_buffer *buffer);

/*
 * Host addresses of `size` bytes from `offset` on, which must lie in the buffer; neighbours are
 * merged. iov must hold size / HV_PAGE_SIZE + 2. Return: how many were filled.
 */
unsigned vmbus_buffer_iov(const struct vmbus_buffer *buffer, uint32_t offset, uint32_t size,
			  struct iovec *iov);

/* Copies to the buffer, and marks that as written. */
void vmbus_buffer_write(struct vmbus_buffer *buffer, uint32_t offset, const void *source,
			uint32_t size);

/* The host has written there by other means. */
void vmbus_buffer_mark(const struct vmbus_buffer *buffer, uint32_t offset, uint32_t size);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is about to fill pages of guest memory: stand-ins for the functions that begin and end that.
 *
 * The linker calls these in place of loop_read() and so on (--wrap), and the originals __real_.
 */
#include "tests/fake/write_watch.h"

#include "common/base/list.h"
#include "common/base/loop.h"
#include "vsp/vmbus/vmbus.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct piece {
	struct write_watch *watch; /* NULL: it is gone */
	uint64_t offset, size;
};

/* Reads and packets alike: pieces of memory that are lent together. */
struct loan {
	struct list link;

	/* A read. */
	struct loop_operation *operation;
	loop_complete_fn complete; /* the operation's own */

	/* A packet, by its channel; or as many as the guest gave the same number. */
	const struct vmbus_channel *channel;
	uint64_t transaction_id;
	unsigned packets;

	size_t piece_count;
	struct piece *pieces;
};

static struct list loans = { &loans, &loans };
static pthread_mutex_t loans_lock = PTHREAD_MUTEX_INITIALIZER;

static void loan_add(struct loan *loan, const struct iovec *iov, unsigned iov_count)
{
	for (unsigned i = 0; i < iov_count; i++) {
		struct piece piece;
		size_t size;

		piece.watch = write_watch_of(iov[i].iov_base, iov[i].iov_len, &piece.offset, &size);
		piece.size = piece.watch ? size : iov[i].iov_len;
		loan->pieces = realloc(loan->pieces, (loan->piece_count + 1) * sizeof(piece));
		assert(loan->pieces);
		loan->pieces[loan->piece_count++] = piece;
		if (piece.watch)
			write_watch_lend(piece.watch, piece.offset, piece.size);
	}
}

static bool has_guest_memory(const struct iovec *iov, unsigned iov_count)
{
	for (unsigned i = 0; i < iov_count; i++) {
		uint64_t offset;
		size_t size;

		if (write_watch_of(iov[i].iov_base, iov[i].iov_len, &offset, &size))
			return true;
	}
	return false;
}

/* filled: so many bytes were. Caller holds the lock. */
static void loan_end(struct loan *loan, uint64_t filled)
{
	list_unlink(&loan->link);
	for (size_t i = 0; i < loan->piece_count; i++) {
		const struct piece *piece = &loan->pieces[i];
		uint64_t part = MIN(piece->size, filled);

		filled -= part;
		if (!piece->watch)
			continue;
		write_watch_give_back(piece->watch, piece->offset, piece->size);
		write_watch_filled(piece->watch, piece->offset, part);
	}
	free(loan->pieces);
	free(loan);
}

void write_watch_forget(const struct write_watch *watch)
{
	pthread_mutex_lock(&loans_lock);
	list_for_each (link, &loans) {
		struct loan *loan = container_of(link, struct loan, link);
		size_t left = 0;

		for (size_t i = 0; i < loan->piece_count; i++) {
			if (loan->pieces[i].watch == watch)
				loan->pieces[i].watch = NULL;
			left += loan->pieces[i].watch != NULL;
		}
		if (left == 0)
			loan_end(loan, 0);
	}
	pthread_mutex_unlock(&loans_lock);
}

static struct loan *loan_new(void)
{
	struct loan *loan = calloc(1, sizeof(*loan));

	assert(loan);
	list_append(&loans, &loan->link);
	return loan;
}

/* ---- Reads ---- */

static struct loan *read_find(const struct loop_operation *operation)
{
	list_for_each (link, &loans) {
		struct loan *loan = container_of(link, struct loan, link);

		if (loan->operation == operation)
			return loan;
	}
	return NULL;
}

static void read_complete(struct loop_operation *operation, int result, bool more)
{
	struct loan *loan;
	loop_complete_fn complete;

	pthread_mutex_lock(&loans_lock);
	loan = read_find(operation);
	assert(loan && !more);
	complete = operation->complete = loan->complete;
	loan_end(loan, result > 0 ? (uint64_t)result : 0);
	pthread_mutex_unlock(&loans_lock);
	complete(operation, result, more);
}

static void read_begin(struct loop_operation *operation, const struct iovec *iov,
		       unsigned iov_count)
{
	struct loan *loan;

	if (!has_guest_memory(iov, iov_count))
		return;
	pthread_mutex_lock(&loans_lock);
	loan = loan_new();
	loan->operation = operation;
	loan->complete = operation->complete;
	operation->complete = read_complete;
	loan_add(loan, iov, iov_count);
	pthread_mutex_unlock(&loans_lock);
}

void __real_loop_readv(struct loop *loop, struct loop_operation *operation, int fd,
		       const struct iovec *iov, unsigned iov_count, uint64_t offset);
void __wrap_loop_readv(struct loop *loop, struct loop_operation *operation, int fd,
		       const struct iovec *iov, unsigned iov_count, uint64_t offset);
void __real_loop_read(struct loop *loop, struct loop_operation *operation, int fd, void *buffer,
		      size_t size);
void __wrap_loop_read(struct loop *loop, struct loop_operation *operation, int fd, void *buffer,
		      size_t size);

void __wrap_loop_readv(struct loop *loop, struct loop_operation *operation, int fd,
		       const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
	read_begin(operation, iov, iov_count);
	__real_loop_readv(loop, operation, fd, iov, iov_count, offset);
}

void __wrap_loop_read(struct loop *loop, struct loop_operation *operation, int fd, void *buffer,
		      size_t size)
{
	struct iovec iov = { buffer, size };

	read_begin(operation, &iov, 1);
	__real_loop_read(loop, operation, fd, buffer, size);
}

/* ---- Packets whose pages the host may write: those that are mapped with their extents ---- */

static struct loan *packet_find(const struct vmbus_channel *channel, uint64_t transaction_id)
{
	list_for_each (link, &loans) {
		struct loan *loan = container_of(link, struct loan, link);

		if (loan->channel == channel && loan->transaction_id == transaction_id)
			return loan;
	}
	return NULL;
}

int __real_vmbus_packet_map(struct vmbus_channel *channel, const struct vmbus_packet *packet,
			    struct iovec *iov, struct vmbus_extent *extents, unsigned iov_max,
			    unsigned *ret_iov_count);
int __wrap_vmbus_packet_map(struct vmbus_channel *channel, const struct vmbus_packet *packet,
			    struct iovec *iov, struct vmbus_extent *extents, unsigned iov_max,
			    unsigned *ret_iov_count);
int __real_vmbus_channel_complete(struct vmbus_channel *channel, uint64_t transaction_id,
				  const void *payload, size_t size);
int __wrap_vmbus_channel_complete(struct vmbus_channel *channel, uint64_t transaction_id,
				  const void *payload, size_t size);
int __real_vmbus_channel_complete_without_interrupt(struct vmbus_channel *channel,
						    uint64_t transaction_id, const void *payload,
						    size_t size, size_t held);
int __wrap_vmbus_channel_complete_without_interrupt(struct vmbus_channel *channel,
						    uint64_t transaction_id, const void *payload,
						    size_t size, size_t held);
void __real_vmbus_channel_closed(struct vmbus_channel *channel);
void __wrap_vmbus_channel_closed(struct vmbus_channel *channel);

int __wrap_vmbus_packet_map(struct vmbus_channel *channel, const struct vmbus_packet *packet,
			    struct iovec *iov, struct vmbus_extent *extents, unsigned iov_max,
			    unsigned *ret_iov_count)
{
	int r = __real_vmbus_packet_map(channel, packet, iov, extents, iov_max, ret_iov_count);
	struct loan *loan;

	if (r || !extents)
		return r;
	pthread_mutex_lock(&loans_lock);
	loan = packet_find(channel, packet->transaction_id);
	if (!loan) {
		loan = loan_new();
		loan->channel = channel;
		loan->transaction_id = packet->transaction_id;
	}
	loan->packets++;
	loan_add(loan, iov, *ret_iov_count);
	pthread_mutex_unlock(&loans_lock);
	return r;
}

static void packet_completed(const struct vmbus_channel *channel, uint64_t transaction_id)
{
	struct loan *loan;

	pthread_mutex_lock(&loans_lock);
	loan = packet_find(channel, transaction_id);
	if (loan && --loan->packets == 0)
		loan_end(loan, 0);
	pthread_mutex_unlock(&loans_lock);
}

int __wrap_vmbus_channel_complete(struct vmbus_channel *channel, uint64_t transaction_id,
				  const void *payload, size_t size)
{
	int r = __real_vmbus_channel_complete(channel, transaction_id, payload, size);

	if (r != VMBUS_E_FULL)
		packet_completed(channel, transaction_id);
	return r;
}

int __wrap_vmbus_channel_complete_without_interrupt(struct vmbus_channel *channel,
						    uint64_t transaction_id, const void *payload,
						    size_t size, size_t held)
{
	int r = __real_vmbus_channel_complete_without_interrupt(channel, transaction_id, payload,
								size, held);

	if (r != VMBUS_E_FULL)
		packet_completed(channel, transaction_id);
	return r;
}

void __wrap_vmbus_channel_closed(struct vmbus_channel *channel)
{
	pthread_mutex_lock(&loans_lock);
	list_for_each (link, &loans) {
		struct loan *loan = container_of(link, struct loan, link);

		if (loan->channel == channel)
			loan_end(loan, 0);
	}
	pthread_mutex_unlock(&loans_lock);
	__real_vmbus_channel_closed(channel);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk: sectors that can be read, written, flushed and given back, asynchronously.
 *
 * It knows nothing of SCSI or of the guest. A backend fills a struct disk_ops and embeds a struct
 * disk: disk_file.c for files and block devices, disk_vhdx.c and disk_vhd.c for VHDX and VHD images,
 * disk_nbd.c for one that a server has.
 *
 * A request is embedded in its owner's object; its buffers, and the array of I/O vectors, which
 * the disk may change, are the disk's until `complete` runs. `complete` never runs inside
 * disk_submit().
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/base/loop.h"
#include "vsp/storage/buffer_pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk;
struct disk_changes;
struct disk_throttle;
struct image;
struct vhd;
struct vhdx;
struct vhdx_patches;

enum {
	_DISK_E_OK,
	DISK_E_SHORT, /* the medium ends before the disk does: somebody shortened the file */
	DISK_E_LOST,  /* of a flush: writes that were acknowledged before it are lost */
};

enum disk_operation {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH, /* what was acknowledged before is on stable storage after */
	DISK_UNMAP, /* the range need not be kept: a hint */
	DISK_ZERO,  /* the range reads as zeros afterwards */
};

struct disk_request {
	enum disk_operation operation;
	bool durable;          /* DISK_WRITE: on stable storage when complete */
	bool unmap;            /* DISK_ZERO: the space may be given back */
	uint64_t offset, size; /* bytes: whole sectors within the disk; 0 for DISK_FLUSH */
	struct iovec *iov;     /* DISK_READ, DISK_WRITE: exactly `size` bytes */
	unsigned iov_count;
	struct buffer_pool *buffers; /* where the disk gets a buffer if it needs one */

	/* By disk_abandon(): nobody waits for what has not been begun. */
	bool abandoned;

	/* result: 0; DISK_E_; -errno. */
	void (*complete)(struct disk_request *request, int result);

	/* The disk's, from disk_submit() to `complete`. */
	struct disk *disk;
	uint64_t begun; /* by loop_now() */
	struct loop_operation loop_operation;
	struct buffer_waiter waiter;
	void *buffer;
	struct iovec buffer_iov;
	struct list link;
	bool under_way;
	bool aside;   /* by disk_submit_aside() */
	bool held;    /* it failed, and waits for disk_retry() */
	bool retried; /* it failed before */
	bool throttled; /* it waits, by the disk's limits, or for what is to be known of its changes */
};

/* A lock goes with the file as it was opened (F_OFD_SETLK): a VM's, in whichever process. */
enum disk_lock {
	DISK_LOCK_DROP,
	DISK_LOCK_TAKE,
	DISK_LOCK_SHARE, /* from now on it is only read */
	DISK_LOCK_FIND, /* another has it, so that there can be no two images that go by one name */
};

struct disk_ops {
	/* Required. The request is well-formed, in range, and allowed (no write to a read-only
	 * disk); disk_complete() ends it, but not before submit returns. */
	void (*submit)(struct disk *disk, struct disk_request *request);
	void (*free)(struct disk *disk);

	/* Optional: a request that is under way has been abandoned; it still has to complete. */
	void (*abandon)(struct disk *disk);

	/* Optional: the file that it is in, by which that is known again; -1. */
	int (*descriptor)(const struct disk *disk);

	/* Optional: what disk->size would be if the disk were opened now. Return: 0; -errno. */
	int (*measure)(const struct disk *disk, uint64_t *ret_size);

	/*
	 * Optional: what is done to the lock of its image. Return: 0; -EAGAIN: another has it, or of
	 * DISK_LOCK_FIND none; -errno.
	 */
	int (*lock)(struct disk *disk, enum disk_lock what);

	/* Optional: no more requests will come. What there is to do at the end may take its time, as
	 * requests of the backend's own. */
	void (*retire)(struct disk *disk);
};

/*
 * How long requests took: bucket i has those of at most 2^i microseconds, the last one all others.
 */
#define DISK_LATENCY_BUCKETS 24

struct disk_latency {
	uint64_t buckets[DISK_LATENCY_BUCKETS];
	uint64_t sum; /* nanoseconds */
};

struct disk_counters {
	uint64_t reads, writes, flushes, unmaps; /* requests ended; zeroing counts as unmap */
	uint64_t bytes_read, bytes_written;      /* of reads and writes that succeeded */
	uint64_t errors;
	struct disk_latency read_latency, write_latency;
};

void disk_counters_add(struct disk_counters *sum, const struct disk_counters *counters);

/*
 * Who is told of requests that fail, and decides what becomes of them. All members are required;
 * none may submit, retry or retire: that is for later.
 */
struct disk_observer {
	/*
	 * error: -errno or DISK_E_. can_hold: the same request can be made again without losing
	 * anything. Return: whether it is to be held, which counts only if it can be.
	 */
	bool (*failed)(void *data, const struct disk_request *request, int error, bool can_hold);

	/* No request is held any more: all have been carried out, or nobody waits for them. */
	void (*released)(void *data);

	/* The disk is given up: this is the last that is told of it, and it may not be used. */
	void (*retired)(void *data);
	void *data;
};

struct disk {
	const struct disk_ops *ops;
	uint64_t size; /* bytes, a multiple of sector_size */
	uint32_t sector_size;
	uint32_t physical_block_size; /* sector_size or a larger power of two */
	bool read_only;
	bool unmap;        /* DISK_UNMAP is worth asking for */
	bool unmap_zeroes; /* and what was given back reads as zeros */

	/*
	 * A flush that has failed for want of space can be made again: what it was to write has not
	 * been forgotten. The kernel does forget, after it has told so once.
	 */
	bool flush_is_repeatable;

	/*
	 * Writes that were acknowledged are lost, and nobody knows which. Who has written them may
	 * have many users, all of which are to hear of it: so every flush fails with DISK_E_LOST,
	 * until somebody uses the disk who knows nothing of those writes, and sets this to false.
	 */
	bool lost;

	struct disk_throttle *throttle; /* or NULL */
	struct disk_changes *changes;   /* or NULL: vsp/storage/disk_changes.h */

	const struct disk_observer *observer; /* or NULL */
	struct list held;                     /* requests, oldest first */
	unsigned held_count, retried_count;   /* retried_count: under way again */

	struct disk_counters counters;
	unsigned in_flight;
	bool retiring;
	void (*retired)(void *data);
	void *retired_data;
};

/* Starts a request. A range outside the disk is the caller's mistake. */
void disk_submit(struct disk *disk, struct disk_request *request);

/*
 * The same of one that is not its guest's: reads, which no limit holds, and that are not held should
 * they fail.
 */
void disk_submit_aside(struct disk *disk, struct disk_request *request);

/* The file that the disk is in; -1: none of which that can be told. */
int disk_descriptor(const struct disk *disk);

/* For backends: ends a request, or holds it. */
void disk_complete(struct disk_request *request, int result);

/* For backends: what a new disk begins with. */
void disk_init(struct disk *disk);

/* observer: borrowed; NULL: none any more. Before the first request, or instead of another. */
void disk_observe(struct disk *disk, const struct disk_observer *observer);

/*
 * From now on no more than that in any second, but for a burst of a tenth of a second: requests of
 * all kinds, and bytes read and written, together. Others wait. 0: without a limit. Before the
 * first request. Return: 0; -ENOMEM.
 */
struct disk_limits {
	uint64_t iops, bandwidth;
};
int disk_limit(struct disk *disk, struct loop *loop, const struct disk_limits *limits) MUST_CHECK;

/*
 * What it is on may have become larger since it was opened; if so, it is larger from now on. It
 * never becomes smaller. Return: 0; -ENOTSUP: its size is not that of a file; -errno.
 */
int disk_measure(struct disk *disk) MUST_CHECK;

/*
 * As the operation; -EOPNOTSUPP: the disk's image is not one file that the guest's sectors are in as
 * they are, so that another process could not go on with it.
 */
int disk_lock(struct disk *disk, enum disk_lock what) MUST_CHECK;

/*
 * A new disk, of the same size and sectors, takes over what is counted of another, who observes it and
 * what it is limited to. Nothing of either is under way. The other one lives on, as a part of it.
 */
void disk_replace(struct disk *old, struct disk *disk);

/* Requests that are held are tried again, from where they stopped. */
void disk_retry(struct disk *disk);

/*
 * Nobody waits for the request any more: one that is held, or waits by the disk's limits, ends with
 * -ECANCELED before this returns; one that is under way is not held should it fail.
 */
void disk_abandon(struct disk_request *request);

/*
 * Gives the disk up: no request may be submitted any more, and those that are held end with
 * -ECANCELED. Frees it when the last one under way has completed, and calls retired(data), which
 * may be NULL; both perhaps before returning.
 */
void disk_retire(struct disk *disk, void (*retired)(void *data), void *data);

/*
 * A disk on an image that image_open() or image_examine() describes. Takes over image->fd, also on
 * failure. Return: 0, -ENOMEM.
 */
int disk_file_new(struct loop *loop, const struct image *image, uint32_t sector_size,
		  struct disk **ret_disk) MUST_CHECK;

/* The file of a disk_file_new() disk, which it keeps; -1: it is another disk. */
int disk_file_descriptor(const struct disk *disk);

/*
 * From now on flushes do nothing, and durable writes are like any other: what is acknowledged may
 * be lost with the host's power. Before the first request; only for a disk_file_new() disk.
 */
void disk_file_drop_flushes(struct disk *disk);

/*
 * A disk in a VHDX image. file: the image's bytes, with a size that it may grow to; parent: the disk
 * that has what is not in the image, or NULL; both are taken over, also on failure. vhdx, file_size:
 * as vhdx_open() has it; patches are taken over. Return: 0; -ENOMEM.
 */
int disk_vhdx_new(struct loop *loop, struct disk *file, struct disk *parent,
		  const struct vhdx *vhdx, struct vhdx_patches *patches, uint64_t file_size,
		  struct disk **ret_disk) MUST_CHECK;

/*
 * The same on a file, of whose beginning some is read before this returns; vhdx_recover() has made it
 * fit. parent: such a disk, too. Takes over image->fd and the parent, also on failure. Return: 0;
 * VHDX_E_; -errno.
 */
int disk_vhdx_open(struct loop *loop, const struct image *image, struct disk *parent,
		   bool drop_flushes, struct disk **ret_disk) MUST_CHECK;

/*
 * The same as a child of a disk whose image is a VHDX, too, which is in use, and which
 * disk_vhdx_set_parent() gives it before its first request; or it is retired without. Return: 0;
 * VHDX_E_, VHDX_E_PARENT also if the image is no child of that disk's as it is now; -errno.
 */
int disk_vhdx_open_child(struct loop *loop, const struct image *image, struct disk *parent,
			 bool drop_flushes, struct disk **ret_disk) MUST_CHECK;

/* The parent is the child's from now on, and is written no more: it has been sealed. */
void disk_vhdx_set_parent(struct disk *disk, struct disk *parent);

/* Whether it is a disk in a VHDX image that may be written. */
bool disk_vhdx_can_be_parent(const struct disk *disk);

/*
 * All of a disk in a VHDX image is in its file, which needs no log any more; before the next change it
 * is put in use again, and then is another image to its children. No request is under way; one that
 * flushes has been made before. sealed(data) is called once, perhaps before this returns.
 */
void disk_vhdx_seal(struct disk *disk, void (*sealed)(void *data), void *data);

/* Others may read the image from now on. Return: 0; -errno. */
int disk_vhdx_share(struct disk *disk) MUST_CHECK;

/*
 * A disk in a VHD image that is not of fixed size, as above. vhd: as vhd_open() has it, with a footer
 * that is whole if the file is going to be written.
 */
int disk_vhd_new(struct loop *loop, struct disk *file, struct disk *parent, const struct vhd *vhd,
		 struct disk **ret_disk) MUST_CHECK;

/*
 * The same on a file, which vhd_recover() has made fit, of any kind. id: of the parent, if there is
 * one, before; of this image after. Takes over image->fd and the parent, also on failure. Return: 0;
 * VHD_E_; -errno.
 */
int disk_vhd_open(struct loop *loop, const struct image *image, struct disk *parent,
		  uint8_t id[static 16], bool drop_flushes, struct disk **ret_disk) MUST_CHECK;

/*
 * A disk that a server has, at the other end of a connected stream socket, which speaks the network
 * block device protocol. The handshake is made before this returns (vsp/storage/nbd_handshake.h).
 * Takes over the socket, also on failure. Return: 0; NBD_E_; -errno.
 *
 * Once the connection has ended, by the server or because that broke the protocol, requests wait
 * for another one: those that were under way are made again then, which does no harm, since they
 * say where they read and write. Until somebody gives up; then, and where nobody waits for another
 * connection, every request fails with -EIO.
 *
 * Writes that the last server had acknowledged, and no flush came after, may be lost: `lost` is
 * set then.
 */
struct disk_nbd_owner {
	/* The connection has ended by itself, which shows when it is used. why: "its server has …";
	 * may be NULL. */
	void (*broken)(void *data, struct disk *disk, const char *why);
	void *data;
};

struct disk_nbd_options {
	uint32_t sector_size;
	bool read_only;
	bool unmap_zeroes; /* what the server trims reads as zeros; the protocol does not tell */
	bool waits;        /* for another connection, when one has ended */
	struct disk_nbd_owner owner;
};

int disk_nbd_new(struct loop *loop, int socket, const struct disk_nbd_options *options,
		 struct disk **ret_disk) MUST_CHECK;

/*
 * Another connection to a server of the same image, of a disk that waits for that, or whose server
 * has ended without its having shown. Takes over the socket, also on failure. Return: 0; NBD_E_,
 * also NBD_E_REFUSED where the disk has another size than before; -errno; -EINVAL: it is no such
 * disk.
 */
int disk_nbd_reconnect(struct disk *disk, int socket) MUST_CHECK;

/*
 * Writes were acknowledged, and no flush after them: a server that died may have lost them, as a
 * disk may by a loss of power. Or one did.
 */
bool disk_nbd_is_unflushed(const struct disk *disk);

/* Nobody waits for another connection: all requests fail, from now on. */
void disk_nbd_give_up(struct disk *disk);

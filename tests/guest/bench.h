/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many requests a disk serves, at native speed, by polling: what the benchmark guests share,
 * whatever their disk is.
 *
 * Each workload is one line:
 *	BENCH name requests=N bytes=N ns=N doorbells=N interrupts=N
 * Parameters: requests=N, how many of the small ones; write=0: no writing; disk_bytes=N: use no
 * more than the first N bytes; batch=N: submit anew when so many of a full queue have completed.
 * Unless write=0 the disk's contents are lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BENCH_DEPTH_MAX 32

/* One slot is one request in flight, 0 to BENCH_DEPTH_MAX - 1. */
struct bench_request {
	unsigned slot;
	bool write;
	uint64_t offset; /* bytes, as is size: whole blocks of 4 KiB */
	void *buffer;
	uint32_t size;
};

struct bench_disk {
	uint64_t bytes;
	uint32_t transfer_max; /* bytes; of one request */
	bool read_only;

	/* Stages a request. Return: false if it cannot be. */
	bool (*submit)(const struct bench_request *request);
	/* Rings the doorbell for what is staged, if the other side wants to hear it. */
	void (*flush)(void);
	/* Calls bench_complete() for what has completed. Return: false if the disk is lost. */
	bool (*poll)(void);
	/* How often the doorbell was rung. */
	uint64_t (*doorbells)(void);
	/* Nanoseconds. */
	uint64_t (*now)(void);
};

/* Runs and reports all workloads. */
void bench_run(const struct bench_disk *disk);

/* For the disk's poll() alone. */
void bench_complete(unsigned slot, bool succeeded);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a device of a VM is to its worker: a row of operations.
 *
 * vmwp/device/devices.c has the table of all rows, in the order in which they are made; it is
 * walked for whatever concerns all of them, so that a device is added in one place. A row may stand
 * for several devices of one kind (all disks, all network adapters), which come and go at run time.
 *
 * Thread: the loop's. The vps may run, except where it is said that they do not.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "vmwp/base/failure.h"

#include <stdbool.h>

struct definition;
struct devices;
struct devices_callbacks;
struct handover;
struct loop;
struct machine;
struct resources;
struct state_reader;
struct state_writer;
struct vmbus;

/* What devices are made from, and find as long as they are. All pointers are borrowed. */
struct device_config {
	struct loop *loop;
	struct machine *machine;
	struct vmbus *bus; /* the machine's */
	const struct definition *definition;
	struct resources *resources; /* what `make` needs is taken from there; NULL after it */
	struct devices *devices;     /* those of the rows before */
	const struct devices_callbacks *callbacks;
	void *data; /* for the callbacks */
	bool alone; /* there is no daemon that wants to know what the guest tells of itself */
};

/* Where a device is reported. */
enum device_kind {
	DEVICE_OF_MACHINE, /* a part of the machine, which makes and frees it with itself */
	DEVICE_SYNTHETIC,
	DEVICE_SERVICE, /* an integration service */
};

struct device_ops {
	const char *name; /* of its state, and for people; required */
	enum device_kind kind;

	/*
	 * Makes it, as the definition has it, before a guest runs. *ret_device NULL: the definition
	 * has none, and no operation but `status` is called. Required.
	 * Return: 0; -errno, and *failure where there is more to be said than that.
	 */
	int (*make)(struct device_config *config, void **ret_device, struct failure *failure);

	/* The machine has stopped, and the loop will not run any more. Optional. */
	void (*free)(void *device);

	/* In place of `free`: no guest has connected, and the loop runs on. Optional. */
	void (*discard)(void *device);

	/*
	 * The vps have stopped by our own doing; and they run again. After `resume` no `done` of an
	 * earlier `quiesce` is called any more. Optional.
	 */
	void (*pause)(void *device);
	void (*resume)(void *device);

	/*
	 * The vps have stopped: the device ends what it has under way with the host, takes nothing
	 * new from the guest until `resume`, and calls done(data), perhaps at once. Its clocks stand
	 * still. Guest memory may still change until all have called `done`, and interrupts be
	 * raised. Optional: it never has anything under way.
	 */
	void (*quiesce)(void *device, void (*done)(void *data), void *data);

	/* The machine was reset, and runs; its guest has left the bus before. Optional. */
	void (*reset)(void *device);

	/*
	 * Its state, as records that begin with its name (common/base/state.h), after `quiesce`;
	 * and a device that was just made, on another machine, becomes as that one was. The vps do
	 * not run. Both or none; with none a VM that has the device cannot be saved.
	 * Return: 0; -EINVAL: no such state, and *failure says why; -errno.
	 */
	int (*save)(void *device, struct state_writer *writer);
	int (*restore)(void *device, struct state_reader *reader, struct failure *failure);

	/*
	 * All devices have been restored, and `resume` is next: what one row leaves for those after
	 * it is there, or *failure says what is missing. Optional. Return: as above.
	 */
	int (*restored)(void *device, struct failure *failure);

	/*
	 * Adds the descriptors that it has, for the worker that takes the place of this one; the
	 * device keeps them. Optional: it has none. Return: 0; -ENOTSUP: what it has cannot be
	 * handed over, and *failure says why; -errno.
	 */
	int (*hand_over)(void *device, struct handover *handover, struct failure *failure);

	/*
	 * Each adds what it has to say to an object: in short, with device NULL for what the
	 * definition does not have; as it is in detail; and what is counted of it. Optional.
	 */
	void (*status)(void *device, struct json_object **tree);
	void (*inspect)(void *device, struct json_object **tree);
	void (*counters)(void *device, struct json_object **tree);
};

/*
 * Several that fall quiet, of which the last calls done(data): device_quiet_begin(), then for each
 * device_quiet_await() and device_quiet_one() as its `done`, and in the end device_quiet_one() for
 * the walk itself.
 */
struct device_quiet {
	unsigned restless; /* those that are not quiet yet, and the walk */
	void (*done)(void *data);
	void *data;
};

void device_quiet_begin(struct device_quiet *quiet, void (*done)(void *data), void *data);
void device_quiet_await(struct device_quiet *quiet);
void device_quiet_one(void *quiet); /* a struct device_quiet */

/* `done` is not called any more. */
void device_quiet_forget(struct device_quiet *quiet);

/*
 * What `restore` returns where a part has answered with `result`: 0, a STATE_E_ of
 * common/base/state.h, or -errno. name: the record's.
 */
int device_restore_result(int result, const char *name, struct failure *failure);

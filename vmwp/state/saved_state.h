/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM is saved to a file (vmwp/state/state_file.h), and another worker goes on with it from there.
 *
 * docs/state.md has the order of steps. Both take their time on the loop, and tell how far they are;
 * neither lets the guest run meanwhile.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "vmwp/base/failure.h"
#include "vmwp/device/devices.h"
#include "vmwp/machine/machine.h"
#include "vmwp/state/state_file.h"

#include <stdbool.h>
#include <stdint.h>

/* All borrowed until it is done. */
struct saved_state_config {
	struct machine *machine;
	struct devices *devices;
	const struct definition *definition;
	struct loop *loop;
	bool without_ram; /* of a saver: the RAM is handed over by another way */

	/* Bytes of the guest's RAM that are done, of all that it has. */
	void (*progress)(void *data, uint64_t done, uint64_t size);

	/*
	 * Once, never before the function has returned that began it; it may be freed then. result:
	 * 0; -errno, and why in *failure.
	 */
	void (*done)(void *data, int result, const struct failure *failure);
	void *data;
};

/* ---- Saving ---- */

struct state_saver;

/*
 * Pauses the machine, has its devices fall quiet, and writes the file. fd: an empty regular file,
 * open for writing; borrowed until it is done.
 *
 * When that has succeeded the machine is paused, and the file has all of it until machine_resume().
 * When it has failed the machine is as it was before: it runs, if it did.
 *
 * Return: 0; MACHINE_E_STATE: the machine neither runs nor is paused; -EINVAL: fd is no such file;
 * -errno.
 */
int state_saver_new(const struct saved_state_config *config, int fd,
		    struct state_saver **ret_saver) MUST_CHECK;

/*
 * The same without a file: when that has succeeded the machine stands, with its records in the
 * saver, which is to be kept until it is known what becomes of the machine.
 */
int state_saver_new_for_move(const struct saved_state_config *config,
			     struct state_saver **ret_saver) MUST_CHECK;

/* Of such a one that has succeeded: the records; when the guest stopped, by loop_now(). */
const struct state_writer *state_saver_records(const struct state_saver *saver);
uint64_t state_saver_stood_at(const struct state_saver *saver);

/* The machine is as it was before. */
void state_saver_go_back(struct state_saver *saver);

/* It is done soon, with -ECANCELED, unless the file is finished just now. */
void state_saver_cancel(struct state_saver *saver);

/* One that is done, or whose loop has been freed. NULL is allowed. */
void state_saver_free(struct state_saver *saver);
DEFINE_CLEANUP(struct state_saver *, state_saver_free)

/* ---- Restoring ---- */

struct state_loader;

/*
 * Makes of a machine that was just created, with its devices, what the file has: a paused machine.
 * A file without RAM is for a machine whose memory was handed over, and no other is.
 * fd: borrowed until it is done. After a failure the machine can only be stopped.
 *
 * Return: 0; MACHINE_E_STATE: the machine was not just created; -errno, and why in *failure.
 */
int state_loader_new(const struct saved_state_config *config, int fd,
		     struct state_loader **ret_loader, struct failure *failure) MUST_CHECK;

/*
 * The last step by itself: the memory has its contents. Return: 0; -errno, and why in *failure.
 */
int state_loader_restore(const struct saved_state_config *config, struct state_reader *reader,
			 struct failure *failure) MUST_CHECK;

/* As those of the saver. */
void state_loader_cancel(struct state_loader *loader);
void state_loader_free(struct state_loader *loader);
DEFINE_CLEANUP(struct state_loader *, state_loader_free)

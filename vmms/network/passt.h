/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * passt(1), the user-mode network of one adapter.
 *
 * It gets one end of a pair of sockets and no paths, becomes the user that it is told to, without
 * privilege, and ends when the other end is closed. Who starts it again is the owner's to decide.
 * It outlives this process, as the worker does.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/base/process.h"

#include <systemd/sd-event.h>

#define PASST_WORDS_MAX 256 /* bytes */

struct passt;

struct passt_config {
	const char *program;
	const struct definition_adapter *adapter; /* its MTU, forwarded ports, loopback */
	uid_t user;                               /* to become; 0: nobody, if we are root */
	const char *profile; /* of AppArmor, that it is under; NULL: none; borrowed for the call */

	/*
	 * The process has ended by itself. words: the last line that it said, as UTF-8, or how it
	 * ended. The owner may free it here.
	 */
	void (*ended)(void *owner, const char *words);
	void *owner;
};

/*
 * *ret_fd: the worker's end of the pair, the caller's to close. Return: 0; -ENOENT: there is no
 * such program; -errno. That it will not do its work shows as its end.
 */
int passt_start(sd_event *loop, const struct passt_config *config, struct passt **ret_passt,
		int *ret_fd) MUST_CHECK;

/*
 * Takes over one that another daemon started; what it says is lost. Return: 0; -ESRCH: it has
 * ended; -errno.
 */
int passt_adopt(sd_event *loop, const struct passt_config *config, const struct process *process,
		struct passt **ret_passt) MUST_CHECK;

const struct process *passt_process(const struct passt *passt);

/* Ends the process if it still runs. */
void passt_free(struct passt *passt);
DEFINE_CLEANUP(struct passt *, passt_free)

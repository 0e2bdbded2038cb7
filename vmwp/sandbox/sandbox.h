/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of the worker: once inside, the process reaches the descriptors that it has, its own
 * memory, and nothing else, whoever is in command of it.
 *
 * Entered when all that is opened by path is open, before anything of the guest's is looked at, its
 * kernel included; from there on descriptors come over the control socket. There are three layers,
 * each of which stands without the others:
 *
 *   isolation  a user of its own, no capabilities, no_new_privs; an empty root, no network, no
 *              System V objects, in namespaces of its own
 *   calls      a list of system calls and of their arguments; any other ends the process
 *   ring       the event loop's io_uring, which has been limited since it was made
 *              (common/base/loop_ring.h)
 *
 * Thread: the process's only one, since threads that are there already would stay outside.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/isolate.h"
#include "vmwp/base/failure.h"

#include <sys/types.h>

#define SANDBOX_SAME_USER ISOLATE_SAME_USER

/*
 * All layers. user: user and group to become, which takes CAP_SETUID and CAP_SETGID;
 * SANDBOX_SAME_USER: none. A host that gives us no namespaces is a failure: paths of the host could
 * be looked at, by a call that is on the list. Return: 0; -errno and *failure.
 */
int sandbox_enter(uid_t user, struct failure *failure) MUST_CHECK;

/* The layers, one by one. Return: 0; -errno and *failure. */
int sandbox_isolate(uid_t user, struct failure *failure) MUST_CHECK;
int sandbox_limit_calls(struct failure *failure) MUST_CHECK;

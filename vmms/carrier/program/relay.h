/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is read from a worker's socket goes by TLS, and what comes by TLS goes there, until both end. */
#pragma once

#include "common/base/cc.h"
#include "vmms/carrier/program/tls.h"

/*
 * Waits for the first byte of the other side. Return: 0; -ECANCELED: the daemon has ended, or nobody
 * has the other end of the stream any more; -ECONNRESET: there are none; -errno.
 */
int relay_wait(struct tls *tls, int stream, int daemon) MUST_CHECK;

/* stream: does not block. Return: 0: both have ended as they should; -errno. */
int relay_run(struct tls *tls, int stream) MUST_CHECK;

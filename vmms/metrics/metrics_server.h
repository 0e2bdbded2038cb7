/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics over HTTP/1.1: GET /metrics, on a Unix socket that its owner alone may connect to, and,
 * if that is wanted, on a port of the loopback interface, which every user of the host may.
 *
 * Bounded: METRICS_CLIENTS_MAX connections, the others wait; one request each, of HTTP_REQUEST_MAX
 * bytes; METRICS_TIMEOUT seconds for all of it. On the port a request has to name the loopback
 * interface as its host, so that no page in a browser can ask for a page of another name.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#define METRICS_CLIENTS_MAX 8
#define METRICS_TIMEOUT     10 /* seconds */
#define METRICS_SOCKET      "metrics.socket"

struct manager;
struct metrics_server;

/*
 * The socket is METRICS_SOCKET in `directory`, in place of what is there. port: 0: none. Where it
 * cannot listen is logged, and does without. Return: 0, -ENOMEM.
 */
int metrics_server_new(struct manager *manager, const char *directory, unsigned port,
		       struct metrics_server **ret_server) MUST_CHECK;
void metrics_server_free(struct metrics_server *server);
DEFINE_CLEANUP(struct metrics_server *, metrics_server_free)

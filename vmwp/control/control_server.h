/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's end of the control socket (common/control.h): receives requests on the loop, answers
 * them, now or later, and tells events.
 *
 * If the daemon goes away, the worker stops the machine in order, and ends. If it was given a
 * listening socket, a VM that runs goes on instead, and the next daemon connects there. Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "hvshim/hvshim.h"
#include "vmwp/machine/machine.h"

struct control_server;
struct ic_kvp_guest;
struct reply;
struct worker;

/* Takes over the socket, connected or listening, on failure too. Return: 0; -ENOTSOCK, -errno. */
int control_server_new(struct worker *worker, int socket,
		       struct control_server **ret_server) MUST_CHECK;
void control_server_free(struct control_server *server);

/* ---- Answers that take their time ---- */

/* A ticket for a request, for one of the two functions below it, or to be forgotten. NULL without
 * memory. */
void *control_server_defer(struct control_server *server, uint32_t id);
void control_server_forget(void *ticket);

/* Answer the request: it is done; or as ic_shutdown_request() tells. */
void control_server_done(void *ticket);
void control_server_shutdown_answered(void *ticket, int result);

/* Answers with what the reply holds; its result stays the caller's. */
void control_server_answer(void *ticket, const struct reply *reply);

/* ---- Events ---- */

void control_server_state(struct control_server *server, enum machine_state state,
			  enum machine_reason reason, const char *message);
void control_server_reset(struct control_server *server, enum machine_reason reason,
			  unsigned resets);
void control_server_crash(struct control_server *server, const struct hvshim_crash *crash);
void control_server_vmbus(struct control_server *server, uint32_t version);
void control_server_firmware(struct control_server *server, enum firmware_word word);
void control_server_heartbeat(struct control_server *server, const char *status);
void control_server_guest(struct control_server *server, const struct ic_kvp_guest *guest);
void control_server_memory(struct control_server *server, struct json_object *report);
void control_server_thawed(struct control_server *server, const char *reason);
void control_server_connect(struct control_server *server, uint32_t request, uint32_t port);
void control_server_copy(struct control_server *server, uint64_t copied, uint64_t size);
void control_server_dump(struct control_server *server, uint64_t done, uint64_t size);
void control_server_save(struct control_server *server, uint64_t done, uint64_t size);
void control_server_ejected(struct control_server *server, unsigned controller, unsigned lun);
/* report: as disk_healths_callbacks.changed; taken over. */
void control_server_disk(struct control_server *server, unsigned controller, unsigned lun,
			 struct json_object *report);

void control_server_network(struct control_server *server, const char *adapter, const char *state);

/* addresses: with semicolons between them. */
void control_server_addresses(struct control_server *server, const char *adapter,
			      const char *addresses);

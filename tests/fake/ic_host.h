/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's end of an integration service, for guest-vsc/'s clients: client_host with the
 * services' envelope, which a test can spoil before it is sent.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ic.h"
#include "guest-vsc/ic_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ic_host_message {
	struct ic_pipe_header pipe;
	struct ic_header header;
	uint8_t body[8192];
} PACKED;

/* Opens a client of a new host's; ic_host_negotiate() may follow. */
void ic_host_open(struct ic_client *client, const struct ic_client_kind *kind);

/* Agrees on framework 3.0 and that version. Return: whether the client does. */
bool ic_host_negotiate(struct ic_client *client, uint16_t major, uint16_t minor);

/* A good request. Return: its size. */
size_t ic_host_fill(struct ic_host_message *message, uint16_t type, const void *body, size_t size);

/*
 * Sends so much of a message, and has the client poll.
 * Return: the answer, in a static buffer; NULL: there is none.
 */
const struct ic_host_message *ic_host_send(struct ic_client *client,
					   const struct ic_host_message *message, size_t size);

/* A good request of the client's type. Return: its answer; it is asserted that there is one. */
const struct ic_host_message *ic_host_ask(struct ic_client *client, const void *body, size_t size);

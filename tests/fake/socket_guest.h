/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's side of Hyper-V sockets, as Linux' hv_sock has it. */
#pragma once

#include "common/wire/hv_socket.h"
#include "tests/fake/fake.h"

/* Asks for a connection from a port of the guest's to one of the host's. */
void socket_guest_connect(struct fake *fake, uint32_t guest_port, uint32_t host_port);

/* Opens what is offered for that service and instance (NULL: any). Return: false: nothing is. */
bool socket_guest_open(struct fake *fake, struct guid service, const struct guid *instance,
		       uint32_t ring_pages, struct fake_channel *channel);

/* Sends bytes in one packet; size 0: no more will come. Return: false: the ring is full. */
bool socket_guest_send(struct fake_channel *channel, const void *bytes, uint32_t size);

/*
 * Waits for the next packet, whose header is asserted. Return: how many bytes it has, which is 0
 * once and last, up to `size` of them in `bytes`; -1: none came.
 */
int socket_guest_receive(struct fake_channel *channel, void *bytes, uint32_t size);

/* The same, without running the host. */
int socket_guest_receive_now(struct fake_channel *channel, void *bytes, uint32_t size);

/* What Linux does when the program has closed its socket and the host has taken back its offer. */
void socket_guest_close(struct fake_channel *channel);

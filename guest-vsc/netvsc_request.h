/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a netvsc_client asks of the adapter by RNDIS: for netvsc_client.c and netvsc_setup.c alone.
 */
#pragma once

#include "guest-vsc/netvsc_client.h"

/* Bytes of a message to the host, before and after a version is agreed on. */
static inline uint32_t netvsc_message_size(const struct netvsc_client *net)
{
	return net->version == 0 || net->version >= NVSP_VERSION_6_1 ? NVSP_MESSAGE_SIZE_6_1
								     : NVSP_MESSAGE_SIZE;
}

/* Polls until *done. Return: E_TIMEOUT, or of netvsc_client_poll(). */
int netvsc_request_await(struct netvsc_client *net, const bool *done) MUST_CHECK;

/* A message that is no frame, a private copy of `size` bytes. */
void netvsc_request_take(struct netvsc_client *net, const uint8_t *message, uint32_t size);

/* Return: as netvsc_client_open(). */
int netvsc_request_initialize(struct netvsc_client *net) MUST_CHECK;

/* It has no answer. */
int netvsc_request_halt(struct netvsc_client *net) MUST_CHECK;

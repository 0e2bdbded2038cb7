/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a netvsc_client asks of the adapter by RNDIS: netvsc_client.c and netvsc_request.c alone. */
#pragma once

#include "guest-vsc/netvsc_client.h"

/* Polls until *done. Return: E_TIMEOUT, or of netvsc_client_poll(). */
int netvsc_request_await(struct netvsc_client *net, const bool *done) MUST_CHECK;

/* A message that is no frame, a private copy of `size` bytes. */
void netvsc_request_take(struct netvsc_client *net, const uint8_t *message, uint32_t size);

/* Return: as netvsc_client_open(). */
int netvsc_request_initialize(struct netvsc_client *net) MUST_CHECK;

/* It has no answer. */
int netvsc_request_halt(struct netvsc_client *net) MUST_CHECK;

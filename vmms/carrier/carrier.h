/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that carries a VM which moves between its worker and another host
 * (vmms/carrier/program/carrier_protocol.h), and the TCP sockets that it gets.
 *
 * It reads what another host sends, so it is as far from everything as an image server is, and nothing that
 * it says is believed but what ends the move. It outlives this process once the workers have both its
 * ends, and ends with them.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/carrier/program/carrier_protocol.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define CARRIER_WORDS_MAX   256 /* bytes */
#define CARRIER_ADDRESS_MAX 46  /* characters of a numeric address, with the NUL */

struct carrier;

struct carrier_callbacks {
	/* The other side has proved that it has the key. */
	void (*connected)(void *owner);

	/* Of one that listens: the other side sends. */
	void (*begun)(void *owner);

	/* The process has ended. words: what it said last; "": nothing. The owner may free it here. */
	void (*ended)(void *owner, const char *words);
};

struct carrier_config {
	const char *program; /* path */
	uid_t user;          /* to become; 0: none */
	const uint8_t *key;  /* CARRIER_KEY_SIZE bytes; borrowed */
	int network;         /* of carrier_listen() or carrier_connect(); borrowed */
	bool listens;
	unsigned timeout; /* seconds in which the other side has to be found */
	const struct carrier_callbacks *callbacks;
	void *owner;
};

/* *ret_stream: for the worker; the caller's to let go (plain_sockets_let_go()). Return: 0; -errno. */
int carrier_start(sd_event *loop, const struct carrier_config *config, struct carrier **ret_carrier,
		  int *ret_stream) MUST_CHECK;

pid_t carrier_pid(const struct carrier *carrier);

/* Kills the process if it still runs. */
void carrier_free(struct carrier *carrier);
DEFINE_CLEANUP(struct carrier *, carrier_free)

/* It goes on by itself, and nobody is told how it ends. */
void carrier_release(struct carrier *carrier);

/* ---- Its sockets ---- */

struct carrier_ports {
	uint16_t first, last; /* first 0: none */
};

/* "FIRST-LAST", "PORT" or "none". Return: 0; -EINVAL. */
int carrier_ports_parse(const char *text, struct carrier_ports *ret_ports) MUST_CHECK;

/* A numeric address. Return: 0; -EINVAL. */
int carrier_address_check(const char *address) MUST_CHECK;

/* Listens on the first port that is free. Return: 0; -EINVAL: address; -EADDRINUSE: none is free; -errno. */
int carrier_listen(const char *address, const struct carrier_ports *ports, int *ret_fd,
		   uint16_t *ret_port) MUST_CHECK;

/* Begins to. Return: 0; -EINVAL: address; -errno. */
int carrier_connect(const char *address, uint16_t port, int *ret_fd) MUST_CHECK;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V sockets: byte streams between guest and host, each over a VMBus channel of its own.
 *
 * An end is named by a GUID; those that guests with AF_VSOCK can name are made of a port. The host
 * offers a channel for each connection, with VMBUS_OFFER_SOCKET: of its own accord, when it is the
 * host that connects, or upon VMBUS_MESSAGE_TL_CONNECT_REQUEST, when it is the guest. The guest
 * accepts by opening the channel. Data lie in in-band packets behind a struct hv_socket_header; one
 * without data says that no more will come from that side. When both have said so, the host takes
 * the offer back, and the guest closes the channel when its program is done with the socket: Linux
 * does not let go of a socket before that.
 * Source: Linux net/vmw_vsock/hyperv_transport.c, drivers/hv/channel_mgmt.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

/* From VMBus 4.0 on; Linux' driver refuses to load below. */
#define HV_SOCKET_VMBUS_VERSION VMBUS_VERSION_4_0

/* The service that listens on a port: the port is the first four bytes, little-endian. */
#define HV_SOCKET_SERVICE(port) \
	GUID(port, 0xfacb, 0x11e6, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3)

/* Ports beyond are those of the ends that connect. */
#define HV_SOCKET_PORT_MAX 0x7fffffffu

/* What an offer's user_defined begins with. */
struct hv_socket_offer {
	uint32_t pipe_mode; /* VMBUS_PIPE_MODE_BYTE */
	uint8_t from_host;  /* 1: type is a service of the guest's; 0: of the host's, and instance
			       is the guest's end */
	uint8_t for_container;
	uint8_t version[4]; /* 0: without a silo */
	uint8_t silo[16];
	uint8_t padding[2];
} PACKED;
_Static_assert(sizeof(struct hv_socket_offer) == 28, "wire format");
_Static_assert(offsetof(struct hv_socket_offer, from_host) == 4, "wire format");

#define HV_SOCKET_DATA 1u

/* What a packet's payload begins with. */
struct hv_socket_header {
	uint32_t type; /* HV_SOCKET_DATA */
	uint32_t size; /* bytes that follow; 0: no more will */
} PACKED;
_Static_assert(sizeof(struct hv_socket_header) == 8, "wire format");

/*
 * Bytes that a packet to the guest carries: Linux takes up to 16384, but a packet fits a ring of a
 * single page only with its descriptor, header and footer.
 */
#define HV_SOCKET_PIECE_MAX 4048u

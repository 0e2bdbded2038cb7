/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic mouse: a human interface device (HID) whose descriptors and reports come over VMBus.
 *
 * In-band packets, each with a pipe header and a header of its own; what the guest sends wants
 * completions, what the host sends none.
 *
 *   guest                        host
 *   MOUSE_PROTOCOL_REQUEST   ->
 *                            <-  MOUSE_PROTOCOL_RESPONSE, accepted or not
 *                            <-  MOUSE_DEVICE_INFO: which device it is, and what its reports are
 *   MOUSE_DEVICE_INFO_ACK    ->
 *                            <-  MOUSE_REPORT, whenever it moves or a button does
 *
 * Source: Linux drivers/hid/hid-hyperv.c; the descriptors by the USB HID specification 1.11.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define MOUSE_TYPE GUID(0xcfa8b69e, 0x5b4a, 0x4cc0, 0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a)
#define MOUSE_INSTANCE \
	GUID(0x58f75a6d, 0xd949, 0x4320, 0x99, 0xe1, 0xa2, 0xa2, 0x57, 0x6d, 0x58, 0x1c)

#define MOUSE_VERSION_2_0 UINT32_C(0x20000) /* major << 16 | minor */
#define MOUSE_PIPE_DATA   1u

enum mouse_message_type {
	MOUSE_PROTOCOL_REQUEST = 0,
	MOUSE_PROTOCOL_RESPONSE = 1,
	MOUSE_DEVICE_INFO = 2,
	MOUSE_DEVICE_INFO_ACK = 3,
	MOUSE_REPORT = 4,
};

struct mouse_header {
	uint32_t pipe_type; /* MOUSE_PIPE_DATA */
	uint32_t pipe_size; /* of what follows */
	uint32_t type;      /* enum mouse_message_type */
	uint32_t size;      /* of what follows this header */
};
_Static_assert(sizeof(struct mouse_header) == 16, "wire format");

struct mouse_protocol_request {
	uint32_t version; /* MOUSE_VERSION_2_0 */
} PACKED;
_Static_assert(sizeof(struct mouse_protocol_request) == 4, "wire format");

#define MOUSE_ACCEPTED 1

struct mouse_protocol_response {
	uint32_t version;
	uint8_t accepted; /* MOUSE_ACCEPTED, or 0 */
} PACKED;
_Static_assert(sizeof(struct mouse_protocol_response) == 5, "wire format");

#define MOUSE_VENDOR  0x045e
#define MOUSE_PRODUCT 0x0621
#define MOUSE_VERSION 1

struct mouse_device_info {
	uint32_t size; /* 32: of all up to the descriptors */
	uint16_t vendor, product, version;
	uint16_t zero[11];

	/* The HID descriptor. */
	uint8_t hid_size, hid_type; /* 9, MOUSE_HID_DESCRIPTOR */
	uint16_t hid_version;       /* binary coded decimal */
	uint8_t country, descriptor_count;
	uint8_t report_type; /* MOUSE_REPORT_DESCRIPTOR */
	uint16_t report_size;
	/* The report descriptor follows. */
} PACKED;
_Static_assert(sizeof(struct mouse_device_info) == 41, "wire format");

#define MOUSE_HID_DESCRIPTOR    0x21
#define MOUSE_REPORT_DESCRIPTOR 0x22
#define MOUSE_HID_VERSION       0x111

#define MOUSE_BUTTONS      0x1f  /* left, right, middle, and two more */
#define MOUSE_POSITION_MAX 32767 /* the right or lower end of the screen */

/* As the report descriptor of vsp/hid/mouse.c says. */
struct mouse_report {
	uint8_t buttons;
	uint16_t x, y; /* 0 to MOUSE_POSITION_MAX */
	int16_t wheel; /* clicks since the last report; away from the user is positive */
} PACKED;
_Static_assert(sizeof(struct mouse_report) == 7, "wire format");

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic keyboard: the host sends what a PC's keyboard would, as scan codes.
 *
 * In-band packets without a pipe header; the guest's request wants a completion, events want none.
 *
 *   guest                        host
 *   PROTOCOL_REQUEST         ->
 *                            <-  PROTOCOL_RESPONSE, accepted or not
 *                            <-  EVENT, one for each key that goes down or up
 *   LED_INDICATORS           ->
 *
 * Source: Linux drivers/input/serio/hyperv-keyboard.c.
 */
#pragma once

#include "common/base/guid.h"

#include <stdint.h>

#define KEYBOARD_TYPE \
	GUID(0xf912ad6d, 0x2b17, 0x48ea, 0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84)
#define KEYBOARD_INSTANCE \
	GUID(0xd34b2567, 0xb9b6, 0x42b9, 0x87, 0x78, 0x0a, 0x4e, 0xc0, 0xb9, 0x55, 0xbf)

#define KEYBOARD_VERSION_1_0 UINT32_C(0x10000) /* major << 16 | minor */
#define KEYBOARD_ACCEPTED    UINT32_C(1)

enum keyboard_message_type {
	KEYBOARD_PROTOCOL_REQUEST = 1,
	KEYBOARD_PROTOCOL_RESPONSE = 2,
	KEYBOARD_EVENT = 3,
	KEYBOARD_LED_INDICATORS = 4,
};

struct keyboard_protocol_request {
	uint32_t type;
	uint32_t version; /* KEYBOARD_VERSION_ */
};
_Static_assert(sizeof(struct keyboard_protocol_request) == 8, "wire format");

struct keyboard_protocol_response {
	uint32_t type;
	uint32_t status; /* KEYBOARD_ACCEPTED, or 0 */
};
_Static_assert(sizeof(struct keyboard_protocol_response) == 8, "wire format");

/* Of set 1, without prefix and without the bit for "break", which are flags. */
#define KEYBOARD_UNICODE 0x1u /* make_code is a character; Linux takes it for a scan code */
#define KEYBOARD_BREAK   0x2u /* the key goes up */
#define KEYBOARD_E0      0x4u
#define KEYBOARD_E1      0x8u

struct keyboard_event {
	uint32_t type;
	uint16_t make_code;
	uint16_t reserved;
	uint32_t flags; /* KEYBOARD_UNICODE and the like */
};
_Static_assert(sizeof(struct keyboard_event) == 12, "wire format");

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's side of an integration service, as Linux' hv_utils has it: each message is sent back
 * with the answer written over it.
 */
#pragma once

#include "common/wire/ic.h"
#include "common/wire/ic_file_copy.h"
#include "common/wire/ic_kvp.h"
#include "common/wire/ic_time.h"
#include "common/wire/ic_vss.h"
#include "tests/fake/fake.h"

/* A message as it lies in a packet. */
struct ic_message {
	struct ic_pipe_header pipe;
	struct ic_header header;
	union {
		struct ic_negotiate negotiate;
		struct ic_time_body time;
		struct ic_time_reference_body reference_time;
		struct ic_kvp_body kvp;
		struct ic_kvp_address_body kvp_addresses;
		struct ic_vss_body vss;
		struct ic_file_copy_header file_copy;
		struct ic_file_copy_start file_copy_start;
		struct ic_file_copy_write file_copy_write;
		uint8_t bytes[8192];
	};
} PACKED;

/* Return: false: nothing came. Whether it is a well-formed request is asserted. */
bool ic_guest_receive(struct fake_channel *channel, struct ic_message *ret_message);

/* Whether a request is there, without waiting; it stays. */
bool ic_guest_has_request(struct fake_channel *channel);

/* Sends it back. fake_settle() follows. */
void ic_guest_answer(struct fake_channel *channel, struct ic_message *message, uint32_t status);

/* Opens the service of that type, and agrees on a version; framework 3.0. */
void ic_guest_open(struct fake *fake, struct guid type, struct fake_channel *channel);
void ic_guest_negotiate(struct fake_channel *channel, uint16_t major, uint16_t minor);

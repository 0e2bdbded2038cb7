/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a program that thinks it sends commands to a SCSI device reaches our target: by a socket
 * whose number is in the environment, one command at a time.
 *
 * A request is a struct sg_target_request and, if data go out, `length` bytes. The reply is a
 * struct sg_target_reply and, if data come in, `transferred` bytes.
 */
#pragma once

#include <stdint.h>

#define SG_TARGET_SOCKET   "VMMS_SG_TARGET_SOCKET"
#define SG_TARGET_DEVICE   "/dev/vmms-sg-target"
#define SG_TARGET_TRANSFER (1u << 20) /* bytes of one command, as a controller of ours has them */

struct sg_target_request {
	uint8_t cdb[16];
	uint8_t cdb_length;
	uint8_t direction; /* enum scsi_direction */
	uint32_t length;
};

struct sg_target_reply {
	uint8_t status; /* enum scsi_status */
	uint8_t sense[18];
	uint32_t transferred;
};

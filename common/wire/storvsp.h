/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic storage protocol: what a storage VSC and a storage VSP say to each other.
 *
 * Every packet is a struct storvsp_packet of 64 bytes, little-endian, or without the last 16, which
 * Windows 8 has added: so a guest may begin that does not know yet what its host takes, as Linux
 * until 5.18 does with all packets before the version is settled. The guest sends requests as
 * in-band packets, or as GPA-direct packets with one range when a command moves data. The host
 * answers each one that asks for it by a completion packet with the same transaction id and
 * operation STORVSP_COMPLETE_IO, as long as the request: Linux until 4.11 and FreeBSD have no room
 * for more. What the host says unasked is an in-band packet with transaction id 0.
 *
 * Sources: Linux drivers/scsi/storvsc_drv.c; FreeBSD sys/dev/hyperv/storvsc.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>

enum storvsp_operation {
	STORVSP_COMPLETE_IO = 1,
	STORVSP_REMOVE_DEVICE = 2,
	STORVSP_EXECUTE_SRB = 3,
	STORVSP_RESET_LUN = 4,
	STORVSP_RESET_ADAPTER = 5,
	STORVSP_RESET_BUS = 6,
	STORVSP_BEGIN_INITIALIZATION = 7,
	STORVSP_END_INITIALIZATION = 8,
	STORVSP_QUERY_PROTOCOL_VERSION = 9,
	STORVSP_QUERY_PROPERTIES = 10,
	STORVSP_ENUMERATE_BUS = 11,
	STORVSP_FCHBA_DATA = 12,
	STORVSP_CREATE_SUB_CHANNELS = 13,
};

/* storvsp_packet.flags */
#define STORVSP_REQUEST_COMPLETION 0x1u

/* Protocol versions: major << 8 | minor. */
#define STORVSP_VERSION(major, minor) ((uint16_t)((major) << 8 | (minor)))
#define STORVSP_VERSION_WIN8          STORVSP_VERSION(5, 1)
#define STORVSP_VERSION_WIN8_1        STORVSP_VERSION(6, 0)
#define STORVSP_VERSION_WIN10         STORVSP_VERSION(6, 2)

/* storvsp_packet.status: NTSTATUS values. */
#define STORVSP_STATUS_SUCCESS              0x00000000u
#define STORVSP_STATUS_INVALID_PARAMETER    0xc000000du
#define STORVSP_STATUS_INVALID_REQUEST      0xc0000010u /* not for this device */
#define STORVSP_STATUS_REVISION_MISMATCH    0xc0000059u
#define STORVSP_STATUS_NOT_SUPPORTED        0xc00000bbu
#define STORVSP_STATUS_INVALID_DEVICE_STATE 0xc0000184u

/* storvsp_srb.srb_status: a code in the low six bits, and flags. */
#define STORVSP_SRB_PENDING         0x00
#define STORVSP_SRB_SUCCESS         0x01
#define STORVSP_SRB_ABORTED         0x02
#define STORVSP_SRB_ERROR           0x04
#define STORVSP_SRB_BUSY            0x05
#define STORVSP_SRB_INVALID_REQUEST 0x06
#define STORVSP_SRB_DATA_OVERRUN    0x12
#define STORVSP_SRB_INVALID_LUN     0x20
#define STORVSP_SRB_QUEUE_FROZEN    0x40 /* flag */
#define STORVSP_SRB_AUTOSENSE_VALID 0x80 /* flag */

/* storvsp_srb.srb_flags */
#define STORVSP_SRB_QUEUE_ACTION_ENABLE 0x00000002u
#define STORVSP_SRB_DISABLE_AUTOSENSE   0x00000020u
#define STORVSP_SRB_DATA_IN             0x00000040u
#define STORVSP_SRB_DATA_OUT            0x00000080u

/* storvsp_srb.data_in */
enum storvsp_direction {
	STORVSP_DIRECTION_OUT = 0, /* guest to disk */
	STORVSP_DIRECTION_IN = 1,  /* disk to guest */
	STORVSP_DIRECTION_NONE = 2,
};

#define STORVSP_CDB_SIZE   16
#define STORVSP_SENSE_SIZE 20

/* A SCSI request: the command on its way in, status and sense on its way out. */
struct storvsp_srb {
	uint16_t length; /* of this struct: 52 */
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port;
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t cdb_length;
	uint8_t sense_length;
	uint8_t data_in; /* enum storvsp_direction */
	uint8_t reserved;
	uint32_t transfer_length; /* bytes: the buffer's, then how many were moved */
	union {
		uint8_t cdb[STORVSP_CDB_SIZE];
		uint8_t sense[STORVSP_SENSE_SIZE];
	};
	/* From here on since Windows 8. */
	uint16_t reserved_2;
	uint8_t queue_tag;
	uint8_t queue_action;
	uint32_t srb_flags;
	uint32_t timeout; /* seconds */
	uint32_t queue_sort_key;
} PACKED;
_Static_assert(sizeof(struct storvsp_srb) == 52, "wire format");
_Static_assert(offsetof(struct storvsp_srb, cdb) == 16, "wire format");
_Static_assert(offsetof(struct storvsp_srb, srb_flags) == 40, "wire format");

/* storvsp_properties.flags */
#define STORVSP_SUPPORTS_SUB_CHANNELS 0x1u

/* The answer to QUERY_PROPERTIES. */
struct storvsp_properties {
	uint32_t reserved;
	uint16_t sub_channel_max; /* besides the channel that asks */
	uint16_t reserved_2;
	uint32_t flags;
	uint32_t transfer_max; /* bytes of one request */
	uint64_t reserved_3;
} PACKED;
_Static_assert(sizeof(struct storvsp_properties) == 24, "wire format");

/*
 * What an offer of an IDE device says of its place. Source: openvmm storvsp/src/lib.rs; Linux takes the
 * target from the instance instead.
 */
struct storvsp_ide_offer {
	uint16_t reserved;
	uint8_t path, target; /* the channel, the device */
	uint32_t reserved_2;
	uint32_t flags; /* STORVSP_IDE_OFFER_FLAGS */
	uint32_t reserved_3[3];
} PACKED;
_Static_assert(sizeof(struct storvsp_ide_offer) == 24, "wire format");

#define STORVSP_IDE_OFFER_FLAGS 2u

struct storvsp_version {
	uint16_t version; /* STORVSP_VERSION() */
	uint16_t revision;
} PACKED;
_Static_assert(sizeof(struct storvsp_version) == 4, "wire format");

struct storvsp_packet {
	uint32_t operation; /* enum storvsp_operation */
	uint32_t flags;
	uint32_t status;
	union {
		struct storvsp_srb srb;
		struct storvsp_properties properties;
		struct storvsp_version version;
		uint16_t sub_channel_count;
		uint8_t bytes[52];
	};
} PACKED;
_Static_assert(sizeof(struct storvsp_packet) == 64, "wire format");
_Static_assert(offsetof(struct storvsp_packet, srb) == 12, "wire format");

/* Of what came before Windows 8. */
#define STORVSP_PACKET_SIZE_MIN 48
_Static_assert(offsetof(struct storvsp_packet, srb.reserved_2) == STORVSP_PACKET_SIZE_MIN,
	       "wire format");

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCSI as it lies on the wire: operation codes, status, sense, and big-endian fields.
 *
 * Sources: T10 SPC-4, SBC-3; MMC-6.
 */
#pragma once

#include <stdint.h>

enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0a,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SELECT_6 = 0x15,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_START_STOP_UNIT = 0x1b,
	SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1e,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_VERIFY_10 = 0x2f,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_WRITE_SAME_10 = 0x41,
	SCSI_UNMAP = 0x42,
	SCSI_READ_TOC = 0x43,
	SCSI_GET_CONFIGURATION = 0x46,
	SCSI_GET_EVENT_STATUS_NOTIFICATION = 0x4a,
	SCSI_READ_DISC_INFORMATION = 0x51,
	SCSI_READ_TRACK_INFORMATION = 0x52,
	SCSI_MODE_SELECT_10 = 0x55,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_READ_16 = 0x88,
	SCSI_COMPARE_AND_WRITE = 0x89,
	SCSI_WRITE_16 = 0x8a,
	SCSI_VERIFY_16 = 0x8f,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_WRITE_SAME_16 = 0x93,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_MAINTENANCE_IN = 0xa3,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
};

/* Service action of SCSI_SERVICE_ACTION_IN_16. */
#define SCSI_READ_CAPACITY_16 0x10

/* Service action of SCSI_MAINTENANCE_IN. */
#define SCSI_REPORT_SUPPORTED_OPERATION_CODES 0x0c

enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
};

enum scsi_sense_key {
	SCSI_NO_SENSE = 0x0,
	SCSI_NOT_READY = 0x2,
	SCSI_MEDIUM_ERROR = 0x3,
	SCSI_HARDWARE_ERROR = 0x4,
	SCSI_ILLEGAL_REQUEST = 0x5,
	SCSI_UNIT_ATTENTION = 0x6,
	SCSI_DATA_PROTECT = 0x7,
	SCSI_ABORTED_COMMAND = 0xb,
	SCSI_MISCOMPARE = 0xe,
};

/* Sense key, additional sense code and its qualifier in one number. */
#define SCSI_SENSE(key, asc, ascq) ((uint32_t)(key) << 16 | (uint32_t)(asc) << 8 | (uint32_t)(ascq))

#define SCSI_SENSE_NONE                 SCSI_SENSE(SCSI_NO_SENSE, 0x00, 0x00)
#define SCSI_SENSE_STOPPED              SCSI_SENSE(SCSI_NOT_READY, 0x04, 0x02)
#define SCSI_SENSE_NO_MEDIUM            SCSI_SENSE(SCSI_NOT_READY, 0x3a, 0x00)
#define SCSI_SENSE_READ_ERROR           SCSI_SENSE(SCSI_MEDIUM_ERROR, 0x11, 0x00)
#define SCSI_SENSE_WRITE_ERROR          SCSI_SENSE(SCSI_MEDIUM_ERROR, 0x0c, 0x00)
#define SCSI_SENSE_TARGET_FAILURE       SCSI_SENSE(SCSI_HARDWARE_ERROR, 0x44, 0x00)
#define SCSI_SENSE_LIST_LENGTH          SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x1a, 0x00)
#define SCSI_SENSE_INVALID_OPCODE       SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x20, 0x00)
#define SCSI_SENSE_LBA_RANGE            SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x21, 0x00)
#define SCSI_SENSE_INVALID_FIELD        SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x24, 0x00)
#define SCSI_SENSE_NO_UNIT              SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x25, 0x00)
#define SCSI_SENSE_INVALID_PARAMETER    SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x26, 0x00)
#define SCSI_SENSE_SAVING_NOT_SUPPORTED SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x39, 0x00)
#define SCSI_SENSE_REMOVAL_PREVENTED    SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x53, 0x02)
#define SCSI_SENSE_RESET                SCSI_SENSE(SCSI_UNIT_ATTENTION, 0x29, 0x00)
#define SCSI_SENSE_MEDIUM_CHANGED       SCSI_SENSE(SCSI_UNIT_ATTENTION, 0x28, 0x00)
#define SCSI_SENSE_MODE_CHANGED         SCSI_SENSE(SCSI_UNIT_ATTENTION, 0x2a, 0x01)
#define SCSI_SENSE_CAPACITY_CHANGED     SCSI_SENSE(SCSI_UNIT_ATTENTION, 0x2a, 0x09)
#define SCSI_SENSE_WRITE_PROTECTED      SCSI_SENSE(SCSI_DATA_PROTECT, 0x27, 0x00)
#define SCSI_SENSE_SPACE_ALLOCATION     SCSI_SENSE(SCSI_DATA_PROTECT, 0x27, 0x07)
#define SCSI_SENSE_ABORTED              SCSI_SENSE(SCSI_ABORTED_COMMAND, 0x00, 0x00)
#define SCSI_SENSE_MISCOMPARE           SCSI_SENSE(SCSI_MISCOMPARE, 0x1d, 0x00)

/* Fixed-format sense data. */
#define SCSI_SENSE_SIZE          18
#define SCSI_SENSE_CURRENT_FIXED 0x70
#define SCSI_SENSE_INFORMATION   0x80 /* in byte 0: bytes 3 to 6 hold an LBA or an offset */

/* INQUIRY, byte 0: peripheral qualifier and device type. */
#define SCSI_DEVICE_DISK   0x00
#define SCSI_DEVICE_CDROM  0x05
#define SCSI_DEVICE_ABSENT 0x7f

static inline uint16_t scsi_get_16(const uint8_t *field)
{
	return (uint16_t)(field[0] << 8 | field[1]);
}

static inline uint32_t scsi_get_24(const uint8_t *field)
{
	return (uint32_t)field[0] << 16 | (uint32_t)field[1] << 8 | field[2];
}

static inline uint32_t scsi_get_32(const uint8_t *field)
{
	return (uint32_t)scsi_get_16(field) << 16 | scsi_get_16(field + 2);
}

static inline uint64_t scsi_get_64(const uint8_t *field)
{
	return (uint64_t)scsi_get_32(field) << 32 | scsi_get_32(field + 4);
}

static inline void scsi_put_16(uint8_t *field, uint16_t value)
{
	field[0] = (uint8_t)(value >> 8);
	field[1] = (uint8_t)value;
}

static inline void scsi_put_32(uint8_t *field, uint32_t value)
{
	scsi_put_16(field, (uint16_t)(value >> 16));
	scsi_put_16(field + 2, (uint16_t)value);
}

static inline void scsi_put_64(uint8_t *field, uint64_t value)
{
	scsi_put_32(field, (uint32_t)(value >> 32));
	scsi_put_32(field + 4, (uint32_t)value);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk on a synthetic SCSI controller: what it is, and the commands to read and write it.
 * Sources: T10 SPC-4, SBC-3.
 */
#pragma once

#include "common/base/cc.h"
#include "guest-vsc/storvsc_client.h"

#include <stdbool.h>
#include <stdint.h>

struct disk_client {
	struct storvsc_client *storage;
	uint8_t lun;
	bool read_only;
	uint32_t sector_size; /* bytes */
	uint64_t sectors;
	char serial[64]; /* of VPD page 80; NUL-terminated */
};

/*
 * INQUIRY, READ CAPACITY (16), MODE SENSE. Return: 0, a STORVSC_CLIENT_E_ code, or -1 if there is
 * no disk on this LUN, or none that has sectors.
 */
int disk_client_open(struct disk_client *disk, struct storvsc_client *storage,
		     uint8_t lun) MUST_CHECK;

/* A request for READ or WRITE (16); bytes are whole sectors. */
struct storvsc_request disk_client_read(const struct disk_client *disk, uint64_t sector,
					void *buffer, uint32_t size);
struct storvsc_request disk_client_write(const struct disk_client *disk, uint64_t sector,
					 const void *buffer, uint32_t size);

/* SYNCHRONIZE CACHE (10) of the whole disk. */
struct storvsc_request disk_client_flush(const struct disk_client *disk);

/* Any command: the operation code, and the length of its CDB. */
struct storvsc_request disk_client_command(const struct disk_client *disk, uint8_t opcode,
					   uint8_t cdb_length);

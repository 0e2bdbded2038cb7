/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside a logical unit: its state, and what the commands' files share.
 *
 * A handler runs with the checks done that its flags ask for (scsi_command.c has the table). It
 * ends the command by one of the functions below, at once or after what it submitted completes.
 */
#pragma once

#include "common/base/cc.h"
#include "vsp/storage/scsi.h"

/* Unit attentions, the most important first; several may wait. */
enum scsi_attention {
	SCSI_ATTENTION_RESET,
	SCSI_ATTENTION_MEDIUM,
	SCSI_ATTENTION_MODE,
	SCSI_ATTENTION_CAPACITY, /* the last: their numbers are in saved states */
	SCSI_ATTENTION_COUNT,
};

/* Media events of GET EVENT STATUS NOTIFICATION (MMC-6 6.6.2.5). */
enum scsi_media_event {
	SCSI_MEDIA_NONE = 0,
	SCSI_MEDIA_EJECT_REQUEST = 1,
	SCSI_MEDIA_NEW = 2,
	SCSI_MEDIA_REMOVAL = 3,
};

struct scsi_unit {
	uint8_t device_type; /* SCSI_DEVICE_DISK or SCSI_DEVICE_CDROM */
	unsigned lun;
	struct scsi_identity identity;
	struct disk *disk;          /* the medium, or NULL */
	unsigned medium_generation; /* changes whenever disk does */
	struct disk_counters past;  /* of media that have left */

	/* What the guest did to it. */
	bool seen;         /* it had a command */
	bool unmap_zeroes; /* its disk of before did that, which the guest may know */
	bool write_cache, stopped, removal_prevented;
	uint8_t attentions; /* bits: enum scsi_attention */
	uint8_t media_event;
	uint32_t kept_sense; /* SCSI_SENSE() for REQUEST SENSE */

	/* One that compares and writes is alone with the medium, but for reads. */
	unsigned writing; /* commands that write, and are under way */
	bool exclusive;   /* the one that is writing is alone */
	bool starting;    /* held commands are being started */
	struct list held; /* commands that wait for that, oldest first */

	unsigned in_flight;
	bool retiring;
	void (*retired)(void *data);
	void *retired_data;
};

/* scsi_handler.flags */
#define SCSI_FOR_DISK       0x01u
#define SCSI_FOR_CDROM      0x02u
#define SCSI_NEEDS_MEDIUM   0x04u
#define SCSI_WRITES         0x08u
#define SCSI_SENDS          0x10u /* data to the guest */
#define SCSI_TAKES          0x20u /* data from the guest */
#define SCSI_DESPITE_CHANGE 0x40u /* done in spite of a unit attention, which stays */
#define SCSI_EXCLUSIVE      0x80u /* with SCSI_WRITES: while no other command writes */

struct scsi_handler {
	const char *name;
	uint8_t cdb_length;
	uint8_t flags;
	void (*execute)(struct scsi_command *command);
};

/* ---- A unit (scsi_unit.c) ---- */

int scsi_unit_new(unsigned lun, uint8_t device_type, const struct scsi_identity *identity,
		  struct disk *disk, struct scsi_unit **ret_unit) MUST_CHECK;

/* Frees the unit and retires its disk when its last command has ended; then retired(data). */
void scsi_unit_retire(struct scsi_unit *unit, void (*retired)(void *data), void *data);

/* A command of the unit has ended. */
void scsi_unit_release(struct scsi_unit *unit);

void scsi_unit_power_on(struct scsi_unit *unit);
void scsi_unit_reset(struct scsi_unit *unit);

/* The attention that is next, forgotten; SCSI_SENSE_NONE if none waits. */
uint32_t scsi_unit_take_attention(struct scsi_unit *unit);

void scsi_unit_set_medium(struct scsi_unit *unit, struct disk *disk, void (*retired)(void *data),
			  void *data);

/* The medium has become larger. */
void scsi_unit_set_larger(struct scsi_unit *unit);

/* The world-wide name derived from the identity (NAA 6). */
void scsi_unit_name(const struct scsi_unit *unit, uint8_t name[16]);

static inline uint64_t scsi_unit_blocks(const struct scsi_unit *unit)
{
	return unit->disk ? unit->disk->size / unit->disk->sector_size : 0;
}

/* ---- Executing commands (scsi_command.c) ---- */

void scsi_unit_execute(struct scsi_unit *unit, struct scsi_command *command);

/* Whether the unit knows an operation code, on the medium that it has. */
bool scsi_unit_has_command(const struct scsi_unit *unit, uint8_t opcode);

/* Ends with GOOD, having moved so many bytes. */
void scsi_finish(struct scsi_command *command, uint32_t transferred);

/* Ends with CHECK CONDITION. information: what bytes 3 to 6 of the sense data say. */
void scsi_fail(struct scsi_command *command, uint32_t sense);
void scsi_fail_at(struct scsi_command *command, uint32_t sense, uint32_t information);

/* Ends with what a disk_request came to: GOOD for 0. */
void scsi_finish_request(struct scsi_command *command, int result, uint32_t transferred);

/* Ends by sending `size` bytes, as far as the CDB's allocation length and the buffer allow. */
void scsi_reply(struct scsi_command *command, const void *data, size_t size,
		uint32_t allocation_length);

/* Fills 18 bytes of fixed-format sense data. */
void scsi_format_sense(uint32_t sense, uint8_t data[SCSI_SENSE_SIZE]);

/*
 * Starts command->request on the medium, or fails if that is not the one the command began with,
 * or the command was aborted.
 * operation, offset, size, iov: filled by the caller, with `complete`.
 */
void scsi_submit(struct scsi_command *command);

/* The same of the next piece of what is left, between the medium at command->offset and the buffer. */
void scsi_submit_piece(struct scsi_command *command, enum disk_operation operation,
		       void (*complete)(struct disk_request *request, int result));

/* Runs command->step when there is a buffer, which the end of the command puts back. */
void scsi_with_buffer(struct scsi_command *command, void (*step)(struct scsi_command *command));

/* Flushes, and ends. */
void scsi_flush(struct scsi_command *command);

/* The LBA and the number of blocks in a CDB of any length but 32. */
struct scsi_extent {
	uint64_t lba, blocks;
};
struct scsi_extent scsi_cdb_extent(const uint8_t *cdb);

/* Whether the medium has these blocks. */
bool scsi_extent_is_valid(const struct scsi_unit *unit, const struct scsi_extent *extent);

/* ---- Commands of all units (scsi_inquiry.c, scsi_mode.c, scsi_report.c) ---- */

void scsi_inquiry(struct scsi_command *command);
void scsi_request_sense(struct scsi_command *command);
void scsi_mode_sense(struct scsi_command *command);
void scsi_mode_select(struct scsi_command *command);
void scsi_maintenance_in(struct scsi_command *command);

/* ---- Block commands (scsi_block.c, scsi_verify.c, scsi_provision.c) ---- */

/*
 * The limits that page B0 of the vital product data tells. Fewer than 65536 blocks of WRITE SAME:
 * where it may be more, libiscsi's tests read so many back by one command, which no guest can send.
 */
#define SCSI_UNMAP_DESCRIPTORS_MAX 256
#define SCSI_UNMAP_BLOCKS_MAX      (UINT64_C(1) << 20)
#define SCSI_WRITE_SAME_BYTES_MAX  (UINT64_C(16) << 20)

#define SCSI_PROTECT_MASK 0xe0 /* CDB byte 1: RDPROTECT, WRPROTECT, VRPROTECT */
#define SCSI_FORCE_ACCESS 0x08 /* CDB byte 1: FUA */

void scsi_test_unit_ready(struct scsi_command *command);
void scsi_read_capacity_10(struct scsi_command *command);
void scsi_service_action_in(struct scsi_command *command);
void scsi_read(struct scsi_command *command);
void scsi_write(struct scsi_command *command);
void scsi_verify(struct scsi_command *command);
void scsi_compare_and_write(struct scsi_command *command);

/* The longest COMPARE AND WRITE, in blocks: what its field holds and a buffer does. */
static inline uint32_t scsi_compare_blocks_max(const struct scsi_unit *unit)
{
	return MIN(BUFFER_SIZE / unit->disk->sector_size, 255u);
}

void scsi_synchronize_cache(struct scsi_command *command);
void scsi_start_stop(struct scsi_command *command);
void scsi_unmap(struct scsi_command *command);
void scsi_write_same(struct scsi_command *command);

/* ---- DVD drives (dvd.c) ---- */

void dvd_start_stop(struct scsi_command *command);
void dvd_prevent_removal(struct scsi_command *command);
void dvd_read_toc(struct scsi_command *command);
void dvd_get_configuration(struct scsi_command *command);
void dvd_get_event_status(struct scsi_command *command);
void dvd_read_disc_information(struct scsi_command *command);
void dvd_read_track_information(struct scsi_command *command);

/* ---- The target (scsi_target.c), for dvd.c and scsi_state.c ---- */

struct scsi_slot {
	struct scsi_unit *unit;
	bool ghost; /* the guest still believes in the unit that was here before */
};

struct scsi_slot *scsi_target_slot(struct scsi_target *target, unsigned lun);

/* The guest took the medium of this unit out. */
void scsi_target_ejected(struct scsi_target *target, struct scsi_unit *unit);

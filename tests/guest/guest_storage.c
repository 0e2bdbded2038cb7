/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: a disk keeps what is written to it.
 *
 * The disk comes filled with the pattern of seed 1. The guest checks that, fills it with seed 2 in
 * pieces of all sizes and alignments, many at once, in no order, and checks that with other pieces;
 * afterwards tests/guest/run looks for seed 2 in the image. Parameters: read_only=1: the disk
 * refuses writes and keeps seed 1; sub_channels=N: how many must be had.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define SEED_BEFORE 1
#define SEED_AFTER  2

#define DEPTH     48
#define PIECE_MAX (256u * 1024)
#define PAGE_SIZE 4096u

/* A request and the memory it has to itself. `slack` is room to be misaligned in. */
struct piece {
	struct storvsc_request request;
	uint64_t offset; /* on the disk, bytes */
	uint8_t *data;
	bool busy;
};

static struct piece pieces[DEPTH];
static uint8_t memory[DEPTH][PIECE_MAX + 2 * PAGE_SIZE] __attribute__((aligned(4096)));

/* A run over the whole disk. */
struct run {
	bool write;
	uint64_t seed;
	unsigned channels; /* to spread over */
	uint64_t disk_size, next;
	unsigned most_in_flight;
	uint64_t failures, wrong; /* requests; offset on the disk of what is wrong, plus one */
};

/* 1 sector to PIECE_MAX, small ones as likely as big ones. */
static uint32_t choose_size(const struct run *run)
{
	uint32_t sector = rig.disk.sector_size;
	uint32_t limit = PIECE_MAX >> pattern_random(10);
	uint32_t size = (uint32_t)pattern_random(limit / sector + 1) * sector;

	size = MAX(size, sector);
	return (uint32_t)MIN((uint64_t)size, run->disk_size - run->next);
}

/* Half the pieces begin on a page, a quarter on a sector, a quarter on any 8 bytes. */
static uint8_t *choose_data(unsigned i)
{
	switch (pattern_random(4)) {
	case 0:
		return memory[i] + pattern_random(PAGE_SIZE / 512) * 512;
	case 1:
		return memory[i] + pattern_random(PAGE_SIZE / 8) * 8;
	default:
		return memory[i];
	}
}

static void start_piece(struct run *run, unsigned i)
{
	struct piece *piece = &pieces[i];
	uint32_t size = choose_size(run);
	uint64_t sector = run->next / rig.disk.sector_size;

	piece->offset = run->next;
	piece->data = choose_data(i);
	if (run->write) {
		pattern_fill(piece->data, size, run->seed, piece->offset);
		piece->request = disk_client_write(&rig.disk, sector, piece->data, size);
	} else {
		memset(piece->data, 0xee, size);
		piece->request = disk_client_read(&rig.disk, sector, piece->data, size);
	}
	if (storvsc_client_submit(&rig.storage, (unsigned)pattern_random(run->channels),
				  &piece->request) == 0) {
		piece->busy = true;
		run->next += size;
	}
}

static void finish_piece(struct run *run, struct piece *piece)
{
	const struct storvsc_request *request = &piece->request;
	size_t at;

	piece->busy = false;
	if (!storvsc_request_succeeded(request) || request->transferred != request->size) {
		run->failures++;
		return;
	}
	if (run->write)
		return;
	at = pattern_check(piece->data, request->size, run->seed, piece->offset);
	if (at != request->size && !run->wrong)
		run->wrong = piece->offset + at + 1;
}

/* Return: false if the channel failed. */
static bool run_disk(struct run *run)
{
	run->disk_size = rig.disk.sectors * rig.disk.sector_size;
	while (run->next < run->disk_size || rig.storage.in_flight) {
		for (unsigned i = 0; i < DEPTH && run->next < run->disk_size; i++)
			if (!pieces[i].busy)
				start_piece(run, i);
		storvsc_client_flush(&rig.storage);
		run->most_in_flight = MAX(run->most_in_flight, rig.storage.in_flight);
		if (storvsc_client_poll(&rig.storage) < 0)
			return false;
		for (unsigned i = 0; i < DEPTH; i++)
			if (pieces[i].busy && pieces[i].request.done)
				finish_piece(run, &pieces[i]);
		machine_pause();
	}
	return true;
}

static void check_run(const char *name, bool write, uint64_t seed, unsigned channels)
{
	struct run run = { .write = write, .seed = seed, .channels = channels };

	if (!run_disk(&run)) {
		report(false, name, "the channel broke");
		return;
	}
	report(run.failures == 0 && run.wrong == 0, name,
	       "%lu requests failed; wrong data at byte %lu", run.failures, run.wrong - 1);
	report(run.most_in_flight >= 32, "32 requests and more were in flight at once",
	       "at most %u", run.most_in_flight);
}

static bool execute(struct storvsc_request *request)
{
	return storvsc_client_execute(&rig.storage, request) == 0;
}

static bool succeeds(struct storvsc_request *request)
{
	return execute(request) && storvsc_request_succeeded(request);
}

static void check_flush(void)
{
	struct storvsc_request request = disk_client_flush(&rig.disk);
	bool good = succeeds(&request);

	report(good, "the disk flushes", "srb status 0x%x", request.srb_status);
}

/* One request whose pages lie in memory in the opposite order. */
static void check_scattered(uint64_t seed)
{
	enum { COUNT = 16 };
	uint64_t pages[COUNT];
	struct storvsc_request request =
		disk_client_read(&rig.disk, 0, memory[0], COUNT * PAGE_SIZE);
	bool right;

	for (unsigned i = 0; i < COUNT; i++)
		pages[i] = machine_gpa(memory[0]) / PAGE_SIZE + COUNT - 1 - i;
	request.pages = pages;
	memset(memory[0], 0, COUNT * PAGE_SIZE);
	right = succeeds(&request);
	if (!report(right, "scattered pages are read", "srb status 0x%x", request.srb_status))
		return;
	for (unsigned i = 0; i < COUNT; i++)
		right &= pattern_check(memory[0] + (COUNT - 1 - i) * PAGE_SIZE, PAGE_SIZE, seed,
				       i * PAGE_SIZE) == PAGE_SIZE;
	report(right, "scattered pages hold what belongs there", "wrong data");
}

/*
 * Reads a sector that is not there yet when the channel is unmasked, so an interrupt has to come.
 */
static bool read_interrupts(uint64_t sector)
{
	struct storvsc_request request =
		disk_client_read(&rig.disk, sector, memory[0], rig.disk.sector_size);
	uint64_t before = machine_interrupts(), deadline = clock_now() + 5 * CLOCK_SECOND;

	if (client_channel_unmask(&rig.storage.channels[0]) ||
	    storvsc_client_submit(&rig.storage, 0, &request))
		return false;
	storvsc_client_flush(&rig.storage);
	while (machine_interrupts() == before && clock_now() < deadline)
		machine_pause();
	client_channel_mask(&rig.storage.channels[0]);
	return machine_interrupts() > before &&
	       storvsc_client_wait(&rig.storage, &request, false) == 0 &&
	       storvsc_request_succeeded(&request);
}

/* Halts for every sector. A lost interrupt leaves the vp halted: the test runs out of time. */
static bool read_halting(uint64_t sector)
{
	struct storvsc_request request =
		disk_client_read(&rig.disk, sector, memory[0], rig.disk.sector_size);

	if (storvsc_client_submit(&rig.storage, 0, &request))
		return false;
	storvsc_client_flush(&rig.storage);
	return storvsc_client_wait(&rig.storage, &request, true) == 0 &&
	       storvsc_request_succeeded(&request);
}

static void check_interrupts(void)
{
	enum { COUNT = 64 };
	unsigned interrupted = 0, woken = 0;

	while (interrupted < COUNT && read_interrupts(interrupted))
		interrupted++;
	report(interrupted == COUNT, "every completion interrupts", "%u did", interrupted);
	while (woken < COUNT && read_halting(woken))
		woken++;
	report(woken == COUNT, "a vp that halts is woken by completions", "%u times", woken);
}

/* A command that must fail, and with which sense. */
static void check_refused(const char *name, struct storvsc_request request, uint32_t sense)
{
	bool answered = execute(&request);

	report(answered && !storvsc_request_succeeded(&request) &&
		       storvsc_request_sense(&request) == sense,
	       name, "answered %d, srb status 0x%x, sense %x", answered, request.srb_status,
	       storvsc_request_sense(&request));
}

static void check_refusals(void)
{
	struct storvsc_request request;
	uint32_t size = rig.disk.sector_size;
	bool good;

	check_refused("reading past the end is refused",
		      disk_client_read(&rig.disk, rig.disk.sectors, memory[0], size),
		      SCSI_SENSE_LBA_RANGE);
	check_refused("reading across the end is refused",
		      disk_client_read(&rig.disk, rig.disk.sectors - 1, memory[0], 2 * size),
		      SCSI_SENSE_LBA_RANGE);
	check_refused("reading where 64 bits overflow is refused",
		      disk_client_read(&rig.disk, UINT64_MAX, memory[0], 2 * size),
		      SCSI_SENSE_LBA_RANGE);
	check_refused("an unknown command is refused", disk_client_command(&rig.disk, 0xff, 6),
		      SCSI_SENSE_INVALID_OPCODE);

	request = disk_client_command(&rig.disk, SCSI_TEST_UNIT_READY, 6);
	request.lun = 63;
	good = execute(&request);
	report(good && (request.srb_status & 0x3f) == STORVSP_SRB_INVALID_LUN,
	       "an absent LUN is an invalid LUN", "srb status 0x%x", request.srb_status);
}

static void check_read_only(void)
{
	report(rig.disk.read_only, "a read-only disk says so", "MODE SENSE does not");
	check_refused("a read-only disk refuses to write",
		      disk_client_write(&rig.disk, 0, memory[0], rig.disk.sector_size),
		      SCSI_SENSE_WRITE_PROTECTED);
	check_run("a read-only disk is as it was", false, SEED_BEFORE, 1);
}

static void check_sub_channels(unsigned count)
{
	struct client_channel_memory rings[STORVSC_CLIENT_CHANNELS_MAX];

	for (unsigned i = 0; i < count; i++)
		rings[i] = rig_ring(i + 1);
	if (!report(rig.storage.properties.flags & STORVSP_SUPPORTS_SUB_CHANNELS &&
			    rig.storage.properties.sub_channel_max >= count,
		    "the controller has sub-channels", "flags 0x%x, at most %u",
		    rig.storage.properties.flags, rig.storage.properties.sub_channel_max))
		return;
	if (!report_code(storvsc_client_add_channels(&rig.storage, count, rings),
			 "sub-channels open"))
		return;
	check_run("the disk reads over all channels", false, SEED_AFTER, 1 + count);
	check_run("the disk writes over all channels", true, SEED_AFTER, 1 + count);
}

/* Reads one sector after each way of coming back. */
static void check_first_sector(const char *name)
{
	uint32_t size = rig.disk.sector_size;
	struct storvsc_request request = disk_client_read(&rig.disk, 0, memory[0], size);
	bool good;

	memset(memory[0], 0, size);
	good = succeeds(&request);
	report(good && pattern_check(memory[0], size, SEED_AFTER, 0) == size, name,
	       "srb status 0x%x", request.srb_status);
}

static void check_reconnects(void)
{
	static const uint16_t storage_versions[] = { STORVSP_VERSION_WIN10, STORVSP_VERSION_WIN8_1,
						     STORVSP_VERSION_WIN8 };

	for (size_t i = 0; i < ARRAY_SIZE(storage_versions); i++) {
		if (!report_code(storvsc_client_close(&rig.storage), "the controller closes") ||
		    !rig_open(storage_versions[i]))
			return;
		report(rig.storage.version == storage_versions[i],
		       "the controller speaks the older version", "0x%x", rig.storage.version);
		check_first_sector("the disk reads after opening again");
	}
	for (size_t i = 0; i < vmbus_client_version_count; i++) {
		uint32_t version = vmbus_client_versions[i];

		if (!rig_unload() || !rig_connect(version) || !rig_open(UINT16_MAX))
			return;
		report(rig.bus.version == version, "the host speaks the older version", "0x%x",
		       rig.bus.version);
		check_first_sector("the disk reads after connecting again");
	}
}

void guest_main(void)
{
	unsigned sub_channels = (unsigned)machine_parameter("sub_channels", 0);

	if (rig_start()) {
		report_note("VMBus %u.%u, storage %x, %lu sectors of %u, serial %s",
			    VMBUS_VERSION_MAJOR(rig.bus.version),
			    VMBUS_VERSION_MINOR(rig.bus.version), rig.storage.version,
			    rig.disk.sectors, rig.disk.sector_size, rig.disk.serial);
		check_run("the disk is as it was made", false, SEED_BEFORE, 1);
		check_refusals();
		check_interrupts();
		if (machine_parameter("read_only", 0)) {
			check_read_only();
		} else {
			check_run("the disk writes", true, SEED_AFTER, 1);
			check_flush();
			check_run("the disk reads what was written", false, SEED_AFTER, 1);
			check_scattered(SEED_AFTER);
			if (sub_channels)
				check_sub_channels(sub_channels);
			check_reconnects();
		}
		report_note("events are signalled from ring %d, %lu of them, %lu interrupts",
			    hypercall_signals_from_user_mode() ? 3 : 0, hypercall_signal_count(),
			    machine_interrupts());
	}
	report_done();
}

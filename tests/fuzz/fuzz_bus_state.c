/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of the bus and of the devices on it, as it may come from another host.
 *
 * Input: the records. Devices whose record is there are restored from it, the others stay as they
 * were made. If all is taken, the guest goes on: all rings are looked at, what was under way is done
 * again, and all is saved once more.
 */
#include "common/base/state.h"
#include "tests/fake/disk_memory.h"
#include "tests/fake/fake.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_time.h"
#include "vsp/storage/storage.h"

#include <assert.h>
#include <stdlib.h>

#define RAM_SIZE  (32u << 20) /* as the guests had whose states are in the corpus */
#define DISK_SIZE (8u << 20)

static struct fake *fake;
static struct storage_controller *controller;
static struct ic_shutdown *shutdown_service;
static struct ic_heartbeat *heartbeat;
static struct ic_time *time_service;

static void nothing(void *data)
{
}

static void heartbeat_changed(void *data, enum ic_heartbeat_status status,
			      enum ic_application_state application)
{
	assert(ic_heartbeat_status_name(status));
}

static const struct ic_heartbeat_callbacks heartbeat_callbacks = { .changed = heartbeat_changed };

static void make_devices(void)
{
	struct storage_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC,
	};
	struct disk *disk;
	int r;

	r = storage_controller_new(fake->bus, &options, &controller);
	assert(r == 0);
	r = disk_memory_new(fake->loop, DISK_SIZE, 512, &disk);
	assert(r == 0);
	r = storage_attach(controller, 0, &(struct storage_unit){ 0 }, disk);
	assert(r == 0);
	r = ic_shutdown_new(fake->bus, &shutdown_service);
	assert(r == 0);
	r = ic_heartbeat_new(fake->bus, 0, &heartbeat_callbacks, NULL, &heartbeat);
	assert(r == 0);
	r = ic_time_new(fake->bus, 0, &time_service);
	assert(r == 0);
}

static void free_devices(void)
{
	storage_controller_free(controller);
	ic_shutdown_free(shutdown_service);
	ic_heartbeat_free(heartbeat);
	ic_time_free(time_service);
}

/* A device of which nothing is said stays as it is. */
static bool is_taken(int r)
{
	return r == 0 || r == STATE_E_ABSENT;
}

static bool restore(const struct state_reader *reader)
{
	struct guid type, instance;

	return vmbus_restore(fake->bus, reader) == 0 &&
	       is_taken(storage_controller_restore(controller, "storage/0", reader)) &&
	       is_taken(ic_service_restore(ic_shutdown_service(shutdown_service), "shutdown",
					   reader)) &&
	       is_taken(ic_service_restore(ic_heartbeat_service(heartbeat), "heartbeat", reader)) &&
	       is_taken(ic_service_restore(ic_time_service(time_service), "time", reader)) &&
	       vmbus_restored(fake->bus, &type, &instance) == 0;
}

static void save(void)
{
	struct state_writer writer;

	vmbus_quiesce(fake->bus, nothing, NULL);
	storage_controller_quiesce(controller, 0, nothing, NULL);
	ic_service_quiesce(ic_heartbeat_service(heartbeat));
	fake_settle(fake);
	state_writer_init(&writer);
	if (vmbus_save(fake->bus, &writer) == 0 &&
	    storage_controller_save(controller, "storage/0", &writer) == 0)
		ic_service_save(ic_heartbeat_service(heartbeat), "heartbeat", &writer);
	state_writer_deinit(&writer);
}

static void go_on(void)
{
	vmbus_resume(fake->bus);
	storage_controller_resume(controller);
	ic_service_resume(ic_shutdown_service(shutdown_service));
	ic_service_resume(ic_heartbeat_service(heartbeat));
	ic_service_resume(ic_time_service(time_service));
	fake_settle(fake);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fake = fake_new(4, RAM_SIZE);
	make_devices();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_reader reader;

	if (state_reader_init(&reader, data, size) != 0)
		return 0;
	if (restore(&reader)) {
		go_on();
		save();
		go_on();
	}
	fake_leave(fake);
	fake->inbox_count = fake->offer_count = 0; /* another guest */
	free_devices();
	fake_arrive(fake);
	make_devices();
	return 0;
}

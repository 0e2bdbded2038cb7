/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The devices of a definition as a guest without a machine finds them. */
#include "common/image/image.h"
#include "tests/fake/storvsc.h"
#include "tests/unit/unit.h"
#include "vmwp/device/devices.h"
#include "vmwp/resource/resources.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct fixture {
	struct fake *fake;
	struct definition *definition;
	struct resources *resources;
	struct devices *devices;
	struct storvsc client; /* of the first controller offered */
	unsigned ejected, controller, lun;
};

static void take_heartbeat(void *data, const char *status)
{
}

static void take_ejected(void *data, unsigned controller, unsigned lun)
{
	struct fixture *f = data;

	f->ejected++;
	f->controller = controller;
	f->lun = lun;
}

static int setup(void **state)
{
	static const char text[] =
		"{\"name\": \"t\", \"boot\": {\"kernel\": \"/k\"}, \"disks\": ["
		"{\"controller\": 0, \"lun\": 5, \"type\": \"dvd\", \"path\": \"/iso\"},"
		"{\"controller\": 0, \"lun\": 6, \"path\": \"/disk\"}]}";
	static const struct devices_callbacks callbacks = {
		.heartbeat = take_heartbeat,
		.ejected = take_ejected,
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config;
	struct failure failure;
	struct json_error error;

	f->fake = fake_new(1, 8 << 20);
	assert_int_equal(definition_parse(text, strlen(text), &f->definition, &error), 0);
	assert_int_equal(resources_new(&f->resources), 0);
	for (size_t i = 0; i < f->definition->disk_count; i++) {
		int fd = memfd_create("disk", MFD_CLOEXEC);
		char name[RESOURCES_NAME_MAX];

		assert_int_equal(ftruncate(fd, 1 << 20), 0);
		resources_disk_name(0, f->definition->disks[i].lun, name);
		assert_int_equal(resources_put(f->resources, name, fd), 0);
	}
	config = (struct device_config){
		.loop = f->fake->loop,
		.bus = f->fake->bus,
		.definition = f->definition,
		.resources = f->resources,
		.callbacks = &callbacks,
		.data = f,
		.alone = true,
	};
	assert_int_equal(devices_new(&config, &f->devices, &failure), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	devices_free(f->devices);
	fake_free(f->fake);
	resources_free(f->resources);
	definition_free(f->definition);
	free(f);
	return 0;
}

static struct disks *disks_of(struct fixture *f)
{
	return devices_get(f->devices, DEVICE_STORAGE);
}

static uint8_t eject(struct fixture *f, uint8_t lun)
{
	static const uint8_t cdb[6] = { 0x1b, 0, 0, 0, 2 };
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_NONE, 0, cdb, sizeof(cdb));

	packet.srb.lun = lun;
	assert_true(storvsc_submit(&f->client, 7, &packet, 0));
	assert_true(storvsc_receive(&f->client));
	return f->client.reply.srb.srb_status & 0x3f;
}

static void connect_guest(struct fixture *f)
{
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_true(storvsc_start(&f->client, f->fake));
}

static void guest_that_ejects(void **state)
{
	struct fixture *f = *state;

	connect_guest(f);
	eject(f, 6); /* no DVD drive */
	assert_int_equal(f->ejected, 0);
	assert_int_equal(eject(f, 5), STORVSP_SRB_SUCCESS);
	assert_int_equal(f->ejected, 1);
	assert_int_equal(f->controller, 0);
	assert_int_equal(f->lun, 5);
	assert_int_equal(eject(f, 5), STORVSP_SRB_SUCCESS); /* from an empty tray */
	assert_int_equal(f->ejected, 1);
}

static void we_who_eject(void **state)
{
	struct fixture *f = *state;
	struct failure failure;

	connect_guest(f);
	assert_int_equal(disks_eject(disks_of(f), 0, 5, false, NULL, NULL, &failure), 0);
	fake_settle(f->fake);
	assert_int_equal(f->ejected, 0);
}

/* Controllers that come with their first disk know their number, too. */
static void guest_that_ejects_from_a_late_controller(void **state)
{
	const struct guid instance =
		GUID(0x6d1f3a0c, 0x52b7, 0x4c8e, 0x9a, 0x41, 0x7e, 0x05, 0xd3, 0xb8, 0x26, 3);
	struct fixture *f = *state;
	struct definition_disk drive = { .controller = 3,
					 .lun = 63,
					 .drive = DEFINITION_DRIVE_DVD,
					 .read_only = true,
					 .sector_size = DEFINITION_DVD_SECTOR_SIZE };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct failure failure;

	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	for (unsigned lun = 5; lun <= 6; lun++)
		assert_int_equal(disks_detach(disks_of(f), 0, lun, NULL, NULL, &failure), 0);
	assert_int_equal(disks_attach(disks_of(f), &drive, &fd, fd >= 0, &failure), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_non_null(fake_find_offer(f->fake, &storvsc_type, &instance, 0));
	for (size_t i = 0; i < f->fake->offer_count; i++) {
		if (memcmp(&f->fake->offers[i].instance, &instance, sizeof(instance)) != 0 &&
		    memcmp(&f->fake->offers[i].type, &storvsc_type, sizeof(storvsc_type)) == 0)
			f->fake->offers[i].type = (struct guid){ 0 }; /* not to be opened */
	}
	assert_true(storvsc_start(&f->client, f->fake));
	assert_int_equal(eject(f, 63), STORVSP_SRB_SUCCESS);
	assert_int_equal(f->ejected, 1);
	assert_int_equal(f->controller, 3);
	assert_int_equal(f->lun, 63);
}

/* ---- VHDX ---- */

#define VHDX_LUN 7

static int make_vhdx(void)
{
	const struct vhdx_options options = { .size = 8 << 20,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 512 };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vhdx_file file = vhdx_file_of(&fd, 0);

	assert_int_equal(vhdx_make(&file, &options), 0);
	return fd;
}

static int attach_vhdx(struct fixture *f, int fd, struct failure *failure)
{
	struct definition_disk disk = {
		.controller = 0, .lun = VHDX_LUN, .format = (char[]){ "vhdx" }, .sector_size = 512
	};

	return disks_attach(disks_of(f), &disk, &fd, 1, failure);
}

static void set_closed(void *data)
{
	*(bool *)data = true;
}

/* What the guest has written is there when the disks are closed, and no log is left. */
static void a_vhdx_is_closed(void **state)
{
	static const uint8_t cdb[10] = { 0x2a, 0, 0, 0, 0, 8, 0, 0, 8 };
	struct fixture *f = *state;
	int fd = make_vhdx(), other = dup(fd);
	uint8_t written[4096], found[4096];
	struct vhdx_patches patches;
	struct storvsp_packet packet;
	struct failure failure = { 0 };
	struct vhdx vhdx;
	bool closed = false;
	uint64_t entry, size;

	assert_int_equal(attach_vhdx(f, fd, &failure), 0);
	connect_guest(f);
	memset(written, 0x5a, sizeof(written));
	storvsc_put(&f->client, 0, written, sizeof(written));
	packet = storvsc_srb(STORVSP_DIRECTION_OUT, sizeof(written), cdb, sizeof(cdb));
	packet.srb.lun = VHDX_LUN;
	assert_true(storvsc_submit(&f->client, 7, &packet, 0));
	assert_true(storvsc_receive(&f->client));
	/* The first is told that units have changed. */
	if ((f->client.reply.srb.srb_status & 0x3f) != STORVSP_SRB_SUCCESS) {
		assert_true(storvsc_submit(&f->client, 8, &packet, 0));
		assert_true(storvsc_receive(&f->client));
	}
	assert_int_equal(f->client.reply.srb.srb_status & 0x3f, STORVSP_SRB_SUCCESS);
	disks_close(disks_of(f), set_closed, &closed);
	for (int i = 0; i < 1000 && !closed; i++)
		assert_int_equal(loop_run_once(f->fake->loop, 1000000), 0);
	assert_true(closed);

	assert_int_equal(vhdx_open_fd(other, false, &vhdx, &patches, &size), 0);
	assert_true(guid_is_null(&vhdx.header.log));
	assert_int_equal(pread(other, &entry, 8, (off_t)vhdx.bat_offset), 8);
	assert_int_equal(entry & VHDX_STATE_MASK, VHDX_FULLY);
	assert_int_equal(pread(other, found, 4096, (off_t)((entry & VHDX_OFFSET_MASK) + 4096)),
			 4096);
	assert_memory_equal(found, written, sizeof(found));
	vhdx_patches_deinit(&patches);
	close(other);
}

/* A chain, whose images come in their order. */
static void a_vhdx_with_a_parent(void **state)
{
	struct definition_disk disk = {
		.controller = 0, .lun = VHDX_LUN, .format = (char[]){ "vhdx" }, .sector_size = 512
	};
	struct vhdx_parent parent = { .relative = "parent" };
	const struct vhdx_options options = { .size = 8 << 20,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 512,
					      .parent = &parent };
	int below = make_vhdx(), child = memfd_create("child", MFD_CLOEXEC);
	struct vhdx_file file = vhdx_file_of(&child, 0);
	int fds[2] = { dup(below), dup(child) };
	struct failure failure = { 0 };
	struct fixture *f = *state;
	struct vhdx_patches patches;
	struct vhdx vhdx;
	uint64_t size;

	assert_int_equal(vhdx_open_fd(below, false, &vhdx, &patches, &size), 0);
	parent.linkage = vhdx.header.data_write;
	assert_int_equal(vhdx_make(&file, &options), 0);
	assert_int_equal(disks_attach(disks_of(f), &disk, fds, 2, &failure), DISKS_E_REFUSED);
	assert_non_null(strstr(failure.message, "its parent is not there"));
	assert_int_equal(disks_attach(disks_of(f), &disk, (int[]){ dup(child) }, 1, &failure),
			 DISKS_E_REFUSED);
	assert_non_null(strstr(failure.message, "its parent is not there"));
	fds[0] = child;
	fds[1] = below;
	assert_int_equal(disks_attach(disks_of(f), &disk, fds, 2, &failure), 0);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[1], -1);
}

static void no_vhdx(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct failure failure = { 0 };

	assert_int_equal(ftruncate(fd, 8 << 20), 0);
	assert_int_equal(attach_vhdx(f, fd, &failure), DISKS_E_REFUSED);
	assert_non_null(strstr(failure.message, "it is no VHDX image"));
}

/* Whoever opens it recovers it: here that would take too long. */
static void a_vhdx_with_a_log(void **state)
{
	uint8_t page[VHDX_PAGE], *entry = calloc(1, VHDX_ENTRY_SIZE);
	struct vhdx_log_position position = { .sequence = 1 };
	struct fixture *f = *state;
	struct vhdx_patches patches;
	struct failure failure = { 0 };
	int fd = make_vhdx();
	struct vhdx vhdx;
	uint64_t size;

	assert_int_equal(vhdx_open_fd(fd, true, &vhdx, &patches, &size), 0);
	vhdx.header.log = (struct guid){ { 1 } };
	vhdx.header.sequence++;
	vhdx_header_make(page, &vhdx.header);
	assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)VHDX_HEADER_OFFSET(0)),
			 sizeof(page));
	vhdx_entry_make(entry, &vhdx.header.log, &position, NULL, 0);
	assert_int_equal(pwrite(fd, entry, VHDX_PAGE, (off_t)vhdx.header.log_offset), VHDX_PAGE);
	free(entry);
	assert_int_equal(attach_vhdx(f, fd, &failure), DISKS_E_REFUSED);
	assert_non_null(strstr(failure.message, "has not been recovered"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(guest_that_ejects, setup, teardown),
		cmocka_unit_test_setup_teardown(we_who_eject, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_that_ejects_from_a_late_controller, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_vhdx_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vhdx_with_a_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(no_vhdx, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vhdx_with_a_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

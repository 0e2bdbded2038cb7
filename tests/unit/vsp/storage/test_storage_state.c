/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A storage controller saved and restored with requests under way. */
#include "common/base/state.h"
#include "common/wire/scsi.h"
#include "tests/fake/disk_fault.h"
#include "tests/fake/storvsc.h"
#include "tests/unit/unit.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DISK_SIZE (8u << 20)
#define VPS       4
#define SOON_NS   2000000ull
#define LATE_NS   (60ull * 1000 * 1000 * 1000)

static const uint8_t test_unit_ready[6] = { 0x00 };
static const uint8_t request_sense[6] = { 0x03, 0, 0, 0, 18 };

struct fixture {
	struct fake *fake;
	struct storage_controller *controller;
	struct disk *disk; /* of unit 0: with faults, on memory */
	uint8_t *bytes;    /* of the disk */
	uint64_t size;     /* of the one that is made next */
	struct storvsc primary, sub;
	unsigned done;
};

static void make_controller(struct fixture *f)
{
	struct storage_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC,
	};
	struct disk *memory;

	assert_int_equal(storage_controller_new(f->fake->bus, &options, &f->controller), 0);
	assert_int_equal(disk_memory_new(f->fake->loop, f->size, 512, &memory), 0);
	f->bytes = disk_memory_bytes(memory);
	f->disk = disk_fault_new(f->fake->loop, memory);
	assert_int_equal(storage_attach(f->controller, 0, &(struct storage_unit){ 0 }, f->disk), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(VPS, 32 << 20);
	f->size = DISK_SIZE;
	make_controller(f);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_true(storvsc_start(&f->primary, f->fake));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	storage_controller_free(f->controller);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void count_done(void *data)
{
	((struct fixture *)data)->done++;
}

static bool is_done(void *data)
{
	return ((struct fixture *)data)->done > 0;
}

static void nothing(void *data)
{
}

static void quiesce(struct fixture *f, uint64_t limit_ns)
{
	f->done = 0;
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	storage_controller_quiesce(f->controller, limit_ns, count_done, f);
}

static int save_records(struct fixture *f, struct state_writer *writer)
{
	state_writer_init(writer);
	assert_int_equal(vmbus_save(f->fake->bus, writer), 0);
	return storage_controller_save(f->controller, "storage/0", writer);
}

static void save(struct fixture *f, struct state_writer *writer)
{
	quiesce(f, SOON_NS);
	assert_true(fake_run_until(f->fake, is_done, f));
	assert_int_equal(f->done, 1);
	assert_int_equal(save_records(f, writer), 0);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as storage_controller_restore(). */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;
	int r;

	disk_fault_release(f->disk);
	fake_leave(f->fake);
	storage_controller_free(f->controller);
	fake_arrive(f->fake);
	make_controller(f);
	assert_int_equal(state_reader_init(&reader, writer->bytes, writer->size), 0);
	r = vmbus_restore(f->fake->bus, &reader);
	return r ?: storage_controller_restore(f->controller, "storage/0", &reader);
}

static void go_on(struct fixture *f)
{
	struct guid type, instance;

	assert_int_equal(vmbus_restored(f->fake->bus, &type, &instance), 0);
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
}

static struct storvsp_packet transfer(enum storvsp_direction direction, uint32_t lba,
				      uint32_t blocks)
{
	uint8_t cdb[10] = { direction == STORVSP_DIRECTION_IN ? 0x28 : 0x2a };

	cdb[4] = (uint8_t)(lba >> 8);
	cdb[5] = (uint8_t)lba;
	cdb[8] = (uint8_t)blocks;
	return storvsc_srb(direction, blocks * 512, cdb, sizeof(cdb));
}

static void submit(struct storvsc *s, uint64_t id, enum storvsp_direction direction, uint32_t lba,
		   uint32_t offset)
{
	struct storvsp_packet packet = transfer(direction, lba, 8);

	assert_true(storvsc_submit(s, id, &packet, offset));
	fake_settle(s->fake);
}

static void expect_reply(struct storvsc *s, uint64_t id)
{
	assert_true(storvsc_receive(s));
	assert_int_equal(s->reply_id, id);
	assert_int_equal(s->reply.srb.srb_status, STORVSP_SRB_SUCCESS);
}

/* ---- Quiet ---- */

static void test_requests_are_waited_for(void **state)
{
	struct fixture *f = *state;

	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 0, 0);
	quiesce(f, LATE_NS);
	fake_settle(f->fake);
	assert_int_equal(f->done, 0);
	disk_fault_release(f->disk);
	assert_true(fake_run_until(f->fake, is_done, f));
	assert_true(storvsc_receive_now(&f->primary));
	assert_int_equal(f->primary.reply_id, 1);
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
	assert_int_equal(
		storvsc_execute(&f->primary, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
		STORVSP_SRB_SUCCESS);
}

static void test_the_wait_has_an_end(void **state)
{
	struct fixture *f = *state;

	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 0, 0);
	quiesce(f, SOON_NS);
	assert_true(fake_run_until(f->fake, is_done, f));
	/* What ends now is told when the guest goes on. */
	disk_fault_release(f->disk);
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(&f->primary));
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
	expect_reply(&f->primary, 1);
}

static void test_a_reset_does_not_wait_for_quiet(void **state)
{
	struct fixture *f = *state;

	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 0, 0);
	quiesce(f, LATE_NS);
	fake_settle(f->fake);
	disk_fault_release(f->disk);
	fake_stop(f->fake);
	assert_int_equal(f->done, 1);
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
}

/* A reset waits for what it resets, and nobody would run it before the controller goes on. */
static void test_a_guest_leaves_while_quiet(void **state)
{
	struct fixture *f = *state;
	struct storvsp_packet reset = { .operation = STORVSP_RESET_LUN };

	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 0, 0);
	assert_true(storvsc_send(&f->primary, 2, &reset));
	fake_settle(f->fake);
	quiesce(f, SOON_NS);
	assert_true(fake_run_until(f->fake, is_done, f));
	disk_fault_release(f->disk);
	fake_stop(f->fake);
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
}

/* ---- Restoring ---- */

static void test_requests_under_way_are_done_again(void **state)
{
	struct fixture *f = *state;
	uint8_t data[4096], seen[4096];
	struct state_writer writer;

	memset(data, 0x5a, sizeof(data));
	storvsc_put(&f->primary, 8192, data, sizeof(data));
	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 16, 0);
	submit(&f->primary, 2, STORVSP_DIRECTION_OUT, 64, 8192);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	/* The medium of the other machine: what was written to the first one does not count. */
	memset(f->bytes, 0, DISK_SIZE);
	memset(f->bytes + 16 * 512, 0xa5, sizeof(data));
	memset(seen, 0, sizeof(seen));
	storvsc_put(&f->primary, 0, seen, sizeof(seen));
	fake_settle(f->fake);
	assert_false(storvsc_receive_now(&f->primary));
	go_on(f);
	expect_reply(&f->primary, 1);
	expect_reply(&f->primary, 2);
	storvsc_get(&f->primary, 0, seen, sizeof(seen));
	memset(data, 0xa5, sizeof(data));
	assert_memory_equal(seen, data, sizeof(data));
	assert_int_equal(f->bytes[64 * 512], 0x5a);
	assert_int_equal(
		storvsc_execute(&f->primary, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
		STORVSP_SRB_SUCCESS);
	state_writer_deinit(&writer);
}

static void test_saved_again_it_is_the_same(void **state)
{
	struct fixture *f = *state;
	struct state_writer first, second;

	disk_fault_hold(f->disk);
	for (uint64_t id = 1; id < 6; id++)
		submit(&f->primary, id, STORVSP_DIRECTION_IN, (uint32_t)id * 8, 0);
	save(f, &first);
	assert_int_equal(restore(f, &first), 0);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	go_on(f);
	for (uint64_t id = 1; id < 6; id++)
		expect_reply(&f->primary, id);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

static void test_replies_without_room_go_along(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	uint64_t id = 1;

	/* Both rings are full of what the guest has not read. */
	disk_fault_hold(f->disk);
	for (; id < 200; id++) {
		struct storvsp_packet packet = transfer(STORVSP_DIRECTION_IN, 0, 1);

		if (!storvsc_submit(&f->primary, id, &packet, 0))
			break;
		fake_settle(f->fake);
	}
	assert_true(id > 100);
	disk_fault_release(f->disk);
	fake_settle(f->fake);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	go_on(f);
	for (uint64_t i = 1; i < id; i++)
		expect_reply(&f->primary, i);
	state_writer_deinit(&writer);
}

static void test_sub_channels_go_on(void **state)
{
	struct fixture *f = *state;
	struct storvsp_packet wanted = {
		.operation = STORVSP_CREATE_SUB_CHANNELS,
		.sub_channel_count = 2,
	};
	struct state_writer writer;

	assert_true(storvsc_send(&f->primary, 1, &wanted));
	assert_true(storvsc_receive(&f->primary));
	assert_true(storvsc_open(&f->sub, f->fake, 1, 8));
	disk_fault_hold(f->disk);
	submit(&f->sub, 7, STORVSP_DIRECTION_IN, 0, 0);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	go_on(f);
	expect_reply(&f->sub, 7);
	submit(&f->sub, 8, STORVSP_DIRECTION_IN, 8, 0);
	expect_reply(&f->sub, 8);
	state_writer_deinit(&writer);
}

/* Sense data that the guest has yet to ask for, and a unit attention, are its own. */
static void test_what_the_guest_did_to_a_unit_stays(void **state)
{
	struct fixture *f = *state;
	uint8_t cdb[10] = { 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1 };
	struct storvsp_packet packet = storvsc_srb(STORVSP_DIRECTION_IN, 512, cdb, sizeof(cdb));
	struct state_writer writer;
	uint8_t sense[18];

	assert_int_equal(
		storvsc_execute(&f->primary, STORVSP_DIRECTION_NONE, 0, test_unit_ready, 6),
		STORVSP_SRB_SUCCESS);
	packet.srb.srb_flags |= STORVSP_SRB_DISABLE_AUTOSENSE;
	assert_true(storvsc_submit(&f->primary, 1, &packet, 0));
	assert_true(storvsc_receive(&f->primary));
	f->disk->lost = true;
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	go_on(f);
	assert_true(f->disk->lost);
	assert_int_equal(
		storvsc_execute(&f->primary, STORVSP_DIRECTION_IN, sizeof(sense), request_sense, 6),
		STORVSP_SRB_SUCCESS);
	storvsc_get(&f->primary, 0, sense, sizeof(sense));
	assert_int_equal(sense[2] & 0xf, 5); /* ILLEGAL REQUEST */
	assert_int_equal(sense[12], 0x21);   /* LOGICAL BLOCK ADDRESS OUT OF RANGE */
	state_writer_deinit(&writer);
}

/* ---- What is refused ---- */

static void test_another_medium_is_refused(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	save(f, &writer);
	f->size = DISK_SIZE / 2;
	assert_int_equal(restore(f, &writer), STATE_E_INVALID);
	state_writer_deinit(&writer);
}

/* Compared once more, the block would not be what it was compared with. */
static void test_what_must_not_be_done_twice_is_refused(void **state)
{
	static const uint8_t compare_and_write[16] = { 0x89, [13] = 1 };
	struct fixture *f = *state;
	struct storvsp_packet packet =
		storvsc_srb(STORVSP_DIRECTION_OUT, 1024, compare_and_write, 16);
	struct state_writer writer;

	disk_fault_hold(f->disk);
	assert_true(storvsc_submit(&f->primary, 1, &packet, 0));
	fake_settle(f->fake);
	quiesce(f, SOON_NS);
	assert_true(fake_run_until(f->fake, is_done, f));
	assert_int_equal(save_records(f, &writer), -EBUSY);
	vmbus_resume(f->fake->bus);
	storage_controller_resume(f->controller);
	disk_fault_release(f->disk);
	expect_reply(&f->primary, 1);
	state_writer_deinit(&writer);
}

/* Each byte changed: it is refused, or the controller goes on with what it was told. */
static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused = 0;
	size_t from;

	disk_fault_hold(f->disk);
	submit(&f->primary, 1, STORVSP_DIRECTION_IN, 16, 0);
	quiesce(f, SOON_NS);
	assert_true(fake_run_until(f->fake, is_done, f));
	state_writer_init(&writer);
	assert_int_equal(vmbus_save(f->fake->bus, &writer), 0);
	from = writer.size;
	assert_int_equal(storage_controller_save(f->controller, "storage/0", &writer), 0);
	for (size_t at = from; at < writer.size; at++) {
		writer.bytes[at] ^= 0x81;
		if (state_reader_init(&reader, writer.bytes, writer.size) == 0) {
			if (restore(f, &writer))
				refused++;
			else
				go_on(f);
			fake_settle(f->fake);
		}
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 30);
	assert_int_equal(restore(f, &writer), 0);
	state_writer_deinit(&writer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests_are_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_wait_has_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reset_does_not_wait_for_quiet, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_guest_leaves_while_quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_under_way_are_done_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_saved_again_it_is_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replies_without_room_go_along, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_sub_channels_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_the_guest_did_to_a_unit_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_another_medium_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_must_not_be_done_twice_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_any_record_is_survived, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

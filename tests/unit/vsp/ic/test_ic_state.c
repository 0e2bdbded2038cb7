/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integration services saved and restored in the middle of what they do. */
#include "common/base/state.h"
#include "tests/fake/fake.h"
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_time.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_NS 1000000

struct fixture {
	struct fake *fake;
	struct ic_heartbeat *heartbeat;
	struct ic_time *time;
	struct fake_channel beats, times;
	enum ic_heartbeat_status status; /* the last that was told */
};

static void changed(void *data, enum ic_heartbeat_status status,
		    enum ic_application_state application)
{
	((struct fixture *)data)->status = status;
}

static const struct ic_heartbeat_callbacks callbacks = { .changed = changed };

static void make_services(struct fixture *f)
{
	assert_int_equal(ic_heartbeat_new(f->fake->bus, INTERVAL_NS, &callbacks, f, &f->heartbeat),
			 0);
	assert_int_equal(ic_time_new(f->fake->bus, INTERVAL_NS, &f->time), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(2, 8 << 20);
	make_services(f);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	ic_guest_open(f->fake, (struct guid)IC_HEARTBEAT_TYPE, &f->beats);
	ic_guest_negotiate(&f->beats, 3, 0);
	ic_guest_open(f->fake, (struct guid)IC_TIME_TYPE, &f->times);
	ic_guest_negotiate(&f->times, 4, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_heartbeat_free(f->heartbeat);
	ic_time_free(f->time);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void nothing(void *data)
{
}

static void save(struct fixture *f, struct state_writer *writer)
{
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	ic_service_quiesce(ic_heartbeat_service(f->heartbeat));
	ic_service_quiesce(ic_time_service(f->time));
	fake_save_bus(f->fake, writer);
	ic_service_save(ic_heartbeat_service(f->heartbeat), "heartbeat", writer);
	ic_service_save(ic_time_service(f->time), "time", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as ic_service_restore(), of the heartbeat service. */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;
	int r;

	fake_leave(f->fake);
	ic_heartbeat_free(f->heartbeat);
	ic_time_free(f->time);
	f->status = IC_HEARTBEAT_UNKNOWN;
	fake_arrive(f->fake);
	make_services(f);
	r = fake_restore_bus(f->fake, writer, &reader);
	if (r == 0)
		r = ic_service_restore(ic_time_service(f->time), "time", &reader);
	return r ?: ic_service_restore(ic_heartbeat_service(f->heartbeat), "heartbeat", &reader);
}

static void go_on(struct fixture *f)
{
	fake_go_on(f->fake);
	ic_service_resume(ic_heartbeat_service(f->heartbeat));
	ic_service_resume(ic_time_service(f->time));
}

static uint64_t sequence(const struct ic_message *message)
{
	uint64_t sequence;

	memcpy(&sequence, message->bytes, sizeof(sequence));
	return sequence;
}

/* The guest has a request before it, and answers it to the service that was made anew. */
static void test_an_answer_comes_to_the_other(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct ic_message message;
	uint64_t before;

	for (int i = 0; i < 3; i++) {
		assert_true(ic_guest_receive(&f->beats, &message));
		ic_guest_answer(&f->beats, &message, IC_STATUS_OK);
		fake_settle(f->fake);
	}
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	assert_true(ic_guest_receive(&f->beats, &message));
	before = sequence(&message);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	go_on(f);
	ic_guest_answer(&f->beats, &message, IC_STATUS_OK);
	/* The next beat follows the last, without a new negotiation. */
	assert_true(ic_guest_receive(&f->beats, &message));
	assert_int_equal(message.header.type, IC_MESSAGE_HEARTBEAT);
	assert_int_equal(sequence(&message), before + 1);
	assert_true(ic_guest_receive(&f->times, &message));
	assert_int_equal(message.header.type, IC_MESSAGE_TIMESYNC);
	state_writer_deinit(&writer);
}

/* An answer that was given while nobody listened. */
static void test_an_answer_that_was_on_its_way(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct ic_message message;

	assert_true(ic_guest_receive(&f->beats, &message));
	save(f, &writer);
	ic_guest_answer(&f->beats, &message, IC_STATUS_OK);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(f->status, IC_HEARTBEAT_UNKNOWN);
	go_on(f);
	assert_true(ic_guest_receive(&f->beats, &message));
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	state_writer_deinit(&writer);
}

static void test_in_the_middle_of_the_negotiation(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct ic_message message;

	assert_true(fake_close(&f->beats));
	ic_guest_open(f->fake, (struct guid)IC_HEARTBEAT_TYPE, &f->beats);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	go_on(f);
	ic_guest_negotiate(&f->beats, 3, 0);
	assert_true(ic_guest_receive(&f->beats, &message));
	assert_int_equal(message.header.type, IC_MESSAGE_HEARTBEAT);
	state_writer_deinit(&writer);
}

static void test_saved_again_it_is_the_same(void **state)
{
	struct fixture *f = *state;
	struct state_writer first, second;
	struct ic_message message;

	assert_true(ic_guest_receive(&f->beats, &message));
	save(f, &first);
	assert_int_equal(restore(f, &first), 0);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	go_on(f);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

static void test_time_stands_still_while_quiet(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	assert_true(ic_guest_receive(&f->beats, &message));
	/* Before the answer, until which no other beat is sent, however late this is. */
	ic_service_quiesce(ic_heartbeat_service(f->heartbeat));
	ic_guest_answer(&f->beats, &message, IC_STATUS_OK);
	for (uint64_t end = loop_now() + 5 * INTERVAL_NS; loop_now() < end;)
		fake_run(f->fake);
	fake_settle(f->fake);
	assert_false(ic_guest_has_request(&f->beats));
	ic_service_resume(ic_heartbeat_service(f->heartbeat));
	assert_true(ic_guest_receive(&f->beats, &message));
}

/* Each byte of the heartbeat's record changed: it is refused, or the service goes on with it. */
static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused = 0;

	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	for (size_t at = 0; at < writer.size; at++) {
		writer.bytes[at] ^= 0x81;
		if (state_reader_init(&reader, writer.bytes, writer.size) == 0)
			refused += ic_service_restore(ic_heartbeat_service(f->heartbeat),
						      "heartbeat", &reader) != 0;
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 8);
	assert_int_equal(restore(f, &writer), 0);
	go_on(f);
	state_writer_deinit(&writer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_answer_comes_to_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_answer_that_was_on_its_way, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_in_the_middle_of_the_negotiation, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_saved_again_it_is_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_stands_still_while_quiet, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_any_record_is_survived, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

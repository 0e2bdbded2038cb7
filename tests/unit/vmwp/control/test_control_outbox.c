/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the worker says to a daemon that takes it, takes its time, or goes away. */
#include "common/control.h"
#include "tests/fake/control_pair.h"
#include "tests/unit/aborts.h"
#include "tests/unit/unit.h"
#include "vmwp/control/control_outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull

static struct {
	struct loop *loop;
	struct control_outbox *outbox;
	int sockets[2];
	unsigned rooms;

	/* What the daemon has got. */
	uint32_t replies; /* their ids begin with 1, without a gap */
	unsigned events;
	int last;
} fixture;

static void on_room(void *data)
{
	assert_ptr_equal(data, &fixture);
	assert_false(control_outbox_is_full(fixture.outbox));
	fixture.rooms++;
}

static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	assert_int_equal(loop_new(64, &fixture.loop), 0);
	assert_int_equal(control_outbox_new(fixture.loop, on_room, &fixture, &fixture.outbox), 0);
	assert_int_equal(control_pair(fixture.sockets), 0);
	control_outbox_connect(fixture.outbox, fixture.sockets[1]);
	return 0;
}

static int teardown(void **state)
{
	loop_free(fixture.loop);
	control_outbox_free(fixture.outbox);
	close_fdp(&fixture.sockets[0]);
	close_fdp(&fixture.sockets[1]);
	return 0;
}

static void iteration(void)
{
	assert_int_equal(loop_run_once(fixture.loop, SECOND / 100), 0);
}

/* Takes a message, if there is one. */
static bool take(void)
{
	struct control_message message;
	struct json_object *number;

	if (control_receive(fixture.sockets[0], &message) != 0)
		return false;
	if (message.kind == CONTROL_EVENT) {
		fixture.events++;
		assert_true(json_object_object_get_ex(message.body, "number", &number));
		fixture.last = json_object_get_int(number);
	} else {
		assert_int_equal(message.id, ++fixture.replies);
	}
	control_message_deinit(&message);
	return true;
}

static void take_all(void)
{
	while (take())
		;
}

static struct json_object *make_event(int number)
{
	AUTO_JSON struct json_object *data = json_make("number", json_object_new_int(number), NULL);

	return control_event("event", data);
}

/* Replies until the outbox is full. Return: how many. */
static uint32_t fill(uint32_t first)
{
	static char text[4096];
	AUTO_JSON struct json_object *result = NULL;
	uint32_t id = first;

	memset(text, 'x', sizeof(text) - 1);
	result = json_make("text", json_object_new_string(text), NULL);
	while (!control_outbox_is_full(fixture.outbox))
		control_outbox_send(fixture.outbox, control_reply(id++, result));
	return id - first;
}

static void replies_wait_for_room(void **state)
{
	uint32_t count = fill(1);
	uint64_t end = loop_now() + 60 * SECOND;

	assert_true(count > CONTROL_OUTBOX_MAX);
	while (fixture.replies < count && loop_now() < end) {
		iteration();
		take();
	}
	assert_int_equal(fixture.replies, count);
	assert_true(fixture.rooms > 0);
	/* Nobody waits for room any more, and so nobody wakes us for it. */
	iteration();
	fixture.rooms = 0;
	control_outbox_send(fixture.outbox, control_reply(count + 1, NULL));
	take_all();
	iteration();
	assert_int_equal(fixture.replies, count + 1);
	assert_int_equal(fixture.rooms, 0);
}

static void wait_for_last(int number)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (fixture.last != number && loop_now() < end) {
		iteration();
		take_all();
	}
	assert_int_equal(fixture.last, number);
}

static void the_last_update_is_sent(void **state)
{
	for (int i = 1; i <= 200; i++)
		control_outbox_tell(fixture.outbox, "subject", make_event(i));
	take_all();
	assert_int_equal(fixture.events, 1);
	assert_int_equal(fixture.last, 1);
	wait_for_last(200);
	assert_int_equal(fixture.events, 2);
	/* Rested, and forgotten. */
	for (uint64_t end = loop_now() + 2 * CONTROL_OUTBOX_INTERVAL_NS; loop_now() < end;)
		iteration();
	control_outbox_tell(fixture.outbox, "subject", make_event(7));
	take_all();
	assert_int_equal(fixture.events, 3);
}

static void subjects_do_not_wait_for_each_other(void **state)
{
	char name[16];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "subject %d", i % 10);
		control_outbox_tell(fixture.outbox, name, make_event(i));
	}
	take_all();
	assert_int_equal(fixture.events, 10);
	wait_for_last(19);
	assert_int_equal(fixture.events, 20);
}

static void updates_come_before_a_reply(void **state)
{
	control_outbox_tell(fixture.outbox, "subject", make_event(1));
	control_outbox_tell(fixture.outbox, "subject", make_event(2));
	control_outbox_send(fixture.outbox, control_reply(1, NULL));
	take();
	take();
	assert_int_equal(fixture.last, 2);
	assert_int_equal(fixture.replies, 0);
	take();
	assert_int_equal(fixture.replies, 1);
}

/* However long the daemon takes nothing: there is no more than one of each subject. */
static void updates_wait_for_room(void **state)
{
	uint32_t count = fill(1);
	uint64_t end = loop_now() + 2 * SECOND;

	for (int i = 1; loop_now() < end; i = i % 1000 + 1) {
		control_outbox_tell(fixture.outbox, "subject", make_event(i));
		assert_int_equal(loop_run_once(fixture.loop, 0), 0);
	}
	control_outbox_tell(fixture.outbox, "subject", make_event(2000));
	wait_for_last(2000);
	assert_int_equal(fixture.replies, count);
	assert_int_equal(fixture.events, 1);
}

static void another_daemon_hears_nothing_old(void **state)
{
	fill(1);
	control_outbox_tell(fixture.outbox, "subject", make_event(1));
	control_outbox_connect(fixture.outbox, -1);
	close_fdp(&fixture.sockets[0]);
	close_fdp(&fixture.sockets[1]);
	control_outbox_send(fixture.outbox, control_reply(5, NULL));
	control_outbox_tell(fixture.outbox, "subject", make_event(2));
	assert_int_equal(control_pair(fixture.sockets), 0);
	control_outbox_connect(fixture.outbox, fixture.sockets[1]);
	control_outbox_tell(fixture.outbox, "subject", make_event(3));
	for (int i = 0; i < 50; i++)
		iteration();
	take_all();
	assert_int_equal(fixture.events, 1);
	assert_int_equal(fixture.last, 3);
	assert_int_equal(fixture.replies, 0);
	replies_wait_for_room(state);
}

static void daemon_that_has_gone(void **state)
{
	uint64_t end = loop_now() + 60 * SECOND;

	fill(1);
	close_fdp(&fixture.sockets[0]);
	while (fixture.rooms == 0 && loop_now() < end)
		iteration();
	assert_true(fixture.rooms > 0);
}

static void free_outbox(void *data)
{
	control_outbox_free(data);
}

static void freed_while_the_loop_polls(void **state)
{
	fill(1);
	assert_true(aborts(free_outbox, fixture.outbox));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replies_wait_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_update_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(subjects_do_not_wait_for_each_other, setup,
						teardown),
		cmocka_unit_test_setup_teardown(updates_come_before_a_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(updates_wait_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(another_daemon_hears_nothing_old, setup, teardown),
		cmocka_unit_test_setup_teardown(daemon_that_has_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(freed_while_the_loop_polls, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors behind one source: how often the loop goes round for them, and what their end does.
 */
#include "tests/unit/unit.h"
#include "vmms/base/watch.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MANY (20 * WATCHES_PER_ITERATION)

struct line {
	int near, far;
	struct watch *watch;
	unsigned served;
	uint32_t events;
};

struct fixture {
	sd_event *loop;
	struct watches *watches;
	struct line lines[MANY];
	unsigned served;
};

static struct fixture fixture;

static void open_line(struct line *line, uint32_t events, unsigned iterations_a_second,
		      watch_fn ready)
{
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	*line = (struct line){ .near = sockets[0], .far = sockets[1] };
	assert_int_equal(watch_new(fixture.watches, line->near, events, iterations_a_second, ready,
				   line, &line->watch),
			 0);
}

static void close_line(struct line *line)
{
	watch_free(TAKE_PTR(line->watch));
	close(line->near);
	close(line->far);
}

static void open_lines(unsigned count, watch_fn ready)
{
	for (unsigned i = 0; i < count; i++)
		open_line(&fixture.lines[i], EPOLLIN, 0, ready);
}

static void close_lines(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close_line(&fixture.lines[i]);
}

static void say(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(fixture.lines[i].far, "x", 1, 0), 1);
}

/* Return: turns until there is nothing to do. */
static unsigned settle(void)
{
	unsigned iterations = 0;

	while (sd_event_run(fixture.loop, 0) > 0)
		iterations++;
	return iterations;
}

static void count(struct line *line, uint32_t events)
{
	line->served++;
	line->events = events;
	fixture.served++;
}

static void take_byte(void *data, uint32_t events)
{
	struct line *line = data;
	char byte;

	count(line, events);
	assert_int_equal(recv(line->near, &byte, 1, MSG_DONTWAIT), 1);
}

static void take_nothing(void *data, uint32_t events)
{
	count(data, events);
}

static void test_turns_are_shared(void **state)
{
	open_lines(MANY, take_byte);
	say(MANY);
	assert_in_range(settle(), MANY / WATCHES_PER_ITERATION, MANY / WATCHES_PER_ITERATION + 1);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(fixture.lines[i].served, 1);
	close_lines(MANY);
}

static int tick(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(*(unsigned *)data)++;
	return 0;
}

/* Those that never have done leave turns to each other, and to the loop's other sources. */
static void test_nobody_is_left_out(void **state)
{
	AUTO_CLOSE int fd = eventfd(1, EFD_CLOEXEC);
	sd_event_source *other;
	unsigned ticks = 0;

	open_lines(MANY, take_nothing);
	say(MANY);
	assert_true(fd >= 0);
	assert_true(sd_event_add_io(fixture.loop, &other, fd, EPOLLIN, tick, &ticks) >= 0);
	for (unsigned i = 0; i < 6 * MANY / WATCHES_PER_ITERATION; i++)
		assert_true(sd_event_run(fixture.loop, 0) > 0);
	assert_true(ticks >= MANY / WATCHES_PER_ITERATION);
	for (unsigned i = 0; i < MANY; i++)
		assert_true(fixture.lines[i].served >= 2);
	sd_event_source_disable_unref(other);
	close_lines(MANY);
}

/* Frees the other one, which is ready as well; whichever comes first. */
static void free_other(void *data, uint32_t events)
{
	struct line *line = data;
	struct line *other = &fixture.lines[line == &fixture.lines[0]];

	count(line, events);
	watch_free(TAKE_PTR(other->watch));
	watch_free(TAKE_PTR(line->watch));
}

static void test_freed_in_its_turn(void **state)
{
	open_lines(2, free_other);
	say(2);
	settle();
	assert_int_equal(fixture.served, 1);
	close_lines(2);
}

static void silence_other(void *data, uint32_t events)
{
	struct line *line = data;
	struct line *other = &fixture.lines[line == &fixture.lines[0]];

	take_byte(line, events);
	watch_set_events(other->watch, 0);
}

static void test_silenced_in_its_turn(void **state)
{
	open_lines(2, silence_other);
	say(2);
	settle();
	assert_int_equal(fixture.served, 1);
	watch_set_events(fixture.lines[0].watch, EPOLLIN);
	watch_set_events(fixture.lines[1].watch, EPOLLIN);
	settle();
	assert_int_equal(fixture.served, 2);
	close_lines(2);
}

static void test_events(void **state)
{
	struct line *line = &fixture.lines[0];

	open_line(line, EPOLLIN, 0, take_nothing);
	watch_set_events(line->watch, EPOLLIN | EPOLLOUT);
	assert_true(sd_event_run(fixture.loop, 0) > 0);
	assert_int_equal(line->events, EPOLLOUT);
	watch_set_events(line->watch, 0);
	shutdown(line->far, SHUT_RDWR);
	settle();
	assert_int_equal(line->served, 1);
	watch_set_events(line->watch, EPOLLIN);
	assert_true(sd_event_run(fixture.loop, 0) > 0);
	assert_int_equal(line->events, EPOLLIN | EPOLLHUP);
	close_line(line);
}

/* One that has always something to say is not heard until the second is over. */
static void test_rest(void **state)
{
	struct line *line = &fixture.lines[0];
	unsigned before;

	open_line(line, EPOLLIN, 3, take_nothing);
	assert_int_equal(send(line->far, "x", 1, 0), 1);
	settle();
	before = line->served;
	assert_true(before >= 3);
	while (line->served == before)
		assert_true(sd_event_run(fixture.loop, UINT64_MAX) >= 0);
	/* Asked for while it rests, it rests on. */
	settle();
	before = line->served;
	watch_set_events(line->watch, EPOLLIN | EPOLLPRI);
	close_line(line);
	assert_int_equal(line->served, before);
}

static void test_freed_while_it_rests(void **state)
{
	struct line *line = &fixture.lines[0];

	open_line(line, EPOLLIN, 1, take_nothing);
	assert_int_equal(send(line->far, "x", 1, 0), 1);
	settle();
	close_line(line);
	settle();
}

static void test_no_descriptor(void **state)
{
	struct watch *watch = NULL;

	assert_int_equal(watch_new(fixture.watches, -1, EPOLLIN, 0, take_nothing, NULL, &watch),
			 -EBADF);
	assert_null(watch);
}

static int setup(void **state)
{
	fixture = (struct fixture){ 0 };
	assert_true(sd_event_new(&fixture.loop) >= 0);
	assert_int_equal(watches_new(fixture.loop, &fixture.watches), 0);
	return 0;
}

static int teardown(void **state)
{
	watches_free(fixture.watches);
	sd_event_unref(fixture.loop);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_turns_are_shared),
		TEST(test_nobody_is_left_out),
		TEST(test_freed_in_its_turn),
		TEST(test_silenced_in_its_turn),
		TEST(test_events),
		TEST(test_rest),
		TEST(test_freed_while_it_rests),
		TEST(test_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of the chipset: saved in the middle of what its devices do, restored, refused, shown. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/power.h"
#include "vmwp/chipset/rtc.h"
#include "vmwp/chipset/serial.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COM1    PLATFORM_SERIAL_PORT
#define RECORDS 3

static const char *const names[RECORDS] = { "chipset/serial", "chipset/power", "chipset/rtc" };
static const uint16_t versions[RECORDS] = { 1, 2, 1 };

/* ---- The host's clocks, to which the linker leads the chipset ---- */

static struct timespec wall, monotonic;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	*ret_time = clock == CLOCK_REALTIME ? wall : monotonic;
	return 0;
}

static void pass_time(time_t seconds)
{
	wall.tv_sec += seconds;
	monotonic.tv_sec += seconds;
}

/* ---- A chipset and what it tells ---- */

struct host {
	struct chipset *chipset;
	bool pins[16];
	unsigned output_calls, room_calls, alarms, pin_calls;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
	struct host *host = data;

	assert_in_range(pin, 0, 15);
	assert_true(host->pins[pin] != level);
	host->pins[pin] = level;
	host->pin_calls++;
}

static void console_output(void *data)
{
	((struct host *)data)->output_calls++;
}

static void console_room(void *data)
{
	((struct host *)data)->room_calls++;
}

static void alarm_is_set(void *data)
{
	((struct host *)data)->alarms++;
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = console_output,
	.console_room = console_room,
	.alarm = alarm_is_set,
};

static void host_init(struct host *host)
{
	*host = (struct host){ 0 };
	assert_int_equal(chipset_new(CHIPSET_SYNTHETIC, &callbacks, host, &host->chipset), 0);
}

static void port_access(struct host *host, uint16_t port, uint8_t size, bool write, void *data)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = port, .size = size, .write = write, .count = 1, .data = data },
	};

	assert_int_equal(chipset_access(host->chipset, &exit), POWER_NOTHING);
}

static uint8_t in(struct host *host, uint16_t port)
{
	uint8_t value = 0xaa;

	port_access(host, port, 1, false, &value);
	return value;
}

static void out(struct host *host, uint16_t port, uint8_t value)
{
	port_access(host, port, 1, true, &value);
}

static uint8_t get_rtc(struct host *host, uint8_t index)
{
	out(host, PLATFORM_RTC_PORT, index);
	return in(host, PLATFORM_RTC_PORT + 1);
}

static void set_rtc(struct host *host, uint8_t index, uint8_t value)
{
	out(host, PLATFORM_RTC_PORT, index);
	out(host, PLATFORM_RTC_PORT + 1, value);
}

static uint32_t get_timer(struct host *host)
{
	uint32_t value = 0;

	port_access(host, PLATFORM_PM_TIMER_PORT, 4, false, &value);
	return value;
}

static void save(struct host *host, struct state_writer *writer)
{
	state_writer_init(writer);
	assert_int_equal(chipset_save(host->chipset, writer), 0);
}

static int restore(struct host *host, const struct state_writer *state, struct failure *failure)
{
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, state->bytes, state->size), 0);
	return chipset_restore(host->chipset, &reader, failure);
}

static void assert_same(const struct state_writer *a, const struct state_writer *b)
{
	assert_int_equal(a->size, b->size);
	assert_memory_equal(a->bytes, b->bytes, a->size);
}

/* ---- Fixture: one that is in the middle of everything, its state, and a fresh one ---- */

struct fixture {
	struct host busy, fresh;
	struct state_writer state;
	struct failure failure;
};

/* Two bytes are there to be read, two to be taken by the console, and the alarm is in 6 hours. */
static void make_busy(struct host *host)
{
	char output[8];

	out(host, COM1 + 2, 0x81); /* FIFOs */
	out(host, COM1 + 4, 0x0b);
	out(host, COM1 + 1, 0x01);
	out(host, COM1 + 7, 0x5a);
	assert_int_equal(chipset_console_put(host->chipset, "abc", 3), 3);
	assert_int_equal(in(host, COM1), 'a');
	out(host, COM1, 'u');
	out(host, COM1, 'v');
	assert_int_equal(chipset_console_take(host->chipset, output, sizeof(output)), 2);
	out(host, COM1, 'x');
	out(host, COM1, 'y');

	set_rtc(host, 0x04, 0x06); /* the hour: the clock was at 12 */
	set_rtc(host, 0x01, 0x00);
	set_rtc(host, 0x03, 0x00);
	set_rtc(host, 0x05, 0x12);
	set_rtc(host, 0x40, 0x77);
	set_rtc(host, 0x0b, 0x22);

	out(host, PLATFORM_PM1_EVENT_PORT + 3, 0x04);
	pass_time(60);
	in(host, PLATFORM_PM_TIMER_PORT); /* the first of its bytes */
	monotonic.tv_nsec += 12345;
	out(host, PLATFORM_RTC_PORT, 0x40);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	wall = (struct timespec){ .tv_sec = 20000 * 86400 + 12 * 3600, .tv_nsec = 5 };
	monotonic = (struct timespec){ .tv_sec = 5000 };
	host_init(&f->busy);
	make_busy(&f->busy);
	save(&f->busy, &f->state);
	host_init(&f->fresh);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	state_writer_deinit(&f->state);
	chipset_free(f->busy.chipset);
	chipset_free(f->fresh.chipset);
	free(f);
	return 0;
}

/* ---- What is kept ---- */

static void it_is_the_same_again(void **state)
{
	struct fixture *f = *state;
	struct state_writer again;

	assert_int_equal(restore(&f->fresh, &f->state, &f->failure), 0);
	save(&f->fresh, &again);
	assert_same(&again, &f->state);
	state_writer_deinit(&again);
}

static void the_serial_port_goes_on(void **state)
{
	struct fixture *f = *state;
	struct host *host = &f->fresh;
	char output[8];

	assert_int_equal(restore(host, &f->state, &f->failure), 0);
	assert_true(host->pins[PLATFORM_SERIAL_IRQ]);
	assert_int_equal(in(host, COM1 + 2), 0xcc);
	assert_int_equal(in(host, COM1), 'b');
	assert_int_equal(in(host, COM1), 'c');
	assert_false(host->pins[PLATFORM_SERIAL_IRQ]);
	assert_int_equal(in(host, COM1 + 7), 0x5a);
	assert_int_equal(host->output_calls, 1);
	assert_int_equal(chipset_console_written(host->chipset), 4);
	assert_int_equal(chipset_console_take(host->chipset, output, sizeof(output)), 2);
	assert_memory_equal(output, "xy", 2);
	out(host, COM1, 'z');
	assert_int_equal(host->output_calls, 2);
}

/* All that fits, more of it than the buffer is long ago; whether it is stalled is the host's. */
static void output_that_nobody_took_is_kept(void **state)
{
	struct fixture *f = *state;
	static uint8_t taken[SERIAL_OUTPUT_SIZE];
	const unsigned total = SERIAL_OUTPUT_SIZE + 1000;

	chipset_console_set_stalled(f->busy.chipset, true);
	for (unsigned i = 0; i < total; i++)
		out(&f->busy, COM1, (uint8_t)(i * 3));
	state_writer_deinit(&f->state);
	save(&f->busy, &f->state);
	assert_int_equal(restore(&f->fresh, &f->state, &f->failure), 0);
	assert_int_equal(in(&f->busy, COM1 + 5) & 0x60, 0x60);
	assert_int_equal(in(&f->fresh, COM1 + 5) & 0x60, 0);
	assert_int_equal(chipset_console_written(f->fresh.chipset), total + 4);
	assert_int_equal(chipset_console_take(f->fresh.chipset, taken, sizeof(taken)),
			 SERIAL_OUTPUT_SIZE);
	for (unsigned i = 0; i < SERIAL_OUTPUT_SIZE; i++)
		assert_int_equal(taken[i], (uint8_t)((i + 1000) * 3));
	assert_int_equal(in(&f->fresh, COM1 + 5) & 0x60, 0x60);
}

static void the_clock_shows_the_time(void **state)
{
	struct fixture *f = *state;
	struct host *host = &f->fresh;

	wall.tv_sec += 3 * 3600 + 7;
	assert_int_equal(restore(host, &f->state, &f->failure), 0);
	assert_int_equal(in(host, PLATFORM_RTC_PORT + 1), 0x77); /* the index was kept, too */
	assert_int_equal(get_rtc(host, 0x00), 0x07);
	assert_int_equal(get_rtc(host, 0x02), 0x01);
	assert_int_equal(get_rtc(host, 0x04), 0x09);
	assert_int_equal(host->alarms, 1);
	assert_true(chipset_tick(host->chipset) > 0);
	assert_false(host->pins[PLATFORM_RTC_IRQ]);
	wall.tv_sec += 3 * 3600;
	assert_true(chipset_tick(host->chipset) > 0);
	assert_true(host->pins[PLATFORM_RTC_IRQ]);
	assert_true(host->pins[PLATFORM_SCI_IRQ]);
}

static void a_missed_alarm_goes_off(void **state)
{
	struct fixture *f = *state;
	struct host *host = &f->fresh;

	wall.tv_sec += 5 * 86400;
	assert_int_equal(restore(host, &f->state, &f->failure), 0);
	assert_int_equal(host->alarms, 1);
	assert_false(host->pins[PLATFORM_RTC_IRQ]);
	assert_true(chipset_tick(host->chipset) > 0);
	assert_true(host->pins[PLATFORM_RTC_IRQ]);
	assert_int_equal(in(host, PLATFORM_PM1_EVENT_PORT + 1), 0x04);
}

/* The interrupt is asserted; its event has been dealt with, and does not come a second time. */
static void an_alarm_that_went_off_stays_so(void **state)
{
	struct fixture *f = *state;
	struct host *host = &f->fresh;

	wall.tv_sec += 6 * 3600;
	chipset_tick(f->busy.chipset);
	assert_true(f->busy.pins[PLATFORM_RTC_IRQ] && f->busy.pins[PLATFORM_SCI_IRQ]);
	out(&f->busy, PLATFORM_PM1_EVENT_PORT + 1, 0x04);
	state_writer_deinit(&f->state);
	save(&f->busy, &f->state);
	assert_int_equal(restore(host, &f->state, &f->failure), 0);
	assert_true(host->pins[PLATFORM_RTC_IRQ]);
	assert_false(host->pins[PLATFORM_SCI_IRQ]);
	assert_int_equal(in(host, PLATFORM_PM1_EVENT_PORT + 1), 0);
	assert_int_equal(get_rtc(host, 0x0c), 0xa0);
	assert_false(host->pins[PLATFORM_RTC_IRQ]);
}

/* On a host that was started later, whose clock has another origin. */
static void the_timer_stands_still_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct host *host = &f->fresh;
	uint32_t expected;

	expected = (uint32_t)(3579545 * (60 * UINT64_C(1000000000) + 12400) / 1000000000);
	monotonic = (struct timespec){ .tv_sec = 3 };
	assert_int_equal(restore(host, &f->state, &f->failure), 0);
	/* What is left of the value whose first byte was read. */
	assert_int_equal(in(host, PLATFORM_PM_TIMER_PORT + 1), 60 * 3579545 >> 8 & 0xff);
	assert_int_equal(get_timer(host), expected);
	monotonic.tv_sec += 10;
	assert_int_equal(get_timer(host), expected + 10 * 3579545);
	assert_int_equal(in(host, PLATFORM_PM1_EVENT_PORT + 3), 0x04);
}

static void a_count_never_goes_back(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 1000; i++) {
		uint32_t count;

		monotonic.tv_nsec += 37;
		count = get_timer(&f->busy);
		state_writer_deinit(&f->state);
		save(&f->busy, &f->state);
		assert_int_equal(restore(&f->fresh, &f->state, &f->failure), 0);
		assert_in_range(get_timer(&f->fresh), count, count + 1);
	}
}

/* The SCI is asserted as long as an event is there that the guest has enabled. */
static void a_general_event_is_restored(void **state)
{
	struct fixture *f = *state;

	chipset_generation_changed(f->busy.chipset);
	assert_int_equal(in(&f->busy, PLATFORM_GPE0_PORT), 1);
	assert_false(f->busy.pins[PLATFORM_SCI_IRQ]);
	out(&f->busy, PLATFORM_GPE0_PORT + 1, 1);
	assert_true(f->busy.pins[PLATFORM_SCI_IRQ]);
	state_writer_deinit(&f->state);
	save(&f->busy, &f->state);
	assert_int_equal(restore(&f->fresh, &f->state, &f->failure), 0);
	assert_true(f->fresh.pins[PLATFORM_SCI_IRQ]);
	out(&f->fresh, PLATFORM_GPE0_PORT, 2);
	assert_true(f->fresh.pins[PLATFORM_SCI_IRQ]);
	out(&f->fresh, PLATFORM_GPE0_PORT, 1);
	assert_false(f->fresh.pins[PLATFORM_SCI_IRQ]);
	assert_int_equal(in(&f->fresh, PLATFORM_GPE0_PORT + 1), 1);
	chipset_reset(f->busy.chipset);
	assert_int_equal(in(&f->busy, PLATFORM_GPE0_PORT), 0);
	assert_int_equal(in(&f->busy, PLATFORM_GPE0_PORT + 1), 0);
}

/* ---- What is inspected ---- */

static void the_inside_is_shown(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *tree = chipset_inspect(f->busy.chipset);

	assert_string_equal(
		json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN),
		"{\"serial\":{\"enabled\":\"0x1\",\"modem\":\"0xb\",\"received\":2,\"sent\":2,"
		"\"stalled\":false,\"asserts\":[4]},"
		"\"power\":{\"status\":\"0x0\",\"enable\":\"0x400\",\"control\":\"0x1\","
		"\"events\":\"0x0\",\"events_enabled\":\"0x0\","
		"\"asserts\":[]},"
		"\"rtc\":{\"offset\":-21600,\"alarm\":1728064800,\"asserts\":[]}}");
}

/* ---- What is refused ---- */

/* The state with one record other than it was: as `size` bytes; NULL: left out. */
static void rewrite(const struct fixture *f, unsigned which, uint16_t version, const void *payload,
		    size_t size, struct state_writer *ret_state)
{
	struct state_reader reader;

	state_writer_init(ret_state);
	assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
	for (unsigned i = 0; i < RECORDS; i++) {
		struct state_record record;
		const void *bytes;

		assert_int_equal(state_find(&reader, names[i], versions[i], &record), 0);
		if (i == which && !payload)
			continue;
		state_begin(ret_state, names[i], i == which ? version : versions[i]);
		bytes = i == which ? payload : record.at;
		state_put(ret_state, bytes, i == which ? size : record.left);
		state_end(ret_state);
	}
	assert_int_equal(state_writer_error(ret_state), 0);
}

/* Nothing was changed by it, and nobody was told anything. */
static void assert_refused(struct fixture *f, const struct state_writer *state, const char *name)
{
	const struct host told = f->fresh;
	struct state_writer before, after;
	struct failure failure = { 0 };

	save(&f->fresh, &before);
	assert_int_equal(restore(&f->fresh, state, &failure), -EINVAL);
	if (!strstr(failure.message, name))
		fail_msg("%s: %s", name, failure.message);
	save(&f->fresh, &after);
	assert_same(&before, &after);
	assert_memory_equal(&told, &f->fresh, sizeof(told));
	state_writer_deinit(&before);
	state_writer_deinit(&after);
}

static const void *payload_of(const struct fixture *f, unsigned which, size_t *ret_size)
{
	struct state_reader reader;
	struct state_record record;

	assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
	assert_int_equal(state_find(&reader, names[which], versions[which], &record), 0);
	*ret_size = record.left;
	return record.at;
}

static void records_that_are_not_whole(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct state_writer changed;
		size_t size;
		const void *payload = payload_of(f, i, &size);
		uint8_t *longer = calloc(1, size + 1);

		rewrite(f, i, 1, NULL, 0, &changed);
		assert_refused(f, &changed, names[i]);
		state_writer_deinit(&changed);
		rewrite(f, i, (uint16_t)(versions[i] + 1), payload, size, &changed);
		assert_refused(f, &changed, names[i]);
		state_writer_deinit(&changed);
		for (size_t n = 0; n < size; n++) {
			rewrite(f, i, versions[i], payload, n, &changed);
			assert_refused(f, &changed, names[i]);
			state_writer_deinit(&changed);
		}
		assert_non_null(longer);
		memcpy(longer, payload, size);
		rewrite(f, i, versions[i], longer, size + 1, &changed);
		assert_refused(f, &changed, names[i]);
		state_writer_deinit(&changed);
		free(longer);
	}
}

enum { SERIAL, POWER, RTC };

#define OF_SERIAL(member) SERIAL, offsetof(struct serial_state, member)
#define OF_POWER(member)  POWER, offsetof(struct power_state, member)
#define OF_RTC(member)    RTC, offsetof(struct rtc_state, member)

static const struct {
	unsigned which;
	size_t offset;
	unsigned size;
	uint64_t value;
} impossible[] = {
	{ OF_SERIAL(ier), 1, 0x10 },
	{ OF_SERIAL(mcr), 1, 0x20 },
	{ OF_SERIAL(overrun), 1, 2 },
	{ OF_SERIAL(transmitter_empty), 1, 0xff },
	{ OF_SERIAL(fcr), 1, 0 }, /* two bytes without FIFOs */
	{ OF_SERIAL(fifo_count), 1, 17 },
	{ OF_SERIAL(fifo_count), 1, 255 },
	{ OF_SERIAL(fifo_count), 1, 1 }, /* what is behind the last is not zero */
	{ OF_SERIAL(fifo[15]), 1, 1 },
	{ OF_SERIAL(zero[1]), 1, 1 },
	{ OF_SERIAL(output_size), 4, 1 },
	{ OF_SERIAL(output_size), 4, 3 },
	{ OF_SERIAL(output_size), 4, SERIAL_OUTPUT_SIZE + 1 },
	{ OF_SERIAL(output_size), 4, UINT32_MAX },
	{ OF_POWER(pm1_status[0]), 1, 1 },
	{ OF_POWER(pm1_status[1]), 1, 8 },
	{ OF_POWER(pm1_control[0]), 1, 0 },
	{ OF_POWER(pm1_control[1]), 1, 0x20 },
	{ OF_POWER(gpe_status), 1, 2 },
	{ OF_POWER(timer_elapsed), 8, (uint64_t)INT64_MAX / 100 + 1 },
	{ OF_POWER(timer_elapsed), 8, UINT64_MAX },
	{ OF_POWER(zero), 4, 1 },
	{ OF_RTC(offset), 8, INT64_MAX },
	{ OF_RTC(offset), 8, (uint64_t)INT64_MIN },
	{ OF_RTC(offset), 8, 1 }, /* the alarm is due at another time, then */
	{ OF_RTC(due), 8, 0 },
	{ OF_RTC(due), 8, 1 },
	{ OF_RTC(due), 8, INT64_MAX },
	{ OF_RTC(due), 8, (uint64_t)INT64_MIN },
	{ OF_RTC(index), 1, 128 },
	{ OF_RTC(zero[6]), 1, 1 },
	{ OF_RTC(registers[0x05]), 1, 0x7a }, /* an hour that never comes, and yet is due */
	{ OF_RTC(registers[0x0a]), 1, 0x80 },
	{ OF_RTC(registers[0x0b]), 1, 0x20 },
	{ OF_RTC(registers[0x0b]), 1, 0x02 }, /* it is due, and not switched on */
	{ OF_RTC(registers[0x0b]), 1, 0xa2 },
	{ OF_RTC(registers[0x0b]), 1, 0x32 },
	{ OF_RTC(registers[0x0c]), 1, 0x80 },
	{ OF_RTC(registers[0x0d]), 1, 0 },
};

static void values_that_cannot_be(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		const unsigned which = impossible[i].which;
		struct state_writer changed;
		uint8_t bytes[256];
		size_t size;
		const void *payload = payload_of(f, which, &size);

		assert_true(size <= sizeof(bytes));
		memcpy(bytes, payload, size);
		memcpy(bytes + impossible[i].offset, &impossible[i].value, impossible[i].size);
		assert_true(memcmp(bytes, payload, size) != 0);
		rewrite(f, which, versions[which], bytes, size, &changed);
		assert_refused(f, &changed, names[which]);
		state_writer_deinit(&changed);
	}
}

/* Before there were general-purpose events. */
static void an_earlier_version(void **state)
{
	struct fixture *f = *state;
	struct state_writer changed;
	struct power_state power;
	size_t size;
	const void *payload = payload_of(f, POWER, &size);

	assert_int_equal(size, sizeof(power));
	memcpy(&power, payload, size);
	rewrite(f, POWER, 1, &power, sizeof(power), &changed);
	assert_int_equal(restore(&f->fresh, &changed, &f->failure), 0);
	state_writer_deinit(&changed);
	power.gpe_enable = 1;
	rewrite(f, POWER, 1, &power, sizeof(power), &changed);
	assert_refused(f, &changed, names[POWER]);
	state_writer_deinit(&changed);
}

/*
 * Whichever bit is changed: what is taken is what is saved again, except between the records, where
 * nothing is; and the rest is refused as a whole.
 */
static void any_bit(void **state)
{
	struct fixture *f = *state;
	struct state_writer changed, before, after;
	unsigned taken = 0, refused = 0;

	rewrite(f, RECORDS, 1, NULL, 0, &changed);
	assert_same(&changed, &f->state);
	for (size_t bit = 0; bit < f->state.size * 8; bit++) {
		struct failure failure = { 0 };
		struct state_reader reader;

		changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		save(&f->fresh, &before);
		if (state_reader_init(&reader, changed.bytes, changed.size) == 0 &&
		    chipset_restore(f->fresh.chipset, &reader, &failure) == 0) {
			save(&f->fresh, &after);
			if (memcmp(after.bytes, f->state.bytes, f->state.size) != 0)
				assert_same(&after, &changed);
			taken++;
		} else {
			save(&f->fresh, &after);
			assert_same(&after, &before);
			refused++;
		}
		state_writer_deinit(&before);
		state_writer_deinit(&after);
		changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(taken > 1000);
	assert_true(refused > 400);
	state_writer_deinit(&changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_the_same_again, setup, teardown),
		cmocka_unit_test_setup_teardown(the_serial_port_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(output_that_nobody_took_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(the_clock_shows_the_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missed_alarm_goes_off, setup, teardown),
		cmocka_unit_test_setup_teardown(an_alarm_that_went_off_stays_so, setup, teardown),
		cmocka_unit_test_setup_teardown(the_timer_stands_still_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(a_count_never_goes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_general_event_is_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(the_inside_is_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(records_that_are_not_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(values_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(an_earlier_version, setup, teardown),
		cmocka_unit_test_setup_teardown(any_bit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

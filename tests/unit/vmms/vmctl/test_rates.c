/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rates of two statistics, what becomes of odd ones, and the pictures of them. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/rates.h"
#include "vmms/vmctl/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VM(name, uuid, state, more)                                       \
	"{\"name\":\"" name "\",\"uuid\":\"" uuid "\",\"state\":\"" state \
	"\",\"processors\":2,\"memory\":67108864" more "}"
#define VMS(vms) "{\"vms\":[" vms "]}"

static struct json_object *tree(const char *text)
{
	struct json_object *parsed = json_tokener_parse(text);

	assert_non_null(parsed);
	return parsed;
}

static struct rates compare(struct json_object *before, struct json_object *now)
{
	struct rates rates;

	assert_int_equal(rates_new(before, now, &rates), 0);
	return rates;
}

static bool is_near(double a, double b)
{
	return a > b - 0.001 && a < b + 0.001;
}

static void test_rates(void **state)
{
	AUTO_JSON struct json_object *before = tree(VMS(
		VM("a", "1", "running",
		   ",\"time\":1000000,\"resident\":4096,\"cpu\":{\"guest_us\":100,\"host_us\":0,"
		   "\"steal_us\":7},\"exits\":{\"io-port\":10,\"kick\":5},\"disk\":{\"reads\":100,"
		   "\"read_latency\":[1,0,0,0]}")));
	AUTO_JSON struct json_object *now = tree(VMS(VM(
		"a", "1", "running",
		",\"time\":3000000,\"resident\":8192,\"cpu\":{\"guest_us\":1000100,\"host_us\":"
		"500000,\"steal_us\":7},\"exits\":{\"io-port\":30,\"kick\":5},\"disk\":{\"reads\":"
		"300,\"read_latency\":[1,0,100,0]}")));
	struct rates rates = compare(before, now);
	const struct vm_rates *vm = rates.vms;

	assert_int_equal(rates.count, 1);
	assert_int_equal(rates.running, 1);
	assert_true(vm->running && vm->known);
	assert_true(is_near(vm->guest, 50) && is_near(vm->host, 25) && is_near(vm->steal, 0));
	assert_true(is_near(vm->rates[RATE_IO_PORT], 10) && is_near(vm->exits, 10));
	assert_true(is_near(vm->rates[RATE_READS], 100));
	assert_int_equal(vm->resident, 8192);
	/* From 2 to 4 microseconds, spread evenly. */
	assert_true(is_near(vm->read.median, 3) && is_near(vm->read.p99, 3.98));
	assert_true(is_near(vm->write.median, 0));
	rates_deinit(&rates);
}

/* A VM that was started again meanwhile, one that has come, one that is off, one that is mute. */
static void test_changes(void **state)
{
	AUTO_JSON struct json_object *before = tree(VMS(
		VM("again", "1", "running", ",\"time\":1000000,\"exits\":{\"mmio\":500}") "," VM(
			"mute", "3", "running", ",\"time\":1000000")));
	AUTO_JSON struct json_object *now = tree(
		VMS(VM("again", "1", "running", ",\"time\":2000000,\"exits\":{\"mmio\":20}") "," VM(
			"new", "2", "running",
			",\"time\":2000000,\"exits\":{\"mmio\":7}") "," VM("mute", "3", "running",
									   "") "," VM("off", "4",
										      "off", "")));
	struct rates rates = compare(before, now);

	assert_int_equal(rates.count, 4);
	assert_int_equal(rates.running, 2);
	assert_string_equal(rates.vms[0].name, "again");
	assert_true(is_near(rates.vms[0].rates[RATE_MMIO], 20));
	for (size_t i = 1; i < 4; i++)
		assert_false(rates.vms[i].known);
	rates_deinit(&rates);
	rates = compare(NULL, now);
	assert_false(rates.vms[0].known);
	rates_deinit(&rates);
}

static void test_what_makes_no_sense(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"vms\":{}}",
		VMS("7,[],{}"),
		VMS("{\"time\":\"x\",\"exits\":[],\"disk\":7,\"cpu\":null}"),
		VMS("{\"time\":5,\"disk\":{\"read_latency\":{}},\"name\":7}"),
		VMS("{\"time\":9,\"disk\":{\"read_latency\":[-1,\"x\",[],"
		    "9223372036854775807,9223372036854775807]}}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
			AUTO_JSON struct json_object *before = tree(texts[i]);
			AUTO_JSON struct json_object *now = tree(texts[j]);
			struct rates rates = compare(before, now);
			AUTO_JSON struct json_object *out = rates_to_json(&rates);

			assert_non_null(out);
			rates_deinit(&rates);
		}
	}
}

static void test_busiest_first(void **state)
{
	static const char text[] =
		VMS(VM("b", "1", "running", ",\"time\":%d,\"cpu\":{\"guest_us\":%d}") "," VM(
			"a", "2", "running",
			",\"time\":%d,\"cpu\":{\"guest_us\":%d}") "," VM("c", "3", "running",
									 ",\"time\":%d,\"cpu\":{"
									 "\"host_us\":%d}"));
	char one[1024], other[1024];

	snprintf(one, sizeof(one), text, 1, 0, 1, 0, 1, 0);
	snprintf(other, sizeof(other), text, 101, 10, 101, 10, 101, 90);
	AUTO_JSON struct json_object *before = tree(one), *now = tree(other);
	struct rates rates = compare(before, now);
	assert_string_equal(rates.vms[0].name, "c");
	assert_string_equal(rates.vms[1].name, "a");
	assert_string_equal(rates.vms[2].name, "b");
	rates_deinit(&rates);
}

/* ---- Pictures ---- */

static void test_numbers(void **state)
{
	static const struct {
		double number;
		const char *count, *bytes, *time;
	} cases[] = {
		{ 0, "0", "0", "-" },
		{ 0.4, "0", "0", "0.4us" },
		{ 85, "85", "85", "85us" },
		{ 1023, "1023", "1023", "1.0ms" },
		{ 9999, "9999", "9.8K", "10.0ms" },
		{ 10500, "10.5K", "10.3K", "10.5ms" },
		{ 1234567, "1.2M", "1.2M", "1.2s" },
		{ 5e9, "5.0G", "4.7G", "5000.0s" },
		{ 1.5e19, "15000000T", "13323P", "15000000000000.0s" },
	};
	char text[SCREEN_CELL];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		screen_format_count(cases[i].number, text);
		assert_string_equal(text, cases[i].count);
		screen_format_bytes(cases[i].number, text);
		assert_string_equal(text, cases[i].bytes);
		screen_format_time(cases[i].number, text);
		assert_memory_equal(text, cases[i].time,
				    MIN(strlen(cases[i].time), (size_t)SCREEN_CELL - 1));
	}
}

/* Draws so many VMs; the caller frees the picture. */
static char *picture(unsigned vms, unsigned rows, unsigned columns, enum screen_view view)
{
	AUTO_JSON struct json_object *now = tree("{\"vms\":[]}");
	struct screen screen = { .rows = rows,
				 .columns = columns,
				 .view = view,
				 .line_end = "\n",
				 .bold = "",
				 .plain = "" };
	struct rates rates;
	char *text = NULL;
	size_t size;

	for (unsigned i = 0; i < vms; i++) {
		struct json_object *vm = tree(VM("a-very-long-name-indeed", "1", "running", ""));

		json_object_array_add(json_object_object_get(now, "vms"), vm);
	}
	rates = compare(NULL, now);
	screen.stream = open_memstream(&text, &size);
	assert_non_null(screen.stream);
	screen_draw(&screen, "the head", &rates);
	fclose(screen.stream);
	rates_deinit(&rates);
	return text;
}

static void assert_fits(const char *text, unsigned rows, unsigned columns)
{
	unsigned lines = 0;

	for (const char *end; *text != '\0'; text = end + 1, lines++) {
		end = strchr(text, '\n');
		assert_non_null(end);
		assert_true((size_t)(end - text) <= columns);
	}
	assert_true(lines <= rows);
}

static void test_it_fits(void **state)
{
	for (unsigned rows = 4; rows < 60; rows += 5) {
		for (unsigned columns = 1; columns < 120; columns += 17) {
			for (unsigned vms = 0; vms < 60; vms += 7) {
				AUTO_FREE char *text = picture(vms, rows, columns, SCREEN_DISK);

				assert_fits(text, rows, columns);
			}
		}
	}
}

static void test_tables(void **state)
{
	AUTO_FREE char *all = picture(2, 24, 80, SCREEN_CPU);
	AUTO_FREE char *one = picture(20, 24, 80, SCREEN_NETWORK);
	AUTO_FREE char *endless = picture(100, 0, 0, SCREEN_CPU);

	assert_non_null(strstr(all, "GUEST%"));
	assert_non_null(strstr(all, "RD p99"));
	assert_non_null(strstr(all, "WORKER"));
	assert_non_null(strstr(all, "\na-very-long-na running "));
	assert_null(strstr(one, "GUEST%"));
	assert_non_null(strstr(one, "RECV/s"));
	assert_non_null(strstr(endless, "WORKER"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_what_makes_no_sense),
		cmocka_unit_test(test_busiest_first),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_it_fits),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

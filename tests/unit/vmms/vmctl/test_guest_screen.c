/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal shows of what a guest wrote: each control and sequence, boots, and nonsense. */
#include "common/base/cc.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/escape_reader.h"
#include "vmms/vmctl/guest_screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 20
#define ROWS    5

static struct guest_screen *new_screen(unsigned columns, unsigned rows)
{
	struct guest_screen *screen;

	assert_int_equal(guest_screen_new(columns, rows, &screen), 0);
	return screen;
}

static void assert_row(const struct guest_screen *screen, unsigned row, const char *expected)
{
	AUTO_FREE char *text = guest_screen_row_new(screen, row);

	assert_non_null(text);
	assert_string_equal(text, expected);
}

/* The same, whether the input comes at once or byte by byte. */
static void assert_shows(const char *input, size_t size, const char *const rows[])
{
	CLEANUP(guest_screen_freep) struct guest_screen *whole = new_screen(COLUMNS, ROWS);
	CLEANUP(guest_screen_freep) struct guest_screen *pieces = new_screen(COLUMNS, ROWS);
	unsigned i = 0;

	guest_screen_write(whole, input, size);
	for (size_t k = 0; k < size; k++)
		guest_screen_write(pieces, input + k, 1);
	for (; rows[i]; i++) {
		assert_row(whole, i, rows[i]);
		assert_row(pieces, i, rows[i]);
	}
	for (; i < ROWS; i++) {
		assert_row(whole, i, "");
		assert_row(pieces, i, "");
	}
}

/* On a screen of 20 columns and 5 rows; the rows that are not given are empty. */
#define SHOWS(input, ...) \
	assert_shows(input, sizeof(input) - 1, (const char *const[]){ __VA_ARGS__, NULL })

#define FIVE_ROWS "one\r\ntwo\r\nthree\r\nfour\r\nfive"

static void assert_cursor(const char *input, unsigned column, unsigned row)
{
	CLEANUP(guest_screen_freep) struct guest_screen *screen = new_screen(COLUMNS, ROWS);
	unsigned x, y;

	guest_screen_write(screen, input, strlen(input));
	guest_screen_cursor(screen, &x, &y);
	assert_int_equal(x, column);
	assert_int_equal(y, row);
}

static void test_lines(void **state)
{
	SHOWS("", "");
	SHOWS("one\r\ntwo\r\n", "one", "two");
	SHOWS("one\ntwo", "one", "   two");
	SHOWS("one\vtwo\fx", "one", "   two", "      x");
	SHOWS("12345\rab", "ab345");
	SHOWS("12345\b\b\b\b\b\b\b\bx", "x2345");
	SHOWS("a\tb\tc", "a       b       c");
	SHOWS("a\tb\tc\td", "a       b       c  d");
	SHOWS("a\a\177\0\1b", "ab");
	SHOWS("blanks   \r\n   \r\nx", "blanks", "", "x");
	SHOWS(FIVE_ROWS "\r\nsix\r\nseven", "three", "four", "five", "six", "seven");
}

static void test_wrapping(void **state)
{
	SHOWS("01234567890123456789", "01234567890123456789");
	SHOWS("01234567890123456789a", "01234567890123456789", "a");
	SHOWS("01234567890123456789\r\na", "01234567890123456789", "a");
	SHOWS("01234567890123456789\ra", "a1234567890123456789");
	SHOWS("01234567890123456789\b\ba", "01234567890123456a89");
	SHOWS("01234567890123456789\e[Ka", "0123456789012345678a");
	SHOWS("01234567890123456789\e[mab", "01234567890123456789", "ab");
	SHOWS("\e[?7l01234567890123456789abc", "0123456789012345678c");
	SHOWS("\e[?7l01234567890123456789\e[?7habc", "0123456789012345678a", "bc");
	SHOWS("\e[5;20Hab", "", "", "", "                   a", "b");
	assert_cursor("01234567890123456789", 19, 0);
	assert_cursor("01234567890123456789a", 1, 1);
}

static void test_movement(void **state)
{
	assert_cursor("\e[3;4H", 3, 2);
	assert_cursor("\e[3;4f", 3, 2);
	assert_cursor("\e[3;4H\e[H", 0, 0);
	assert_cursor("\e[;7H", 6, 0);
	assert_cursor("\e[999;999H", 19, 4);
	assert_cursor("\e[3;4H\e[A", 3, 1);
	assert_cursor("\e[3;4H\e[9A", 3, 0);
	assert_cursor("\e[3;4H\e[B", 3, 3);
	assert_cursor("\e[3;4H\e[9e", 3, 4);
	assert_cursor("\e[3;4H\e[2C", 5, 2);
	assert_cursor("\e[3;4H\e[99a", 19, 2);
	assert_cursor("\e[3;4H\e[D", 2, 2);
	assert_cursor("\e[3;4H\e[99D", 0, 2);
	assert_cursor("\e[3;4H\e[E", 0, 3);
	assert_cursor("\e[3;4H\e[2F", 0, 0);
	assert_cursor("\e[3;4H\e[9G", 8, 2);
	assert_cursor("\e[3;4H\e[9`", 8, 2);
	assert_cursor("\e[3;4H\e[2d", 3, 1);
	assert_cursor("\e[3;4H\eM", 3, 1);
	assert_cursor("\e[3;4H\eD", 3, 3);
	assert_cursor("\e[3;4H\eE", 0, 3);
	assert_cursor("\e[3;4H\e[99999999999999999999999C", 19, 2);
	SHOWS("\e[2;3H\e[1mx", "", "  x");
}

static void test_tabs(void **state)
{
	assert_cursor("\e[2I", 16, 0);
	assert_cursor("\e[9999I", 19, 0);
	assert_cursor("\e[20G\e[Z", 16, 0);
	assert_cursor("\e[20G\e[9Z", 0, 0);
	assert_cursor("\e[4G\eH\r\t", 3, 0);
	assert_cursor("\e[9G\e[g\r\t", 16, 0);
	assert_cursor("\e[3g\t", 19, 0);
}

static void test_erasing(void **state)
{
	SHOWS(FIVE_ROWS "\e[3;3H\e[J", "one", "two", "th");
	SHOWS(FIVE_ROWS "\e[3;3H\e[1J", "", "", "   ee", "four", "five");
	SHOWS(FIVE_ROWS "\e[3;3H\e[2J", "");
	SHOWS(FIVE_ROWS "\e[3;3H\e[3J", "one", "two", "three", "four", "five");
	SHOWS("012345\e[3G\e[K", "01");
	SHOWS("012345\e[3G\e[1K", "   345");
	SHOWS("012345\e[3G\e[2Kx", "  x");
	SHOWS("012345\e[3G\e[2X", "01  45");
	SHOWS("012345\e[3G\e[9999X", "01");
	SHOWS("01\e[9G\e[Kx", "01      x");
}

static void test_insertion_and_deletion(void **state)
{
	SHOWS("012345\e[3G\e[2@", "01  2345");
	SHOWS("012345\e[3G\e[9999@x", "01x");
	SHOWS("01234567890123456789\e[3G\e[@", "01 23456789012345678");
	SHOWS("012345\e[3G\e[2P", "0145");
	SHOWS("012345\e[3G\e[9999P", "01");
	SHOWS("012345\e[9G\e[P\e[@", "012345");
	SHOWS("012345\e[3G\e[4hab\e[4lc", "01abc345");
	SHOWS(FIVE_ROWS "\e[2;2H\e[Lx", "one", "x", "two", "three", "four");
	SHOWS(FIVE_ROWS "\e[2;2H\e[99L", "one");
	SHOWS(FIVE_ROWS "\e[2;2H\e[2Mx", "one", "xour", "five");
	SHOWS(FIVE_ROWS "\e[2;2H\e[99M", "one");
}

static void test_scrolling(void **state)
{
	SHOWS(FIVE_ROWS "\e[S", "two", "three", "four", "five");
	SHOWS(FIVE_ROWS "\e[9999S", "");
	SHOWS(FIVE_ROWS "\e[2T", "", "", "one", "two", "three");
	SHOWS(FIVE_ROWS "\e[H\eMx", "x", "one", "two", "three", "four");
	SHOWS(FIVE_ROWS "\eDx", "two", "three", "four", "five", "    x");
	SHOWS(FIVE_ROWS "\eEx", "two", "three", "four", "five", "x");
	SHOWS(FIVE_ROWS "\e[20h\nx", "two", "three", "four", "five", "x");
}

static void test_margins(void **state)
{
	SHOWS(FIVE_ROWS "\e[2;4r\e[4;1H\nx", "one", "three", "four", "x", "five");
	SHOWS(FIVE_ROWS "\e[2;4r\e[2;1H\eMx", "one", "x", "two", "three", "five");
	SHOWS(FIVE_ROWS "\e[2;4r\e[3;1H\e[L", "one", "two", "", "three", "five");
	SHOWS(FIVE_ROWS "\e[2;4r\e[5;1H\e[L\e[M\nx", "one", "two", "three", "four", "xive");
	SHOWS(FIVE_ROWS "\e[2;4r\e[H\e[L\e[M", "one", "two", "three", "four", "five");
	SHOWS(FIVE_ROWS "\e[1;3r\e[5;1H\e[L\e[M", "one", "two", "three", "four", "five");
	SHOWS(FIVE_ROWS "\e[2;4r\e[9S", "one", "", "", "", "five");
	SHOWS(FIVE_ROWS "\e[2;4r\e[2;4H\e[rx", "xne", "two", "three", "four", "five");
	assert_cursor("\e[3;4H\e[2;4r", 0, 0);
	assert_cursor("\e[3;4H\e[4;2r", 3, 2); /* none */
	assert_cursor("\e[3;4H\e[3;3r", 3, 2);
	assert_cursor("\e[2;4r\e[3;4H\e[9A", 3, 1);
	assert_cursor("\e[2;4r\e[3;4H\e[9B", 3, 3);
	assert_cursor("\e[2;4r\e[1;4H\e[9A", 3, 0);
	assert_cursor("\e[2;4r\e[5;4H\e[9B", 3, 4);
	assert_cursor("\e[2;4r\e[?6h", 0, 1);
	assert_cursor("\e[2;4r\e[?6h\e[9;9H", 8, 3);
	assert_cursor("\e[2;4r\e[?6h\e[9d", 0, 3);
	assert_cursor("\e[2;4r\e[?6h\e[?6l\e[9;9H", 8, 4);
	assert_cursor("\e[2;4r\e[4;1H\e[!p\n\n", 0, 4);
}

static void test_saved_cursor(void **state)
{
	assert_cursor("\e[3;4H\e7\e[H\e8", 3, 2);
	assert_cursor("\e[3;4H\e[s\e[H\e[u", 3, 2);
	assert_cursor("\e[3;4H\e[?1048h\e[H\e[?1048l", 3, 2);
	assert_cursor("\e[3;4H\e8", 0, 0);
	SHOWS("01234567890123456789\e7\e[3;1H\e8a", "01234567890123456789", "a");
}

static void test_alternate_screen(void **state)
{
	SHOWS("shell\e[?1049hmenu", "     menu");
	SHOWS("shell\e[?1049h\e[Hmenu\e[5;5H\e[?1049lx", "shellx");
	SHOWS("\e[?1049hmenu\e[?1049l\e[?1049h", "");
	SHOWS("\e[?47hmenu\e[?47l\e[?47h", "menu");
	SHOWS("\e[?1047hmenu\e[?1047l\e[?1047h", "");
	SHOWS("shell\e[?1049l\e[?1049lx", "shellx");
	SHOWS("shell\e[?1049h\e[?1049h\e[?1049lx", "shellx");
	SHOWS("shell\e[?25;1049;2004hx", "     x");
	SHOWS("shell\e[?1049hmenu\ecx", "x");
}

static void test_reset(void **state)
{
	SHOWS(FIVE_ROWS "\e[2;4r\e[?6;7l\e[4h\e(0\e[3g\ec\tq\e[5;1H\nx", "", "", "", "", "x");
	assert_cursor("\e[3;4H\e7\ec\e8", 0, 0);
	assert_cursor("\e[3g\ec\t", 8, 0);
}

static void test_line_drawing(void **state)
{
	SHOWS("\e(0lqk\e(Bq", "\u250c\u2500\u2510q");
	SHOWS("\e)0q\016q\017q", "q\u2500q");
	SHOWS("\e(0AZ_`x~\u00fc", "AZ \u25c6\u2502\u00b7\u00fc");
	SHOWS("\e(0q\e[!pq", "\u2500q");
}

static void test_repeating(void **state)
{
	SHOWS("-\e[4bx", "-----x");
	SHOWS("\e[4bx", "x");
	SHOWS("-\e[9999b", "--------------------", "-");
}

static void test_characters(void **state)
{
	SHOWS("\u00fc\u20ac\U0001d11e", "\u00fc\u20ac\U0001d11e");
	SHOWS("a\xff"
	      "b\x80"
	      "c",
	      "a\ufffdb\ufffdc");
	SHOWS("a\xc3"
	      "b\xe2\x82"
	      "c\xf0\x9f\x98\r\nd",
	      "a\ufffdb\ufffdc\ufffd", "d");
	SHOWS("\xe2\x82\e[2;1Hx", "\ufffd", "x");
	SHOWS("\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd");
	/* What turns writing round, controls of Unicode, and marks. */
	SHOWS("a\u202eb\u200bc\xc2\x85"
	      "d\u2028e\ufeff",
	      "abcde");
	SHOWS("e\u0301x", "ex");
}

static void test_wide_characters(void **state)
{
	SHOWS("\u65e5\u672cx", "\u65e5\u672cx");
	assert_cursor("\u65e5\u672c", 4, 0);
	SHOWS("012345678901234567\u65e5\u672c", "012345678901234567\u65e5", "\u672c");
	SHOWS("0123456789012345678\u65e5", "0123456789012345678", "\u65e5");
	SHOWS("\e[?7l0123456789012345678\u65e5x", "0123456789012345678x");
	/* Half of one is a blank. */
	SHOWS("\u65e5x\ra", "a x");
	SHOWS("\u65e5x\e[2Ga", " ax");
	SHOWS("\u65e5x\e[2G\e[K", "");
	SHOWS("\u65e5\u672c\e[2G\e[P", " \u672c");
	SHOWS("\u65e5x\e[2G\e[@", "   x");
	SHOWS("\u65e5\u672c\e[2G\u8a9e", " \u8a9e");
	SHOWS("\u65e5\u672c\u8a9ex\e[3G\e[P\e[4G\e[P", "\u65e5  x");
}

static void test_unknown_sequences(void **state)
{
	SHOWS("a\e[1;31mb\e[0mc", "abc");
	SHOWS("a\e[38:2::1:2:3mb", "ab");
	SHOWS("a\e[>4;2m\e[?2004h\e[=1u\e[6n\e[c\e[5 q\e[!\"pb", "ab");
	SHOWS("a\e=\e>\e%G\e#3\e F\e*0\e$(Cb", "ab");
	SHOWS("a\e[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18mb", "ab");
	SHOWS("a\e[5;1?Hb\e[ 1Hc", "abc");
	SHOWS("a\e[1\e[3Gb", "a b");
	SHOWS("\e$(0q\e(0q\e[!1pq", "q\u2500\u2500");
	SHOWS("a\e[1\030b\e[1\032c", "abc");
	SHOWS("a\e[2\r\n;3Hb", "a", "  b"); /* controls are obeyed in the midst of a sequence */
	SHOWS("shell\e[\r?1049hmenu", "menu");
	SHOWS("a\e[\177"
	      "3Gb\e\177"
	      "7",
	      "a b");
	SHOWS("a\e\u00fcb\e[1\u00fcc", "a\u00fcb\u00fcc");
}

static void test_strings_are_left_out(void **state)
{
	SHOWS("a\e]0;title\ab", "ab");
	SHOWS("a\e]8;;http://x/\e\\link\e]8;;\e\\b", "alinkb");
	SHOWS("a\eP1$r0m\e\\b", "ab");
	SHOWS("a\e_text\e\\b\e^text\e\\c\eXtext\e\\d\ektext\e\\e", "abcde");
	SHOWS("a\e]0;t\u00fctle \xff\ab", "ab");
	SHOWS("a\ePq\r\n#0\t\e\\b\eP\ac", "abc");
	SHOWS("a\e]0;cut off\r\nb", "a", "b");
	SHOWS("a\e]Pf112233b\e]Rc", "abc");
}

static void test_strings_without_end(void **state)
{
	CLEANUP(guest_screen_freep) struct guest_screen *screen = new_screen(COLUMNS, ROWS);

	guest_screen_write(screen, "a\eP", 3);
	for (unsigned i = 1; i < ESCAPE_SEQUENCE_MAX; i++)
		guest_screen_write(screen, "x", 1);
	assert_row(screen, 0, "a");
	guest_screen_write(screen, "bc", 2);
	assert_row(screen, 0, "abc");
	guest_screen_write(screen, "\e[", 2);
	for (unsigned i = 1; i < ESCAPE_SEQUENCE_MAX; i++)
		guest_screen_write(screen, "1", 1);
	guest_screen_write(screen, "de", 2);
	assert_row(screen, 0, "abcde");
}

/* A loader with a menu, a kernel, a service manager in colours, and a login. */
static void test_boot(void **state)
{
	static const char boot[] =
		"\ec\e[?7l\e[2J\e[0m\e[1;1H\e(0lqqk\e(B\e[2;1H\e(0x\e(B>1\e(0x\e(B\e[?7h\e[2J\e[H"
		"[    0.000000] Linux version 6.1.0\r\n"
		"[    0.412345] Run /init as init process\r\n"
		"\e[0;32m  OK  \e[0m] Started \e[0;1;39mudevd\e[0m.\r\n"
		"\e[K[\e[0;31m*     \e[0m] A job is running\r\e[K"
		"[\e[0;1;31m*\e[0m\e[0;31m*    \e[0m] A job is running\r\e[K"
		"[\e[0;32m  OK  \e[0m] Reached target.\r\n"
		"\r\n\e]0;guest\aDebian GNU/Linux 12 guest ttyS0\r\n\r\nguest login: ";
	static const char *const rows[] = {
		"[    0.000000] Linux version 6.1.0",
		"[    0.412345] Run /init as init process",
		"  OK  ] Started udevd.",
		"[  OK  ] Reached target.",
		"",
		"Debian GNU/Linux 12 guest ttyS0",
		"",
		"guest login:",
		"",
	};
	CLEANUP(guest_screen_freep)
	struct guest_screen *screen = new_screen(GUEST_SCREEN_COLUMNS, GUEST_SCREEN_ROWS);
	unsigned column, row;

	guest_screen_write(screen, boot, sizeof(boot) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_row(screen, i, rows[i]);
	guest_screen_cursor(screen, &column, &row);
	assert_int_equal(column, 13);
	assert_int_equal(row, 7);
}

static void test_sizes(void **state)
{
	struct guest_screen *screen;

	assert_int_equal(guest_screen_new(19, 25, &screen), -EINVAL);
	assert_int_equal(guest_screen_new(80, 4, &screen), -EINVAL);
	assert_int_equal(guest_screen_new(501, 25, &screen), -EINVAL);
	assert_int_equal(guest_screen_new(80, 201, &screen), -EINVAL);
	screen = new_screen(GUEST_SCREEN_COLUMNS_MAX, GUEST_SCREEN_ROWS_MAX);
	guest_screen_write(screen, "\e[999;999Hx\e[999;999H\e[9999Lyz", 30);
	assert_row(screen, GUEST_SCREEN_ROWS_MAX - 1, "yz");
	guest_screen_free(screen);
}

/* Whatever comes, rows hold printable characters, no more than there is room for. */
static void test_nonsense(void **state)
{
	static const char alphabet[] = "\e\e\e[[[?;;0123456789ABCDEFGHJKLMPSTXZ@abdefghlmrsu78(0"
				       "\r\n\b\t\016\017xyz\xe6\x97\xa5\xff";
	CLEANUP(guest_screen_freep) struct guest_screen *screen = new_screen(COLUMNS, ROWS);
	uint32_t random = 1;
	unsigned column, row;

	for (unsigned i = 0; i < 200000; i++) {
		random = random * 1664525 + 1013904223;
		guest_screen_write(screen, &alphabet[(random >> 8) % (sizeof(alphabet) - 1)], 1);
		if (i % 100 != 0)
			continue;
		guest_screen_cursor(screen, &column, &row);
		assert_true(column < COLUMNS && row < ROWS);
		for (unsigned k = 0; k < ROWS; k++) {
			AUTO_FREE char *text = guest_screen_row_new(screen, k);
			AUTO_FREE char *escaped = text_escape_new(text, strlen(text));

			assert_string_equal(text, escaped);
			assert_true(text_columns(text) <= COLUMNS);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_wrapping),
		cmocka_unit_test(test_movement),
		cmocka_unit_test(test_tabs),
		cmocka_unit_test(test_erasing),
		cmocka_unit_test(test_insertion_and_deletion),
		cmocka_unit_test(test_scrolling),
		cmocka_unit_test(test_margins),
		cmocka_unit_test(test_saved_cursor),
		cmocka_unit_test(test_alternate_screen),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_line_drawing),
		cmocka_unit_test(test_repeating),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_wide_characters),
		cmocka_unit_test(test_unknown_sequences),
		cmocka_unit_test(test_strings_are_left_out),
		cmocka_unit_test(test_strings_without_end),
		cmocka_unit_test(test_boot),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

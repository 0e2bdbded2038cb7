/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of the lines that firmware writes says that it boots nothing. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/chipset/firmware_words.h"

#include <string.h>

static enum firmware_word said(struct firmware_words *words, const char *text)
{
	enum firmware_word word = FIRMWARE_SAYS_NOTHING;

	for (; *text; text++) {
		enum firmware_word next = firmware_words_take(words, (uint8_t)*text);

		if (next != FIRMWARE_SAYS_NOTHING)
			word = next;
	}
	return word;
}

static void test_sentences(void **state)
{
	static const struct {
		const char *text;
		enum firmware_word word;
	} cases[] = {
		{ "No bootable device.\n", FIRMWARE_NO_BOOT_DEVICE },
		{ "No bootable device.  Retrying in 60 seconds.\n", FIRMWARE_NO_BOOT_DEVICE },
		{ "No bootable device.", FIRMWARE_SAYS_NOTHING },
		{ "bootable device.\n", FIRMWARE_SAYS_NOTHING },
		{ "\x1b[2J\x1b[01;01HBdsDxe: No bootable option or device was found.\r\n",
		  FIRMWARE_NO_BOOT_DEVICE },
		{ "BdsDxe: failed to load Boot0001 \"UEFI a\" from PciRoot(0x0)/Pci(0x2,0x0): "
		  "Access "
		  "Denied\r\n",
		  FIRMWARE_REFUSED_LOADER },
		{ "BdsDxe: failed to load Boot0001 \"UEFI a\" from PciRoot(0x0): Not Found\r\n",
		  FIRMWARE_SAYS_NOTHING },
		{ ": Access Denied BdsDxe: failed to load \n", FIRMWARE_SAYS_NOTHING },
		{ "BdsDxe: loading Boot0001\r\n\r\n", FIRMWARE_SAYS_NOTHING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct firmware_words words = { 0 };

		assert_int_equal(said(&words, cases[i].text), cases[i].word);
	}
}

/* A line without an end is no more than the buffer, and what follows is read. */
static void test_long_lines(void **state)
{
	struct firmware_words words = { 0 };

	for (unsigned i = 0; i < 10 * FIRMWARE_WORDS_LINE; i++)
		assert_int_equal(firmware_words_take(&words, (uint8_t)(i & 1 ? 0 : 'x')),
				 FIRMWARE_SAYS_NOTHING);
	assert_int_equal(said(&words, "\nNo bootable device.\n"), FIRMWARE_NO_BOOT_DEVICE);
	assert_int_equal(words.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

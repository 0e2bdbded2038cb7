/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What firmware says of itself that its owner should hear: that it boots nothing.
 *
 * It is found in the lines that firmware writes, for people, to a port of its own or on its console; so
 * a boot loader can say the same. Sources: SeaBIOS src/boot.c (boot_fail); edk2
 * OvmfPkg/Library/PlatformBootManagerLib/BdsPlatform.c (PlatformBootManagerUnableToBoot),
 * PlatformBmPrintScLib/StatusCodeHandler.c.
 */
#pragma once

#include <stdint.h>

/* The later one stands where both are true. */
enum firmware_word {
	FIRMWARE_SAYS_NOTHING,
	FIRMWARE_NO_BOOT_DEVICE, /* there is nothing, or nothing more, that it could boot from */
	FIRMWARE_REFUSED_LOADER, /* what is there must not run, by secure boot */
	_FIRMWARE_WORDS,
};

/* A name for each, "" for nothing. */
extern const char *const firmware_word_names[_FIRMWARE_WORDS];

#define FIRMWARE_WORDS_LINE 255 /* bytes; longer lines are read in pieces */

/* The line that is being written; zeros: none. */
struct firmware_words {
	uint8_t length;
	char line[FIRMWARE_WORDS_LINE + 1];
};

/* The next byte. Return: what the line says that it ends. */
enum firmware_word firmware_words_take(struct firmware_words *words, uint8_t byte);

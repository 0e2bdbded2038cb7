/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firmware says that its owner should hear. */
#include "vmwp/chipset/firmware_words.h"

#include "common/base/cc.h"

#include <stdbool.h>
#include <string.h>

const char *const firmware_word_names[_FIRMWARE_WORDS] = {
	[FIRMWARE_SAYS_NOTHING] = "",
	[FIRMWARE_NO_BOOT_DEVICE] = "no-boot-device",
	[FIRMWARE_REFUSED_LOADER] = "refused-loader",
};

/* In such a line, both, one after the other. */
static const struct {
	const char *first, *second;
	enum firmware_word word;
} sentences[] = {
	{ "No bootable device.", "", FIRMWARE_NO_BOOT_DEVICE },
	{ "BdsDxe: No bootable option or device was found.", "", FIRMWARE_NO_BOOT_DEVICE },
	{ "BdsDxe: failed to load ", ": Access Denied", FIRMWARE_REFUSED_LOADER },
	{ "BdsDxe: failed to load ", ": Security Violation", FIRMWARE_REFUSED_LOADER },
};

static enum firmware_word words_read(const char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++) {
		const char *first = strstr(line, sentences[i].first);

		if (first && strstr(first, sentences[i].second))
			return sentences[i].word;
	}
	return FIRMWARE_SAYS_NOTHING;
}

enum firmware_word firmware_words_take(struct firmware_words *words, uint8_t byte)
{
	enum firmware_word word = FIRMWARE_SAYS_NOTHING;
	bool ends = byte == '\n' || byte == '\r';

	if (ends || words->length == FIRMWARE_WORDS_LINE) {
		word = words_read(words->line);
		*words = (struct firmware_words){ 0 };
	}
	if (!ends && byte != 0)
		words->line[words->length++] = (char)byte;
	return word;
}

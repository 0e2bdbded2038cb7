/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heads of disk images: any bytes. What an image is found to be it is, at the second look, too, and
 * what it is said to name is printable and ends.
 */
#include "common/image_format.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image_bytes bytes = image_bytes_of_memory(data, size);
	char named[IMAGE_NAMED_MAX];
	enum image_format found;

	assert(image_format_detect(&bytes, &found) == 0);
	for (int i = IMAGE_RAW; i <= IMAGE_VMDK; i++) {
		int r = image_format_check(&bytes, (enum image_format)i, named);

		assert(r >= 0);
		assert((i == (int)found || i == IMAGE_RAW) == (r != IMAGE_FORMAT_E_OTHER));
		for (size_t j = 0; j < strlen(named); j++)
			assert(named[j] >= ' ' && named[j] <= '~');
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heads of disk images: any bytes. What an image is found to be it is, at the second look, too, and
 * what it is said to name is printable and ends; what is to be opened is a path.
 */
#include "common/image/image_format.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct image_names *names)
{
	assert(memchr(names->backing, '\0', sizeof(names->backing)));
	assert(memchr(names->data, '\0', sizeof(names->data)));
	assert(names->backing_format <= IMAGE_VMDK);
	/* No protocol. */
	assert(names->backing[strcspn(names->backing, ":/")] != ':');
	assert(names->data[strcspn(names->data, ":/")] != ':');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image_bytes bytes = image_bytes_of_memory(data, size);
	struct image_names names;
	enum image_format found;

	assert(image_format_detect(&bytes, &found) == 0);
	for (int i = IMAGE_RAW; i <= IMAGE_VMDK; i++) {
		int r = image_format_check(&bytes, (enum image_format)i, &names);

		assert(r >= 0);
		assert((i == (int)found || i == IMAGE_RAW) == (r != IMAGE_FORMAT_E_OTHER));
		for (size_t j = 0; j < strlen(names.named); j++)
			assert(names.named[j] >= ' ' && names.named[j] <= '~');
		if (r == 0)
			check_names(&names);
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C, by the processor's instruction where it has one. */
#include "common/base/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t crc32c_step(uint32_t crc, uint8_t byte)
{
	crc ^= byte;
	for (int i = 0; i < 8; i++)
		crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
	return crc;
}

static uint32_t crc32c_plain(uint32_t crc, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		crc = crc32c_step(crc, bytes[i]);
	return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const uint8_t *bytes,
							     size_t size)
{
	uint64_t crc64 = crc;

	for (; size >= 8; size -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		crc64 = __builtin_ia32_crc32di(crc64, word);
	}
	return crc32c_plain((uint32_t)crc64, bytes, size);
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return ~(__builtin_cpu_supports("sse4.2") ? crc32c_sse : crc32c_plain)(~crc, bytes, size);
}

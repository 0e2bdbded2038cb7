/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4): the check value of "123456789" is 0xe3069283.
 * Against accidents, and no proof of where something comes from. Thread: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or that of the bytes before these. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

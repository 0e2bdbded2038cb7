/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C (Castagnoli, reflected), as VHDX and iSCSI have it. Thread: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or of what came before. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

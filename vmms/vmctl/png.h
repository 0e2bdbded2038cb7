/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures as files of PNG, 8 bits of red, green and blue. Source of the format: W3C, PNG (second edition). */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>
#include <stdio.h>

/*
 * pixels: rows without gaps between them, of blue, green, red and a byte that is nothing. Return: 0;
 * -ENOMEM; -EIO: it cannot be written, and errno says why.
 */
int png_write(FILE *file, const uint8_t *pixels, uint32_t width, uint32_t height) MUST_CHECK;

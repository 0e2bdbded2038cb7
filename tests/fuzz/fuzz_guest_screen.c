/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest writes to its serial console, as a terminal would show it: any bytes. Rows are
 * printable text that fits, the cursor is on the screen, and it makes no difference how the bytes
 * are cut.
 *
 * Input: the size of the screen (two bytes), the size of pieces (one), and what the guest writes.
 */
#include "common/base/cc.h"
#include "common/base/text.h"
#include "vmms/vmctl/guest_screen.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_screen *new_screen(unsigned columns, unsigned rows)
{
	struct guest_screen *screen;

	if (guest_screen_new(columns, rows, &screen) < 0)
		abort();
	return screen;
}

static void check_row(const struct guest_screen *whole, const struct guest_screen *pieces,
		      unsigned row, unsigned columns)
{
	char *text = guest_screen_row_new(whole, row);
	char *other = guest_screen_row_new(pieces, row);

	if (!text || !other)
		abort();
	assert(strcmp(text, other) == 0);
	assert(text_is_utf8(text, strlen(text)) && text_columns(text) <= columns);
	assert(text[0] == '\0' || text[strlen(text) - 1] != ' ');
	for (size_t i = 0; text[i] != '\0'; i++)
		assert((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
	free(text);
	free(other);
}

static void check(const struct guest_screen *whole, const struct guest_screen *pieces,
		  unsigned columns, unsigned rows)
{
	unsigned column, row, other_column, other_row;

	guest_screen_cursor(whole, &column, &row);
	guest_screen_cursor(pieces, &other_column, &other_row);
	assert(column < columns && row < rows && column == other_column && row == other_row);
	for (unsigned i = 0; i < rows; i++)
		check_row(whole, pieces, i, columns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned columns, rows, piece;
	struct guest_screen *whole, *pieces;

	if (size < 3)
		return 0;
	columns = MIN(GUEST_SCREEN_COLUMNS_MIN + data[0] * 2u, (unsigned)GUEST_SCREEN_COLUMNS_MAX);
	rows = MIN(GUEST_SCREEN_ROWS_MIN + data[1], (unsigned)GUEST_SCREEN_ROWS_MAX);
	piece = data[2] % 16u + 1u;
	data += 3, size -= 3;
	whole = new_screen(columns, rows);
	pieces = new_screen(columns, rows);
	guest_screen_write(whole, (const char *)data, size);
	for (size_t i = 0; i < size; i += piece)
		guest_screen_write(pieces, (const char *)data + i, MIN(size - i, (size_t)piece));
	check(whole, pieces, columns, rows);
	guest_screen_free(whole);
	guest_screen_free(pieces);
	return 0;
}

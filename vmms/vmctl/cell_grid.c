/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The cells of a terminal's screen. */
#include "vmms/vmctl/cell_grid.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLANK     0
#define WIDE      0x80000000u /* a character of two columns */
#define WIDE_TAIL UINT32_MAX  /* its second column */

int cell_grid_init(struct cell_grid *grid, unsigned columns, unsigned rows)
{
	if (columns == 0 || columns > CELL_GRID_COLUMNS_MAX || rows == 0 ||
	    rows > CELL_GRID_ROWS_MAX)
		return -EINVAL;
	grid->cells = calloc((size_t)columns * rows, sizeof(*grid->cells));
	if (!grid->cells)
		return -ENOMEM;
	grid->columns = columns;
	grid->rows = rows;
	for (unsigned i = 0; i < rows; i++)
		grid->row[i].cells = grid->cells + (size_t)i * columns;
	return 0;
}

void cell_grid_deinit(struct cell_grid *grid)
{
	free(grid->cells);
}

static void grid_set(struct cell_row *row, unsigned column, uint32_t cell)
{
	for (; row->length < column; row->length++)
		row->cells[row->length] = BLANK;
	row->cells[column] = cell;
	row->length = MAX(row->length, column + 1);
}

void cell_grid_put(struct cell_grid *grid, unsigned row, unsigned column, uint32_t character,
		   unsigned width)
{
	if (column + width > grid->columns)
		return;
	grid_set(&grid->row[row], column, width == 2 ? character | WIDE : character);
	if (width == 2)
		grid_set(&grid->row[row], column + 1, WIDE_TAIL);
}

void cell_grid_erase(struct cell_grid *grid, unsigned row, unsigned from, unsigned to)
{
	struct cell_row *line = &grid->row[row];

	if (from >= line->length)
		return;
	if (to >= line->length)
		line->length = from;
	for (; from < MIN(to, line->length); from++)
		line->cells[from] = BLANK;
}

void cell_grid_insert(struct cell_grid *grid, unsigned row, unsigned column, unsigned count)
{
	struct cell_row *line = &grid->row[row];
	unsigned kept;

	if (column >= line->length)
		return;
	count = MIN(count, grid->columns - column);
	kept = MIN(line->length - column, grid->columns - column - count);
	memmove(line->cells + column + count, line->cells + column, kept * sizeof(*line->cells));
	memset(line->cells + column, 0, count * sizeof(*line->cells));
	line->length = column + count + kept;
}

void cell_grid_delete(struct cell_grid *grid, unsigned row, unsigned column, unsigned count)
{
	struct cell_row *line = &grid->row[row];

	if (column >= line->length)
		return;
	count = MIN(count, line->length - column);
	memmove(line->cells + column, line->cells + column + count,
		(line->length - column - count) * sizeof(*line->cells));
	line->length -= count;
}

/* The first `count` rows go behind the others. */
static void grid_rotate(struct cell_row *rows, unsigned total, unsigned count)
{
	struct cell_row moved[CELL_GRID_ROWS_MAX];

	memcpy(moved, rows, count * sizeof(*rows));
	memmove(rows, rows + count, (total - count) * sizeof(*rows));
	memcpy(rows + total - count, moved, count * sizeof(*rows));
}

static void grid_clear(struct cell_row *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rows[i].length = 0;
}

void cell_grid_scroll_up(struct cell_grid *grid, unsigned top, unsigned bottom, unsigned count)
{
	count = MIN(count, bottom - top);
	grid_clear(grid->row + top, count);
	grid_rotate(grid->row + top, bottom - top, count);
}

void cell_grid_scroll_down(struct cell_grid *grid, unsigned top, unsigned bottom, unsigned count)
{
	count = MIN(count, bottom - top);
	grid_clear(grid->row + bottom - count, count);
	grid_rotate(grid->row + top, bottom - top, bottom - top - count);
}

/* ---- Text ---- */

/* A wide character that has lost its other half is none any more. */
static uint32_t grid_character_at(const struct cell_row *row, unsigned column)
{
	uint32_t cell = row->cells[column];

	if (cell == BLANK || cell == WIDE_TAIL)
		return ' ';
	if ((cell & WIDE) == 0)
		return cell;
	return column + 1 < row->length && row->cells[column + 1] == WIDE_TAIL ? cell & ~WIDE : ' ';
}

static bool grid_is_tail(const struct cell_row *row, unsigned column)
{
	return column > 0 && row->cells[column] == WIDE_TAIL &&
	       row->cells[column - 1] != WIDE_TAIL && (row->cells[column - 1] & WIDE) != 0;
}

char *cell_grid_text_new(const struct cell_grid *grid, unsigned row)
{
	const struct cell_row *line = &grid->row[row];
	char *text = malloc((size_t)grid->columns * TEXT_UTF8_MAX + 1);
	size_t size = 0, used = 0;

	for (unsigned i = 0; text && i < line->length; i++) {
		uint32_t character = grid_character_at(line, i);

		if (grid_is_tail(line, i))
			continue;
		size += text_utf8_encode(text + size, character);
		if (character != ' ')
			used = size;
	}
	if (text)
		text[used] = '\0';
	return text;
}
